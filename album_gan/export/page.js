// The page: a wall of covers, drawn one after the other by the model inside this file. MODEL and ort come before.

const $ = (selector) => document.querySelector(selector);
const status = (text) => ($("#status").textContent = text);
const failed = (event) => status(`This browser cannot draw: ${(event.reason ?? event.error ?? event).message ?? event}`);
addEventListener("unhandledrejection", failed);
addEventListener("error", failed);

/** Bytes out of the script element `id`: gzip, written as base64. */
async function unpacked(id) {
  const text = atob($(id).textContent.trim());
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const ready = (async () => {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpacked("#runtime")).buffer;
  return ort.InferenceSession.create(await unpacked("#model"));
})();

/** The cover of a seed, as ImageData. */
async function draw(seed, truncation, label = 0) {
  const session = await ready;
  const inputs = {
    latents: new ort.Tensor("float32", latentOf(seed, MODEL.latents), [1, MODEL.latents]),
    truncation: new ort.Tensor("float32", [truncation], []),
  };
  const number = label || classOf(seed, MODEL.classCounts);
  if (MODEL.labels.length) inputs.labels = new ort.Tensor("int64", [BigInt(number)], [1]);
  const { images } = await session.run(inputs);
  const size = MODEL.resolution;
  const picture = new ImageData(size, size);
  for (let i = 0; i < size * size; i++) {
    for (let channel = 0; channel < 3; channel++) {
      picture.data[4 * i + channel] = Math.round((images.data[channel * size * size + i] + 1) * 127.5);
    }
    picture.data[4 * i + 3] = 255;
  }
  return picture;
}

/** A canvas's PNG with the cover's settings inside, as album_gan writes them: a tEXt chunk after the header. */
async function pngWith(canvas, settings) {
  const png = new Uint8Array(await (await new Promise((done) => canvas.toBlob(done))).arrayBuffer());
  const text = new TextEncoder().encode(`tEXtalbum_gan\0${JSON.stringify(settings)}`);
  let sum = ~0;
  for (const byte of text) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  const chunk = new DataView(new ArrayBuffer(text.length + 8));
  chunk.setUint32(0, text.length - 4);
  new Uint8Array(chunk.buffer).set(text, 4);
  chunk.setUint32(text.length + 4, ~sum);
  return new Blob([png.slice(0, 33), chunk.buffer, png.slice(33)], { type: "image/png" });
}

// --- The wall

const FIRST = Array.from({ length: 12 }, (_, seed) => seed + 1);
const truncation = () => Number($("#truncation").value);
const label = () => ($("#label") ? Number($("#label").value) : 0);
let queue = [];
let drawing = false;

/** Put seeds on the wall, in front of what hangs there, and draw them in turn. */
function show(seeds, { first = false } = {}) {
  const tiles = seeds.map((seed) => {
    const tile = $("#tile").content.firstElementChild.cloneNode(true);
    tile.dataset.seed = seed;
    tile.querySelector("span").textContent = nameOf(seed);
    tile.querySelector("canvas").width = tile.querySelector("canvas").height = MODEL.resolution;
    tile.addEventListener("click", () => enlarge(tile));
    return tile;
  });
  $("#wall").prepend(...tiles);
  queue = first ? [...tiles, ...queue] : [...queue, ...tiles];
  work();
  return tiles;
}

async function work() {
  if (drawing) return;
  drawing = true;
  try {
    while (queue.length) {
      status(`drawing ${queue.length} ${queue.length > 1 ? "covers" : "cover"}`);
      const tile = queue.shift();
      const settings = { truncation: truncation(), label: label() };
      const picture = await draw(Number(tile.dataset.seed), settings.truncation, settings.label);
      tile.querySelector("canvas").getContext("2d").putImageData(picture, 0, 0);
      Object.assign(tile.dataset, settings, { drawn: "yes" });
      if ($("dialog").open && shown === tile) fill(tile);
      await new Promise((done) => setTimeout(done)); // let the browser paint, and hear taps
    }
    status("");
  } finally {
    drawing = false;
  }
}

function redraw() {
  queue = [...document.querySelectorAll("#wall button")];
  work();
}

// --- One cover, large

let shown = null;

function fill(tile) {
  shown = tile;
  const [from, to] = [tile.querySelector("canvas"), $("dialog canvas")];
  [to.width, to.height] = [from.width, from.height];
  to.getContext("2d").drawImage(from, 0, 0);
  $("dialog h2").textContent = tile.querySelector("span").textContent;
  $("dialog p").textContent = `seed ${tile.dataset.seed}`;
}

function enlarge(tile) {
  fill(tile);
  $("dialog").showModal();
}

async function save() {
  const seed = Number(shown.dataset.seed);
  const settings = {
    format: 1,
    model: MODEL.fingerprint,
    seed,
    name: nameOf(seed),
    truncation: Number(shown.dataset.truncation),
    label: MODEL.labels[Number(shown.dataset.label) - 1] ?? null,
  };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await pngWith(shown.querySelector("canvas"), settings));
  link.download = `${settings.name}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function step(by) {
  const tiles = [...document.querySelectorAll("#wall button")];
  fill(tiles[(tiles.indexOf(shown) + by + tiles.length) % tiles.length]);
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("#name").value;
  if (trimmed(text)) show([seedForAnyText(text)], { first: true })[0].scrollIntoView({ block: "nearest" });
  $("#name").select();
});
$("#more").addEventListener("click", () => {
  show(Array.from({ length: 12 }, () => Math.floor(Math.random() * WORDS.count)), { first: true });
  scrollTo({ top: 0, behavior: "smooth" });
});
$("#truncation").addEventListener("change", redraw);
$("#label")?.addEventListener("change", redraw);
$("#save").addEventListener("click", save);
$("#close").addEventListener("click", () => $("dialog").close());
$("dialog").addEventListener("click", (event) => event.target === $("dialog") && $("dialog").close());
addEventListener("keydown", (event) => {
  if ($("dialog").open && event.key === "ArrowRight") step(1);
  if ($("dialog").open && event.key === "ArrowLeft") step(-1);
});
show(FIRST);
globalThis.albumGan = { classOf, draw, latentOf, nameOf, seedForAnyText };
