// How is the fused image held against a source? Under a divider, by blinking, and with maps laid over it.
const $ = id => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");
let share = 50, timer = 0, only = "", picture = null, against = 0, turn = 0;

function place() {
  const cut = only === "source" ? 100 : only === "fused" ? 0 : share;
  $("source").style.clipPath = `inset(0 ${100 - cut}% 0 0)`;
  $("divider").style.left = `${share}%`;
  $("divider").hidden = Boolean(only);
  $("left").hidden = only === "fused";
  $("right").hidden = only === "source";
  $("divider").setAttribute("aria-valuenow", Math.round(share));
  $("divider").setAttribute("aria-valuetext", `${Math.round(share)} % ${$("left").textContent}, the rest fused`);
}
function moveTo(value) { share = Math.min(100, Math.max(0, value)); place(); }

export function setUp() {
  const follow = event => {
    const box = $("stage").getBoundingClientRect();
    moveTo(100 * (event.clientX - box.left) / box.width);
  };
  $("stage").addEventListener("pointerdown", event => {
    if (only) return;
    $("stage").setPointerCapture(event.pointerId);
    follow(event);
  });
  $("stage").addEventListener("pointermove", event => { if ($("stage").hasPointerCapture(event.pointerId)) follow(event); });
  $("divider").addEventListener("keydown", event => {
    const step = event.shiftKey ? 10 : 2;
    const to = { ArrowLeft: share - step, ArrowDown: share - step, ArrowRight: share + step, ArrowUp: share + step, Home: 0, End: 100 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    moveTo(to);
  });
  $("blink").addEventListener("click", blink);
  document.addEventListener("keydown", event => {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "b" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && picture) blink();
  });
  $("against").addEventListener("change", () => choose(Number($("against").value)));
  $("overlay").addEventListener("change", layOver);
  addEventListener("resize", fit);
  place();
}

// Where motion is not wanted, each press shows the other one, and the third ends it.
function blink() {
  if (still.matches) only = only === "" ? "source" : only === "source" ? "fused" : "";
  else if (timer) { clearInterval(timer); timer = 0; only = ""; }
  else { only = "source"; timer = setInterval(() => { only = only === "source" ? "fused" : "source"; place(); }, 700); }
  $("blink").setAttribute("aria-pressed", String(Boolean(only)));
  place();
}

const url = (what, number) => `${picture.place}/${picture.kind}/${picture.version}/${what}/${number}.png`;

async function set(image, address) {
  const next = new Image();
  next.src = address;
  await next.decode();
  image.src = address;
  await image.decode().catch(() => {});
}

function fit() {
  if (!picture) return;
  const [width, height] = picture.size;
  const room = Math.max(220, innerHeight * (innerWidth <= 900 ? 0.42 : 0.72));
  $("stage").style.maxWidth = `${Math.max(200, room * width / height)}px`;
  $("stage").style.aspectRatio = `${width} / ${height}`;
}

async function choose(number) {
  against = number;
  const mine = turn;
  $("against").value = number;
  for (const [k, button] of [...$("strip").children].entries()) button.setAttribute("aria-pressed", String(k === number));
  $("left").textContent = picture.sources[number].source;
  $("source").alt = `Source ${picture.sources[number].name}`;
  await set($("source"), url("source", number)).catch(error => { if (mine === turn) throw error; });
  place();
}

async function layOver() {
  const [what, number] = $("overlay").value.split(" ");
  $("over").hidden = $("legend").hidden = !what;
  if (!what || !picture) return;
  const name = picture.sources[number].source;
  $("over").alt = what === "weight" ? `Weight of ${name}` : `Where ${name} shows nothing`;
  const swatch = Object.assign(document.createElement("span"), { className: what === "weight" ? "scale" : "swatch" });
  const words = what === "weight" ? [`weight of ${name}: 0`, "1"] : ["", `${name} shows nothing here, the others stand alone`];
  $("legend").replaceChildren(words[0], swatch, words[1]);
  await set($("over"), url(what, number)).catch(() => {});
}

function fill(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  if (entries.some(([value]) => String(value) === before)) select.value = before;
}

// found: what the server says of a picture; place: where its parts are.
export async function show(found, place_) {
  const first = picture === null || picture.place !== place_;
  const mine = ++turn;
  picture = { ...found, place: place_ };
  fit();
  if (first) { against = 0; moveTo(50); }
  const label = one => one.source === one.name ? one.source : `${one.source}: ${one.name}`;
  fill($("against"), found.sources.map((one, k) => [k, label(one)]));
  const partly = found.sources.map((one, k) => [one, k]).filter(([one]) => one.valid !== null);
  fill($("overlay"), [["", "nothing"], ...found.sources.map((one, k) => [`weight ${k}`, `weight of ${one.source}`]),
    ...partly.map(([one, k]) => [`valid ${k}`, `where ${one.source} shows nothing`])]);
  $("right").textContent = found.kind === "preview" ? "fused, preview" : "fused";
  await set($("fused"), url("fused", 0)).catch(error => { if (mine === turn) throw error; });
  if (mine !== turn) return;
  if (found.kind === "full" || first || !$("strip").children.length) strip(found);
  await choose(Math.min(against, found.sources.length - 1));
  await layOver();
}

function strip(found) {
  $("strip").replaceChildren(...found.sources.map((one, k) => {
    const button = Object.assign(document.createElement("button"), { type: "button", title: one.name });
    const own = found.sources.length > 2 ? one.name : one.source;
    const text = one.range ? `${own} ${one.range.map(value => Number(value.toPrecision(6))).join("–")}` : own;
    const image = Object.assign(document.createElement("img"), { alt: "", loading: "lazy", src: url("thumbnail", k) });
    const name = Object.assign(document.createElement("span"), { textContent: text });
    button.append(image, name);
    button.addEventListener("click", () => choose(k));
    return button;
  }));
}

export function forget() {
  picture = null;
  if (timer) blink();
  only = "";
  $("strip").replaceChildren();
  place();
}
