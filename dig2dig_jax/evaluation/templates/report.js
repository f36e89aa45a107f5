"use strict";
// Pictures stay text until they are looked at: a page of hundreds of pairs opens at once.
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const parsed = new Map();
const texts = [...document.querySelectorAll("script.pictures")];
const album = shown => {
  if (!parsed.has(shown)) parsed.set(shown, JSON.parse(texts[shown].textContent));
  return parsed.get(shown);
};
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
function save(name, content) {
  const link = element("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Tables: numbers by value, words by name; what is undefined stays last either way, and every group by itself.
function sort(table, column, ascending) {
  const value = row => {
    const cell = row.cells[column];
    if (column === 0) return cell.textContent;
    const number = cell.dataset.value === "" ? NaN : Number(cell.dataset.value);
    return Number.isNaN(number) ? null : number;
  };
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = column === 0 ? x.localeCompare(y, undefined, { numeric: true }) : x === y ? 0 : x < y ? -1 : 1;
    return ascending ? order : -order;
  };
  for (const body of table.tBodies) body.append(...[...body.rows].filter(row => !row.matches(".group")).sort(compare));
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const before = head.getAttribute("aria-sort");
    const best = !head.textContent.includes("↑");  // the first click brings what is best to the top
    sort(table, column, before ? before !== "ascending" : best);
  }));
}

// What papers take over from the table: it is shown, and copied where the browser lets us.
async function give(text, told) {
  $("latex").textContent = text;
  $("latex").hidden = false;
  $("taken").textContent = told;
  try { await navigator.clipboard.writeText(text); $("taken").textContent = `${told}, copied`; } catch { /* it is on the page */ }
}
$("latex-table").addEventListener("click", () => give(data.latex.table, "the whole table, for booktabs"));
$("latex-row").addEventListener("click", () => give(data.latex.rows[$("latex-method").value], `the row of ${$("latex-method").value}`));
$("csv").addEventListener("click", () => save("scores.csv", new Blob([data.csv], { type: "text/csv" })));

// Two images under a divider, and the same crop of all of them.
const view = { shown: 0, focus: [0.5, 0.5], pictures: [], crop: null };
let drawing = 0, divider = null;
async function load(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}
const isMap = index => data.kinds[index] === "map";
function stage() {
  const pictures = album(view.shown), [left, right] = [Number($("left").value), Number($("right").value)];
  const uris = pictures.close_ups.length ? pictures.close_ups : pictures.thumbnails;
  $("over").src = uris[left];
  $("under").src = uris[right];
  $("over").alt = $("left-tag").textContent = data.labels[left];
  $("under").alt = $("right-tag").textContent = data.labels[right];
  $("map-scale").hidden = !isMap(left) && !isMap(right);
  divider.place();
}
function fit() {
  const first = view.pictures[0];
  if (!first) return;
  const [width, height] = [first.naturalWidth, first.naturalHeight];
  $("stage").style.aspectRatio = `${width} / ${height}`;
  $("stage").style.maxWidth = `${Math.max(200, 0.78 * innerHeight * width / height)}px`;
}
function crops() {
  const first = view.pictures[0];
  if (!first) return;
  const zoom = Number($("zoom").value), [width, height] = [first.naturalWidth, first.naturalHeight];
  const side = Math.max(8, Math.min(Math.round(180 / zoom), width, height));
  const corner = (centre, length) => Math.round(Math.max(0, Math.min(length - side, centre * length - side / 2)));
  const [x, y] = [corner(view.focus[0], width), corner(view.focus[1], height)];
  view.crop = { x, y, side };
  Object.assign($("window").style, {
    left: `${100 * x / width}%`, top: `${100 * y / height}%`,
    width: `${100 * side / width}%`, height: `${100 * side / height}%`,
  });
  $("crops").replaceChildren(...view.pictures.map((image, index) => {
    const canvas = element("canvas", { width: side, height: side });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(image, x, y, side, side, 0, 0, side, side);
    const figure = element("figure", { className: index === data.own ? "own" : "" }, canvas,
      element("figcaption", { textContent: data.labels[index], title: data.labels[index] }));
    figure.addEventListener("click", () => { $("right").value = index; stage(); });
    return figure;
  }));
}
function moveCrop(x, y) {
  view.focus = [x, y].map(share => Math.min(1, Math.max(0, share)));
  crops();
}
async function show(shown) {
  const turn = ++drawing;
  view.shown = shown;
  $("pair").value = shown;
  const pictures = album(shown);
  view.focus = pictures.focus;
  stage();
  const close = pictures.close_ups.length > 0;
  $("resolution").textContent = !close ? "thumbnails only: too many pairs for all in full"
    : pictures.exact ? "every pixel as fused" : "compressed";
  const loaded = await Promise.all((close ? pictures.close_ups : pictures.thumbnails).map(load));
  if (turn !== drawing) return;  // another pair was chosen meanwhile
  view.pictures = loaded;
  fit();
  crops();
}
if (data.shown.length) {
  divider = new Divider({ stage: $("stage"), over: $("over"), line: $("divider"), left: $("left-tag"), right: $("right-tag"),
    button: $("blink"), tapped: moveCrop });
  data.labels.forEach((label, index) => { for (const side of ["left", "right"]) $(side).append(new Option(label, index)); });
  data.shown.forEach((name, shown) => $("pair").append(new Option(data.full[shown] ? name : `${name} (small)`, shown)));
  $("left").value = data.left;
  $("right").value = data.right;
  for (const side of ["left", "right"]) $(side).addEventListener("change", stage);
  $("zoom").addEventListener("change", crops);
  $("pair").addEventListener("change", () => show(Number($("pair").value)));
  $("window").addEventListener("keydown", event => {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!x && !y) return;
    event.preventDefault();
    moveCrop(view.focus[0] + 0.02 * x, view.focus[1] + 0.02 * y);
  });
  addEventListener("resize", fit);
  show(0);
}

// The sheet: few rows are filled at once, of many each as it comes near, and all before they are printed.
const AT_ONCE = 24;
function fill(row) {
  if (row.dataset.filled) return;
  row.dataset.filled = "yes";
  const shown = Number(row.dataset.shown);
  album(shown).thumbnails.forEach((uri, index) => {
    const image = element("img", { src: uri, alt: `${data.labels[index]} of ${data.shown[shown]}` });
    image.addEventListener("click", () => { $("right").value = index; look(shown); });
    row.cells[index + 1].replaceChildren(image);
  });
}
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    fill(entry.target);
  }
}, { root: document.querySelector(".sheet"), rootMargin: "600px" });
addEventListener("beforeprint", () => { for (const row of $("rows").tBodies[0].rows) fill(row); });
function look(shown) {
  show(shown);
  $("compare").scrollIntoView();
}
$("rows").tHead.rows[0].append(...["pair", ...data.labels].map(text => element("th", { scope: "col", textContent: text, title: text })));
data.shown.forEach((name, shown) => {
  const button = element("button", { type: "button", textContent: name, title: name });
  button.addEventListener("click", () => look(shown));
  const row = element("tr", {}, element("th", { scope: "row" }, button), ...data.labels.map(() => element("td")));
  row.dataset.shown = shown;
  $("rows").tBodies[0].append(row);
  if (data.shown.length <= AT_ONCE) fill(row); else seen.observe(row);
});

// Scores per image of one method.
function perimage() {
  const scores = data.scores[$("scored").value];
  $("perimage").tBodies[0].replaceChildren(...data.images.map((name, index) => {
    const row = element("tr", {}, element("th", { scope: "row", textContent: name }));
    for (const values of scores) {
      const value = values[index];
      const cell = element("td", { textContent: value === null ? "–" : typeof value === "string" ? value : Number(value.toPrecision(4)).toString() });
      cell.dataset.value = value === null ? "" : value;
      row.append(cell);
    }
    return row;
  }));
  for (const head of $("perimage").tHead.rows[0].cells) head.removeAttribute("aria-sort");
}
data.methods.forEach((method, index) => $("scored").append(new Option(method, index)));
$("scored").addEventListener("change", perimage);
perimage();
