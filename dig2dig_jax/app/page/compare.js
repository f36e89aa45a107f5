// How are sources, the fused image and other fusions held against each other? Under a divider, by blinking, under maps.
const $ = id => document.getElementById(id);
let divider = null, picture = null, plain = [], methods = [], ask = () => {}, against = "source 0", shown = "fused 0", turn = 0;

// plain_: names of plain fusions, and methods_: other methods, small and on request, which may stand on either side.
// ask_: is called where some are missing, and calls `arrived` or `gaveUp` later.
export function setUp(plain_, methods_, ask_) {
  plain = plain_;
  methods = methods_;
  ask = ask_;
  divider = new Divider({ stage: $("stage"), over: $("source"), line: $("divider"), left: $("left"), right: $("right"), button: $("blink") });
  $("against").addEventListener("change", () => choose($("against").value).catch(() => {}));
  $("shown").addEventListener("change", () => { shown = $("shown").value; showRight().catch(() => {}); });
  $("overlay").addEventListener("change", layOver);
  addEventListener("resize", fit);
}

const url = (what, number) => `${picture.place}/${picture.kind}/${picture.version}/${what}/${number}.png`;
const method = word => word.startsWith("method ") ? methods[Number(word.slice(7))] : null;
const REST = ["source 0", "fused 0"];  // on the left and on the right, at first and while others are missing
const isThere = word => !method(word) || method(word).name in picture.rivals;

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
  const [what, digits] = word.split(" "), number = Number(digits), other = method(word);
  if (other) return { address: `${picture.place}/${other.name}/${picture.rivals[other.name]}/fused/0.png`, name: `${other.label}, small`, alt: `Fused by ${other.label}` };
  const name = what === "source" ? picture.sources[number].source : what === "plain" ? plain[number]
    : picture.kind === "preview" ? "fused, preview" : "fused";
  const alt = what === "source" ? `Source ${picture.sources[number].name}` : what === "plain" ? `Plain fusion: ${plain[number]}` : "Fused image";
  return { address: url(what, number), name, alt };
}

async function choose(word) {
  against = word;
  $("against").value = word;
  tell();
  if (!isThere(word)) ask();
  const mine = turn, { address, name, alt } = side(isThere(word) ? word : REST[0]);
  for (const [k, button] of [...$("strip").children].entries()) button.setAttribute("aria-pressed", String(word === `source ${k}`));
  $("left").textContent = name;
  $("source").alt = alt;
  await set($("source"), address).catch(error => { if (mine === turn) throw error; });
  divider.place();
}

async function showRight() {
  tell();
  if (!isThere(shown)) ask();
  const mine = turn, { address, name, alt } = side(isThere(shown) ? shown : REST[1]);
  $("right").textContent = name;
  $("fused").alt = alt;
  await set($("fused"), address).catch(error => { if (mine === turn) throw error; });
  divider.place();
}

// What a method's picture is, as long as it stands on a side.
function tell() {
  const seen = [against, shown].map(method).filter((one, k, all) => one && all.indexOf(one) === k);
  $("small-told").hidden = !seen.length;
  $("small-told").textContent = seen.map(one => `${one.label}: ${one.side} pixels at most, ${one.steps} steps of its paper's ${one.own_steps}, noise left in. It takes ${one.wait}, and is kept until the sources change.`).join(" ");
}

// The name of a method that stands on a side and whose picture is not there; nothing where there is none.
export const missing = () => picture ? method([shown, against].find(word => !isThere(word)) ?? "")?.name ?? "" : "";

// versions: of the pictures by other methods that there are, by name.
export async function arrived(versions) {
  if (!picture) return;
  picture.rivals = versions;
  await showRight();
  await choose(against);
}

// The method that was asked for does not come: what is shown is named in its place.
export function gaveUp() {
  if (!picture) return;
  if (!isThere(against)) against = REST[0];
  if (!isThere(shown)) shown = REST[1];
  $("shown").value = shown;
  showRight().then(() => choose(against)).catch(() => {});
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
  if (first) { [against, shown] = REST; divider.moveTo(50); }
  for (const word of [against, shown]) if (word.startsWith("source") && Number(word.slice(7)) >= found.sources.length) [against, shown] = REST;
  const label = one => one.source === one.name ? one.source : `${one.source}: ${one.name}`;
  const sides = [...found.sources.map((one, k) => [`source ${k}`, label(one)]), ["fused 0", "fused"], ...plain.map((name, k) => [`plain ${k}`, `${name}, plain`]),
    ...methods.map((one, k) => [`method ${k}`, `${one.label}, ${one.wait}`]).filter((_, k) => !methods[k].two || found.sources.length === 2)];
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
