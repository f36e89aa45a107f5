// Which files were dropped, and how do they reach the server? One by one, in order, with a line about how far.
// take: told files of one scene. takeMany: told [path, file] of many, where a folder, an archive or chosen so.
export function onDrop(take, takeMany) {
  const body = document.body;
  const isFiles = event => [...(event.dataTransfer?.types ?? [])].includes("Files");
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, event => {
    if (!isFiles(event)) return;
    event.preventDefault();
    body.classList.add("over");
  });
  document.addEventListener("dragleave", event => { if (!event.relatedTarget) body.classList.remove("over"); });
  document.addEventListener("drop", event => {
    if (!isFiles(event)) return;
    event.preventDefault();
    body.classList.remove("over");
    const files = [...event.dataTransfer.files];
    const entries = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
    if (entries.some(entry => entry.isDirectory)) takeMany(inside(entries));
    else if (files.some(file => /\.zip$/i.test(file.name))) takeMany(Promise.resolve(files.map(file => [file.name, file])));
    else take(files);
  });
  for (const id of ["folder", "many"]) {
    const own = document.getElementById(id);
    own.addEventListener("change", () => {
      const files = [...own.files].map(file => [file.webkitRelativePath || file.name, file]);
      own.value = "";
      if (files.length) takeMany(Promise.resolve(files));
    });
  }
  const input = document.getElementById("files");
  input.addEventListener("change", () => { const files = [...input.files]; input.value = ""; if (files.length) take(files); });
}

// [path, file] of all that lies in dropped folders; hidden ones excepted.
async function inside(entries) {
  const found = [];
  for (const entry of entries.filter(one => !one.name.startsWith("."))) {
    if (entry.isFile) found.push([entry.fullPath.slice(1), await new Promise((done, failed) => entry.file(done, failed))]);
    else {
      const reader = entry.createReader();
      for (;;) {  // gives at most 100 at a time
        const some = await new Promise((done, failed) => reader.readEntries(done, failed));
        if (!some.length) break;
        found.push(...await inside(some));
      }
    }
  }
  return found;
}

// As fetch, which does not say why there is no answer.
const unanswered = error => error.name === "AbortError" ? error
  : new Error("the server does not answer: where dig2dig app has ended, start it again and open the address that it prints");
export async function request(url, options) {
  let response;
  try { response = await fetch(url, options); } catch (error) { throw unanswered(error); }
  if (response.status === 403) throw new Error("the server was started anew: open the address that it printed now");
  return response;
}

// A file on its way; of a disk that was removed it cannot be read.
async function put(url, file, signal) {
  try { return await answer(await request(url, { method: "PUT", body: file, signal })); } catch (error) {
    const readable = await file.stream().getReader().read().then(() => true, () => false);
    throw readable ? error : new Error(`${file.name}: expected a file that is still there, found that it cannot be read; drop it again`);
  }
}

export async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  let told = `the server answered ${response.status}`;
  try { told = (await response.json()).error || told; } catch { /* no JSON: the number says it */ }
  throw new Error(told);
}

// The name of the new tab, which `begun` is told at once, and what its files seem to be.
export async function send(files, most, say, signal, begun) {
  if (files.length < 2) throw new Error("expected two or more images of one scene, found one; drop them together");
  if (files.length > most) throw new Error(`expected at most ${most} images, found ${files.length}; drop fewer`);
  const { tab } = await answer(await request("tabs", { method: "POST", signal }));
  begun(tab);
  const names = [...files].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  for (const [number, file] of names.entries()) {
    say(`receiving ${number + 1} of ${names.length}`);
    const url = `tabs/${tab}/files/${number}?name=${encodeURIComponent(file.name)}`;
    await put(url, file, signal);
  }
  say("looking at the images");
  return { tab, ...await answer(await request(`tabs/${tab}/open`, { method: "POST", signal })) };
}

// Many scenes: the name of the folder, and what lies in it.
export async function sendMany(files, most, say, signal, begun) {
  if (files.length > most) throw new Error(`expected at most ${most} files, found ${files.length}; drop fewer, or use dig2dig fuse`);
  const { folder } = await answer(await request("folders", { method: "POST", signal }));
  begun(folder);
  const seen = files.filter(([path]) => !path.split("/").some(part => part.startsWith(".")));
  for (const [number, [path, file]] of seen.entries()) {
    say(`receiving ${number + 1} of ${seen.length}`);
    await put(`folders/${folder}/files?path=${encodeURIComponent(path)}`, file, signal);
  }
  say("looking for scenes");
  return answer(await request(`folders/${folder}/look`, { method: "POST", signal }));
}

// Lines of JSON as they come; the last one.
export async function lines(response, each) {
  if (!response.ok) await answer(response);
  const reader = response.body.getReader(), decoder = new TextDecoder();
  let rest = "", last = null;
  for (;;) {
    const { value, done } = await reader.read().catch(error => { throw unanswered(error); });
    if (done) return last;
    const parts = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = parts.pop();
    for (const part of parts) each(last = JSON.parse(part));
  }
}
