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
const option = (value, text) => element("option", { value, textContent: text });

// Tables: numbers by value, words by name; what is undefined stays last either way.
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
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort(compare));
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", ascending ? "ascending" : "descending");
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    const act = () => {
      const before = head.getAttribute("aria-sort");
      const best = !head.textContent.includes("↑");  // the first click brings what is best to the top
      sort(table, column, before ? before !== "ascending" : best);
    };
    head.addEventListener("click", act);
    head.addEventListener("keydown", event => { if (event.key === "Enter") act(); });
  });
}

// Two images under a divider, and the same crop of all of them.
const view = { shown: 0, focus: [0.5, 0.5], pictures: [] };
let drawing = 0;
async function load(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}
function place() {
  const share = Number($("slider").value);
  $("over").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  $("divider").style.left = `calc(${share}% - 1px)`;
}
function stage() {
  const pictures = album(view.shown);
  const uris = pictures.close_ups.length ? pictures.close_ups : pictures.thumbnails;
  $("over").src = uris[Number($("left").value)];
  $("under").src = uris[Number($("right").value)];
  $("over").alt = data.labels[Number($("left").value)];
  $("under").alt = data.labels[Number($("right").value)];
}
function crops() {
  const zoom = Number($("zoom").value);
  const first = view.pictures[0];
  if (!first) return;
  const [width, height] = [first.naturalWidth, first.naturalHeight];
  const side = Math.max(8, Math.min(Math.round(180 / zoom), width, height));
  const corner = (centre, length) => Math.round(Math.max(0, Math.min(length - side, centre * length - side / 2)));
  const [x, y] = [corner(view.focus[0], width), corner(view.focus[1], height)];
  Object.assign($("window").style, {
    left: `${100 * x / width}%`, top: `${100 * y / height}%`,
    width: `${100 * side / width}%`, height: `${100 * side / height}%`,
  });
  $("crops").replaceChildren(...view.pictures.map((image, index) => {
    const canvas = element("canvas", { width: side, height: side });
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(image, x, y, side, side, 0, 0, side, side);
    return element("figure", {}, canvas, element("figcaption", { textContent: data.labels[index], title: data.labels[index] }));
  }));
}
async function show(shown) {
  const turn = ++drawing;
  view.shown = shown;
  $("pair").value = shown;
  const pictures = album(shown);
  view.focus = pictures.focus;
  stage();
  const close = pictures.close_ups.length > 0;
  $("resolution").textContent = !close ? "thumbnail only: too many pairs for all in full"
    : pictures.exact ? "every pixel as fused" : "compressed";
  const loaded = await Promise.all((close ? pictures.close_ups : pictures.thumbnails).map(load));
  if (turn !== drawing) return;  // another pair was chosen meanwhile
  view.pictures = loaded;
  crops();
}
data.labels.forEach((label, index) => { for (const side of ["left", "right"]) $(side).append(option(index, label)); });
data.shown.forEach((name, shown) => $("pair").append(option(shown, data.full[shown] ? name : `${name} (small)`)));
$("left").value = data.left;
$("right").value = data.right;
$("slider").addEventListener("input", place);
for (const side of ["left", "right"]) $(side).addEventListener("change", stage);
$("zoom").addEventListener("change", crops);
$("pair").addEventListener("change", () => show(Number($("pair").value)));
$("stage").addEventListener("click", event => {
  const box = $("stage").getBoundingClientRect();
  view.focus = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  crops();
});
place();

// The sheet: rows are filled as they come near.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    const pictures = album(Number(entry.target.dataset.shown));
    entry.target.querySelector(".tiles").replaceChildren(...pictures.thumbnails.map((uri, index) =>
      element("div", { className: "tile" }, element("img", { src: uri, alt: data.labels[index] }),
        element("span", { textContent: data.labels[index], title: data.labels[index] }))));
  }
}, { rootMargin: "600px" });
data.shown.forEach((name, shown) => {
  const row = element("div", { className: "row" }, element("b", { textContent: name }), element("div", { className: "tiles" }));
  row.dataset.shown = shown;
  row.addEventListener("click", () => { show(shown); $("compare").scrollIntoView(); });
  $("rows").append(row);
  seen.observe(row);
});

// Scores per image of one method.
function perimage() {
  const scores = data.scores[$("scored").value];
  $("perimage").tBodies[0].replaceChildren(...data.images.map((name, index) => {
    const row = element("tr", {}, element("td", { textContent: name }));
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
data.methods.forEach((method, index) => $("scored").append(option(index, method)));
$("scored").addEventListener("change", perimage);
perimage();
if (data.shown.length) show(0);
