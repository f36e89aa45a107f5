// How are sources, the fused image and plain fusions held against each other? Under a divider, by blinking, under maps.
const $ = id => document.getElementById(id);
let divider = null, picture = null, plain = [], against = "source 0", shown = "fused 0", turn = 0;

// plain_: names of plain fusions, which may stand on either side.
export function setUp(plain_) {
  plain = plain_;
  divider = new Divider({ stage: $("stage"), over: $("source"), line: $("divider"), left: $("left"), right: $("right"), button: $("blink") });
  $("against").addEventListener("change", () => choose($("against").value));
  $("shown").addEventListener("change", () => { shown = $("shown").value; showRight().catch(() => {}); });
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

// What stands behind a word of the menus: its part of the picture, and its name.
function side(word) {
  const [what, digits] = word.split(" "), number = Number(digits);
  const name = what === "source" ? picture.sources[number].source : what === "plain" ? plain[number]
    : picture.kind === "preview" ? "fused, preview" : "fused";
  const alt = what === "source" ? `Source ${picture.sources[number].name}` : what === "plain" ? `Plain fusion: ${plain[number]}` : "Fused image";
  return { address: url(what, number), name, alt };
}

async function choose(word) {
  against = word;
  const mine = turn, { address, name, alt } = side(word);
  $("against").value = word;
  for (const [k, button] of [...$("strip").children].entries()) button.setAttribute("aria-pressed", String(word === `source ${k}`));
  $("left").textContent = name;
  $("source").alt = alt;
  await set($("source"), address).catch(error => { if (mine === turn) throw error; });
  divider.place();
}

async function showRight() {
  const mine = turn, { address, name, alt } = side(shown);
  $("right").textContent = name;
  $("fused").alt = alt;
  await set($("fused"), address).catch(error => { if (mine === turn) throw error; });
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
  if (first) { against = "source 0"; shown = "fused 0"; divider.moveTo(50); }
  for (const word of [against, shown]) if (word.startsWith("source") && Number(word.slice(7)) >= found.sources.length) [against, shown] = ["source 0", "fused 0"];
  const label = one => one.source === one.name ? one.source : `${one.source}: ${one.name}`;
  const sides = [...found.sources.map((one, k) => [`source ${k}`, label(one)]), ["fused 0", "fused"], ...plain.map((name, k) => [`plain ${k}`, `${name}, plain`])];
  fill($("against"), sides);
  fill($("shown"), sides);
  $("shown").value = shown;
  const partly = found.sources.map((one, k) => [one, k]).filter(([one]) => one.valid !== null);
  fill($("overlay"), [["", "nothing"], ...found.sources.map((one, k) => [`weight ${k}`, `weight of ${one.source}`]),
    ...partly.map(([one, k]) => [`valid ${k}`, `where ${one.source} shows nothing`])]);
  await showRight();
  if (mine !== turn) return;
  if (found.kind === "full" || first || !$("strip").children.length) strip(found);
  await choose(against);
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
    button.addEventListener("click", () => choose(`source ${k}`));
    return button;
  }));
}

export function forget() {
  picture = null;
  divider.rest();
  $("strip").replaceChildren();
  divider.place();
}
