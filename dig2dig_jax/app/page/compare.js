// How is the fused image held against a source? Under a divider, by blinking, and with maps laid over it.
const $ = id => document.getElementById(id);
let divider = null, picture = null, against = 0, turn = 0;

export function setUp() {
  divider = new Divider({ stage: $("stage"), over: $("source"), line: $("divider"), left: $("left"), right: $("right"), button: $("blink") });
  $("against").addEventListener("change", () => choose(Number($("against").value)));
  $("overlay").addEventListener("change", layOver);
  addEventListener("resize", fit);
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
  divider.place();
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
  if (first) { against = 0; divider.moveTo(50); }
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
  divider.rest();
  $("strip").replaceChildren();
  divider.place();
}
