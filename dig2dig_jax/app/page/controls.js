// What can be turned, and what is it turned to? Rows made from what the server says of each option.
const $ = id => document.getElementById(id);
const MAIN = ["exponent", "target", "brightness", "restore"];
let known = null, changed = () => {}, state = null, opened = null;

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const defaults = () => known.tasks[state.task];
const rest = name => name === "colormap" ? "" : defaults()[name];  // of a menu that has a reset

export function setUp(described, whenChanged) {
  known = described;
  changed = whenChanged;
  for (const control of known.controls) $(MAIN.includes(control.name) ? "main-controls" : "more-controls").append(row(control));
  const words = { off: "no, as they lie", auto: "yes", hand: "by hand" };
  $("align").append(...known.align.map(word => new Option(words[word] ?? `yes, ${word} only`, word)));
  $("range").append(...known.ranges.map(word => new Option({ "": "as found", auto: "each source's own", shared: "of all together", full: "of the file's type" }[word], word)));
  $("colormap").append(...known.colormaps.map(word => new Option(word || "none", word)));
  $("valid").append(...known.valid.map(word => new Option({ auto: "found", alpha: "by transparency only", off: "are content" }[word], word)));
  $("task").append(...Object.keys(known.tasks).map(task => new Option({ thermal: "thermal + visible", medical: "medical", focus: "focal planes", exposure: "exposures" }[task], task)));
  $("task").addEventListener("change", () => { begin({ ...opened, task: $("task").value }, true); changed(); });
  $("swap").addEventListener("click", () => { state.swapped = !state.swapped; drawAll(); changed(); });
  for (const name of ["align", "range", "valid", "colormap"]) $(name).addEventListener("change", () => { state[name] = $(name).value; drawAll(); changed(); });
  for (const button of document.querySelectorAll("[data-reset]")) button.addEventListener("click", () => {
    const name = button.dataset.reset;
    state[name] = rest(name);
    drawAll();
    changed();
    $(name).focus();
  });
  $("by-hand").addEventListener("click", () => { state.align = "hand"; drawAll(); changed(); $("hand").querySelector("button").focus(); });
  $("reset-all").addEventListener("click", () => { begin(opened, true); changed(); });
  hand();
}

function row(control) {
  const id = `c-${control.name}`;
  const output = make("output", { htmlFor: id });
  const reset = make("button", { type: "button", className: "reset", textContent: "↺", title: "Reset" });
  const menu = control.choices.length > 0;
  const input = menu ? make("select", { id }, ...control.choices.map(word => new Option(word, word)))
    : make("input", { type: "range", id, min: control.low, max: control.high, step: control.step });
  const help = make("small", { id: `${id}-help` });
  input.setAttribute("aria-describedby", help.id);
  input.title = `--${control.flag}: ${control.help}`;
  reset.setAttribute("aria-label", `Reset ${control.label}`);
  const turned = value => { state.options[control.name] = value; draw(control); changed(); };
  input.addEventListener("input", () => turned(menu ? input.value : Number(input.value)));
  reset.addEventListener("click", () => { turned(defaults().values[control.name]); input.focus(); });
  const label = make("label", { htmlFor: id, textContent: control.label });
  const made = make("div", { className: "control", id: `row-${control.name}` },
    make("div", { className: "head" }, label, menu ? "" : output), make("div", { className: "body" }, input, reset), help);
  return made;
}

function draw(control) {
  const value = state.options[control.name], input = $(`c-${control.name}`);
  input.value = value;
  const made = $(`row-${control.name}`);
  if (!control.choices.length) {
    made.querySelector("output").textContent = control.off !== null && value <= control.off ? "off" : value;
    input.setAttribute("aria-valuetext", `${value} ${control.unit}`);
  }
  const off = control.off !== null && value <= control.off;
  const wait = control.live || control.off !== null && !off ? "" : off ? "takes seconds when first turned on" : "takes seconds the first time";
  made.querySelector("small").textContent = [control.unit, wait].filter(Boolean).join("; ");
  made.querySelector(".reset").disabled = value === defaults().values[control.name];
  made.hidden = control.name === "target" && !defaults().two;
}

function drawAll() {
  for (const control of known.controls) draw(control);
  for (const name of ["task", "align", "range", "valid", "colormap"]) $(name).value = state[name];
  for (const button of document.querySelectorAll("[data-reset]")) button.disabled = state[button.dataset.reset] === rest(button.dataset.reset);
  const two = defaults().two && opened.files.length === 2;
  $("roles").hidden = $("colormap-row").hidden = !two;
  $("colormap-told").textContent = `of ${state.task === "medical" ? "the image of function" : "the thermal image"}, where it has no colours of its own; brightness stays`;
  $("roles-told").textContent ||= "Which image is which";
  $("swap").setAttribute("aria-pressed", String(state.swapped));
  for (const option of $("task").options) option.disabled = known.tasks[option.value].two && opened.files.length > 2;
  $("hand").hidden = state.align !== "hand";
}

// The controls of a scene that was just dropped, at what its task has them. task: whether the user chose it.
export function begin(scene, keep = false) {
  opened = scene;
  const tuned = known.tasks[scene.task];
  state = { task: scene.task, options: { ...tuned.values }, range: tuned.range, valid: tuned.valid, colormap: "", swapped: false,
    align: keep && state ? state.align : "off", hand: keep && state && state.task === scene.task ? state.hand : {} };
  drawAll();
}

export const settings = () => structuredClone(state);

// What a picture tells about the sources: their roles, and whether they were aligned.
export function told(done) {
  const [first, second] = done.sources;
  const hot = state.swapped ? second : first;
  if (state.task === "thermal") $("roles-told").textContent = `Thermal: ${hot.name}`;
  if (state.task === "medical") $("roles-told").textContent = `Function and colour: ${state.swapped ? first.name : second.name}`;
  if (state.align !== done.align) { state.align = done.align; drawAll(); }
  const aligned = done.sources.filter(one => one.aligned);
  refused(state.align !== "hand" && aligned.some(one => !one.aligned.used));
  const movable = done.sources.filter(one => one.aligned).map(one => one.source);
  const before = $("hand-source").value;
  $("hand-source").replaceChildren(...movable.map(name => new Option(name, name)));
  if (movable.includes(before)) $("hand-source").value = before;
  $("hand-which").hidden = movable.length < 2;
  drawHand();
}

export function refused(is) { $("refused").hidden = !is; }

// By hand: numbers, and arrows for the first two.
const UNITS = { dx: "px to the right", dy: "px down", scale: "% of its size", angle: "degrees" };
const REST = { dx: 0, dy: 0, scale: 100, angle: 0 };
const moved = () => state.hand[$("hand-source").value] ??= { ...REST };

function hand() {
  for (const [name, [low, high]] of Object.entries(known.hand)) {
    const input = make("input", { type: "number", id: `hand-${name}`, min: low, max: high, step: name === "scale" || name === "angle" ? 0.1 : 0.5 });
    input.addEventListener("change", () => set(name, Number(input.value)));
    const reset = make("button", { type: "button", className: "reset", textContent: "↺" });
    reset.setAttribute("aria-label", `Reset ${UNITS[name]}`);
    reset.addEventListener("click", () => set(name, REST[name]));
    $("hand-numbers").append(make("div", { className: "row" }, make("label", { htmlFor: input.id, textContent: UNITS[name] }), input, reset));
  }
  $("hand-source").addEventListener("change", drawHand);
  for (const button of document.querySelectorAll("[data-move]")) button.addEventListener("click", () => {
    const [x, y] = button.dataset.move.split(",").map(Number), step = Number($("hand-step").value);
    if (x) set("dx", moved().dx + x * step); else set("dy", moved().dy + y * step);
  });
  document.querySelector(".pad").addEventListener("keydown", event => {
    const move = { ArrowLeft: "-1,0", ArrowRight: "1,0", ArrowUp: "0,-1", ArrowDown: "0,1" }[event.key];
    if (!move || event.target.matches("select")) return;
    event.preventDefault();
    document.querySelector(`[data-move="${move}"]`).click();
  });
}

function set(name, value) {
  const [low, high] = known.hand[name];
  if (!$("hand-source").value || !Number.isFinite(value)) return drawHand();
  moved()[name] = Math.min(high, Math.max(low, value));
  drawHand();
  changed();
}

function drawHand() {
  const one = state.hand[$("hand-source").value] ?? REST;
  for (const name of Object.keys(REST)) $(`hand-${name}`).value = one[name];
}
