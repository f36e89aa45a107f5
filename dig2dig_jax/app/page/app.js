// What happens from the drop to the download? A small picture at once, the full one after, again at every change.
import * as compare from "./compare.js";
import * as controls from "./controls.js";
import * as queue from "./queue.js";
import { answer, lines, onDrop, request, send } from "./upload.js";

const $ = id => document.getElementById(id);
const QUIET = 450;  // milliseconds without a change before the full picture is asked for
let tab = "", known = null, running = null, wanted = false, later = 0, number = 0;

function say(text, busy = true) {
  $("status").textContent = text;
  $("status").classList.toggle("busy", busy && Boolean(text));
  $("cancel").hidden = !(busy && text);
}
function fail(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
  if (text) say("", false);
}
const place = () => `tabs/${tab}`;

async function fuse(kind) {
  const mine = ++number, stop = new AbortController(), began = performance.now();
  running = { kind, stop };
  clearTimeout(later);
  try {
    const body = JSON.stringify({ ...controls.settings(), kind });
    const response = await request(`${place()}/fuse`, { method: "POST", body, signal: stop.signal });
    const last = await lines(response, line => { if (line.stage) say(kind === "full" ? `full size: ${line.stage}` : line.stage); });
    if (mine !== number) return;
    if (last?.error) throw new Error(last.error);
    if (last?.done) {
      await show(last.done);
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      const what = `${last.done.size.join(" × ")}${kind === "full" ? "" : ", preview"}`;
      say(`${what}, ${seconds} s`, false);
    } else say("", false);
    if (kind === "preview" && !wanted) later = setTimeout(() => fuse("full"), QUIET);
  } catch (error) {
    if (error.name !== "AbortError" && mine === number) {
      fail(error.message);
      open();
      if (/can be aligned/.test(error.message)) controls.refused(true);
    }
  } finally {
    if (mine === number) {
      running = null;
      if (wanted) { wanted = false; fuse("preview"); }
      else ask();
    }
  }
}

// Pictures by other methods that stand in the menus and are not there: one after the other, once the full picture is.
function ask() {
  const name = compare.missing();
  if (name && !running && $("save-8").hasAttribute("href")) rival(name);
}

async function rival(name) {
  const mine = ++number, stop = new AbortController();
  running = { kind: "method", stop };
  try {
    const response = await request(`${place()}/rivals/${name}`, { method: "POST", body: JSON.stringify(controls.settings()), signal: stop.signal });
    let told = -Infinity;  // milliseconds: what is said is read aloud, not every step
    const last = await lines(response, line => {
      if (!line.stage || performance.now() - told < 2000) return;
      told = performance.now();
      say(line.stage);
    });
    if (mine !== number) return;
    if (last?.error) throw new Error(last.error);
    running = null;
    say(last?.done ? `${known.rivals.find(one => one.name === name).label} is there` : "", false);
    if (last?.done) await compare.arrived(last.done.rivals); else compare.gaveUp();
  } catch (error) {
    if (error.name === "AbortError" || mine !== number) return;
    running = null;
    fail(error.message);
    compare.gaveUp();
  }
}

// A preview under way is let to end, and the latest settings follow it; a full picture is given up.
function changed() {
  clearTimeout(later);
  fail("");
  ready(false);
  if (running?.kind === "preview") { wanted = true; return; }
  if (running) running.stop.abort();
  fuse("preview");
}

// The settings, to change what went wrong; the picture is there once there is one.
function open() {
  $("work").hidden = false;
  $("drop").hidden = true;
}

async function show(done) {
  open();
  $("view").hidden = $("after").hidden = false;
  fail("");
  controls.told(done);
  await compare.show(done, place());
  $("lines").replaceChildren(...done.lines.map(text => Object.assign(document.createElement("li"), { textContent: text })));
  $("command").textContent = done.command;
  $("save-transforms").hidden = !done.transforms;
  ready(done.kind === "full");
}

function ready(is) {
  for (const link of document.querySelectorAll("[data-name]")) {
    link.setAttribute("aria-disabled", String(!is));
    if (is) { link.href = `${place()}/download/${link.dataset.name}`; link.download = ""; } else link.removeAttribute("href");
  }
}

function leave() {
  stop();
  if (tab) fetch(`${place()}/close`, { method: "POST", keepalive: true }).catch(() => {});
  tab = "";
}
function stop() {
  number++;
  wanted = false;
  clearTimeout(later);
  running?.stop.abort();
  running = null;
}

async function take(files) {
  leave();
  queue.leave();
  compare.forget();
  fail("");
  const mine = ++number, own = new AbortController();
  running = { kind: "upload", stop: own };
  try {
    const scene = await send(files, known.most_files, say, own.signal, name => { tab = name; });
    if (mine !== number) return;
    controls.begin(scene);
    $("view").hidden = $("after").hidden = true;
    ready(false);
    await fuse("preview");
  } catch (error) {
    if ($("work").hidden && $("queue").hidden) $("drop").hidden = false;
    if (error.name !== "AbortError" && mine === number) fail(error.message);
  }
}

$("cancel").addEventListener("click", () => {
  stop();
  queue.stop();
  compare.gaveUp();
  if (tab) fetch(`${place()}/cancel`, { method: "POST" }).catch(() => {});
  say("cancelled", false);
});
$("again").addEventListener("click", () => {
  leave();
  compare.forget();
  fail("");
  $("work").hidden = true;
  $("drop").hidden = false;
  say("", false);
  $("files").focus();
});
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("command").textContent);
  say("command copied", false);
});
$("controls").addEventListener("submit", event => event.preventDefault());
addEventListener("pagehide", () => { leave(); queue.leave(); });

known = await answer(await request("controls"));
controls.setUp(known, changed);
compare.setUp(known.plain, known.rivals, ask);
queue.setUp(known, say, fail);
onDrop(take, async files => {
  leave();
  compare.forget();
  $("work").hidden = true;
  try { await queue.take(await files); } catch (error) {
    $("drop").hidden = false;
    if (error.name !== "AbortError") fail(error.message);
  }
});
document.documentElement.dataset.ready = "yes";
