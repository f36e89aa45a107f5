"use strict";
// The figure of a paper, from the pair and the crop on the page: as PNG of 600 dots an inch, and as PDF with every pixel.
const MM = 1 / 25.4, GAP = 0.8 * MM, LETTERS = 8 / 72;  // inches
const INSET = 0.46;  // of an image's height

// {wide, tall, tiles: [{image, label, x, y, width, height, inset}]}, inches from the upper left corner.
function arranged() {
  const wide = Number($("figure-width").value) * MM;
  const kinds = $("figure-plain").checked ? ["source", "method", "plain"] : ["source", "method"];
  const chosen = view.pictures.map((image, index) => ({ image, label: data.labels[index], kind: data.kinds[index] }))
    .filter(one => kinds.includes(one.kind));
  const most = Math.min(chosen.length, Math.floor(wide / (28 * MM))), lines = Math.ceil(chosen.length / most);
  const columns = Math.ceil(chosen.length / lines), width = (wide - (columns - 1) * GAP) / columns;
  const { naturalWidth, naturalHeight } = chosen[0].image, height = width * naturalHeight / naturalWidth;
  const line = height + 1.5 * LETTERS, side = Math.min(INSET * height, 0.5 * width);
  const middle = view.crop.x + view.crop.side / 2 < naturalWidth / 2;  // the inset lies away from what it shows
  const tiles = chosen.map((one, k) => {
    const x = (k % columns) * (width + GAP), y = Math.floor(k / columns) * (line + GAP);
    const inset = { x: x + (middle ? width - side : 0), y: y + height - side, side };
    return { ...one, x, y, width, height, scale: width / naturalWidth, inset };
  });
  return { wide, tall: lines * (line + GAP) - GAP, tiles };
}

function written(context, text, x, y, room, size) {
  context.font = `${size}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "alphabetic";
  while (text.length > 2 && context.measureText(text).width > room) text = `${text.slice(0, -2)}…`;
  context.fillText(text, x, y);
}

function asPng() {
  const dots = 600, { wide, tall, tiles } = arranged();
  const canvas = element("canvas", { width: Math.round(wide * dots), height: Math.round(tall * dots) });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const { x, y, side } = view.crop;
  for (const tile of tiles) {
    const [left, top, width, height, scale] = [tile.x, tile.y, tile.width, tile.height, tile.scale].map(length => length * dots);
    const [insetX, insetY, insetSide] = [tile.inset.x, tile.inset.y, tile.inset.side].map(length => length * dots);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(tile.image, left, top, width, height);
    context.imageSmoothingEnabled = false;
    context.drawImage(tile.image, x, y, side, side, insetX, insetY, insetSide, insetSide);
    context.strokeStyle = "#ffd400";
    context.lineWidth = dots / 72;
    context.strokeRect(left + x * scale, top + y * scale, side * scale, side * scale);
    context.strokeRect(insetX + dots / 144, insetY + dots / 144, insetSide - dots / 72, insetSide - dots / 72);
    context.fillStyle = "#000";
    written(context, tile.label, left + width / 2, top + height + 1.1 * LETTERS * dots, width, LETTERS * dots);
  }
  return new Promise(resolve => canvas.toBlob(resolve, "image/png"));
}

const zipped = async bytes => new Uint8Array(await new Response(
  new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"))).arrayBuffer());

// Of an image, red, green and blue of every pixel; of a label, its letters as dots, so that no font is missing.
async function picture(canvas, gray) {
  const { width, height } = canvas, rgba = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const channels = gray ? 1 : 3, bytes = new Uint8Array(width * height * channels);
  for (let k = 0; k < width * height; k++) for (let c = 0; c < channels; c++) bytes[k * channels + c] = rgba[4 * k + c];
  return { width, height, space: gray ? "DeviceGray" : "DeviceRGB", bytes: await zipped(bytes) };
}

async function asPdf() {
  const { wide, tall, tiles } = arranged(), point = 72, dots = 1200;
  const images = [], drawn = [];
  const at = number => number.toFixed(4);
  const put = (k, x, y, width, height) => `q ${at(width * point)} 0 0 ${at(height * point)} ${at(x * point)} ${at((tall - y - height) * point)} cm /I${k} Do Q`;
  const box = (x, y, width, height) => `${at(x * point)} ${at((tall - y - height) * point)} ${at(width * point)} ${at(height * point)} re`;
  const { x, y, side } = view.crop;
  for (const tile of tiles) {
    const whole = element("canvas", { width: tile.image.naturalWidth, height: tile.image.naturalHeight });
    whole.getContext("2d").drawImage(tile.image, 0, 0);
    const k = images.push(await picture(whole, false)) - 1, { inset, scale } = tile, larger = inset.side / side;
    drawn.push(put(k, tile.x, tile.y, tile.width, tile.height));
    drawn.push(`q ${box(inset.x, inset.y, inset.side, inset.side)} W n`,
      put(k, inset.x - x * larger, inset.y - y * larger, whole.width * larger, whole.height * larger), "Q");
    const half = 0.5 / point;
    drawn.push("1 0.83 0 RG 1 w", box(tile.x + x * scale, tile.y + y * scale, side * scale, side * scale), "S",
      box(inset.x + half, inset.y + half, inset.side - 2 * half, inset.side - 2 * half), "S");
    const label = element("canvas", { width: Math.round(tile.width * dots), height: Math.round(1.5 * LETTERS * dots) });
    const context = label.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, label.width, label.height);
    context.fillStyle = "#000";
    written(context, tile.label, label.width / 2, 1.1 * LETTERS * dots, label.width, LETTERS * dots);
    drawn.push(put(images.push(await picture(label, true)) - 1, tile.x, tile.y + tile.height, tile.width, 1.5 * LETTERS));
  }
  const encoder = new TextEncoder(), parts = [], places = [];
  let length = 0;
  const add = part => { const bytes = typeof part === "string" ? encoder.encode(part) : part; parts.push(bytes); length += bytes.length; };
  const object = (...content) => { places.push(length); add(`${places.length} 0 obj\n`); content.forEach(add); add("\nendobj\n"); };
  const page = await zipped(encoder.encode(drawn.join("\n")));
  add("%PDF-1.4\n%\u00e2\u00e3\n");
  object("<< /Type /Catalog /Pages 2 0 R >>");
  object("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
  const named = images.map((_, k) => `/I${k} ${k + 5} 0 R`).join(" ");
  object(`<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${at(wide * point)} ${at(tall * point)}] /Contents 4 0 R /Resources << /XObject << ${named} >> >> >>`);
  object(`<< /Length ${page.length} /Filter /FlateDecode >>\nstream\n`, page, "\nendstream");
  for (const one of images) object(`<< /Type /XObject /Subtype /Image /Width ${one.width} /Height ${one.height} /ColorSpace /${one.space} ` +
    `/BitsPerComponent 8 /Length ${one.bytes.length} /Filter /FlateDecode >>\nstream\n`, one.bytes, "\nendstream");
  const start = length;
  add(`xref\n0 ${places.length + 1}\n0000000000 65535 f \n${places.map(place => `${String(place).padStart(10, "0")} 00000 n \n`).join("")}`);
  add(`trailer\n<< /Size ${places.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF\n`);
  return new Blob(parts, { type: "application/pdf" });
}

for (const [ending, make] of [["png", asPng], ["pdf", asPdf]]) $(`figure-${ending}`)?.addEventListener("click", async () => {
  if (!view.crop) return;
  $("drawn").textContent = "drawing";
  save(`comparison.${ending}`, await make());
  $("drawn").textContent = `comparison.${ending}, ${$("figure-width").value} mm wide`;
});
