// A folder of scenes, fused one after the other: what was found in it, how far it is, and what failed.
import { lines, request, sendMany } from "./upload.js";

const $ = id => document.getElementById(id);
const WORDS = { thermal: "thermal + visible", medical: "medical", focus: "focal planes", exposure: "exposures" };
let most = 0, tasks = {}, say = () => {}, fail = () => {}, folder = "", own = null;
const place = () => `folders/${folder}`;

export function setUp(known, say_, fail_) {
  most = known.most_folder_files;
  tasks = known.tasks;
  say = say_;
  fail = fail_;
  $("queue-task").append(...Object.keys(tasks).map(task => new Option(WORDS[task], task)));
  $("queue-start").addEventListener("click", run);
  $("queue-stop").addEventListener("click", () => { stop(); say("stopped", false); });
  $("queue-again").addEventListener("click", () => { leave(); fail(""); say("", false); $("drop").hidden = false; $("files").focus(); });
}

export async function take(files) {
  leave();
  fail("");
  own = new AbortController();
  let found;
  try {
    found = await sendMany(files, most, say, own.signal, name => { folder = name; });
  } finally { own = null; say("", false); }
  $("drop").hidden = true;
  $("queue").hidden = false;
  $("queue-told").textContent = `${found.scenes.length === 1 ? "One scene" : `${found.scenes.length} scenes`} of ${WORDS[found.task]}, by ${found.why || "their images"}.`;
  for (const option of $("queue-task").options) option.disabled = tasks[option.value].two && !found.two;
  $("queue-task").value = found.task;
  $("queue-scenes").replaceChildren(...found.scenes.map(scene => row([scene.name, scene.files.join(", "), "waiting"])));
  $("queue-left").hidden = !found.left_out.length;
  $("queue-left").querySelector("ul").replaceChildren(...found.left_out.map(text => made("li", text)));
  far(0, found.scenes.length, 0);
  ready(false);
  $("queue-title").focus();
}

const made = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
function row(texts) {
  const one = document.createElement("tr");
  one.append(...texts.map(text => made("td", text)));
  return one;
}

function far(done, all, failed) {
  $("queue-progress").max = all;
  $("queue-progress").value = done;
  $("queue-count").textContent = `${done} of ${all}${failed ? `, ${failed} failed` : ""}`;
}

function ready(is) {
  $("queue-save").setAttribute("aria-disabled", String(!is));
  if (is) $("queue-save").href = `${place()}/fused.zip`; else $("queue-save").removeAttribute("href");
}

function runs(is) {
  $("queue-start").hidden = is;
  $("queue-stop").hidden = !is;
  $("queue-task").disabled = $("queue-align").disabled = is;
}

async function run() {
  const rows = [...$("queue-scenes").rows], mine = own = new AbortController();
  const state = (number, text, kind = "") => Object.assign(rows[number].cells[2], { textContent: text, className: kind });
  let done = 0, failed = 0, finished = false;
  rows.forEach((_, number) => state(number, "waiting"));
  far(0, rows.length, 0);
  fail("");
  ready(false);
  runs(true);
  $("queue-stop").focus();
  try {
    const asked = `task=${$("queue-task").value}&align=${$("queue-align").value}`;
    await lines(await request(`${place()}/run?${asked}`, { method: "POST", signal: mine.signal }), line => {
      if (line.finished) { finished = true; return; }
      if (line.superseded) return;
      if (line.stage) state(line.scene, line.stage);
      if (line.done) state(line.scene, "fused", "fused").title = line.done.join("\n");
      if (line.error) { state(line.scene, line.error, "failed"); failed++; }
      if (line.done || line.error) {
        far(++done, rows.length, failed);
        if (done > failed) ready(true);
      }
      say(`${done} of ${rows.length} scenes${line.stage ? `: ${line.stage}` : ""}`);
    });
    if (finished) say(`${done - failed} of ${rows.length} scenes fused${failed ? `, ${failed} failed` : ""}`, false);
  } catch (error) {
    if (error.name !== "AbortError") { say("", false); fail(error.message); }
  } finally {
    if (own === mine) own = null;
    for (const one of rows) if (!one.cells[2].className) one.cells[2].textContent = "not fused";
    runs(false);
    if (document.activeElement === document.body && !$("queue").hidden) (done > failed ? $("queue-save") : $("queue-start")).focus();
  }
}

export function stop() {
  own?.abort();
  own = null;
  if (folder) fetch(`${place()}/cancel`, { method: "POST" }).catch(() => {});
}

export function leave() {
  own?.abort();
  own = null;
  if (folder) fetch(`${place()}/close`, { method: "POST", keepalive: true }).catch(() => {});
  folder = "";
  $("queue").hidden = true;
}
