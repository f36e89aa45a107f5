// Which files were dropped, and how do they reach the server? One by one, in order, with a line about how far.
export function onDrop(take) {
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
    take([...event.dataTransfer.files]);
  });
  const input = document.getElementById("files");
  input.addEventListener("change", () => { const files = [...input.files]; input.value = ""; if (files.length) take(files); });
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
  const { tab } = await answer(await fetch("tabs", { method: "POST", signal }));
  begun(tab);
  const names = [...files].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
  for (const [number, file] of names.entries()) {
    say(`receiving ${number + 1} of ${names.length}`);
    const url = `tabs/${tab}/files/${number}?name=${encodeURIComponent(file.name)}`;
    await answer(await fetch(url, { method: "PUT", body: file, signal }));
  }
  say("looking at the images");
  return { tab, ...await answer(await fetch(`tabs/${tab}/open`, { method: "POST", signal })) };
}
