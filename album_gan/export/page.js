// The page: a wall of covers, drawn by the model inside this file. MODEL, HISTORY and ort are defined before.

const $ = (selector) => document.querySelector(selector);
const status = (text) => ($("#status").textContent = text);
const note = (text) => ($("dialog .note").textContent = text); // on the cover shown large
const failed = (event) => {
  const why = `This browser cannot draw: ${(event.reason ?? event.error ?? event).message ?? event}`;
  status(why);
  note(why);
};
addEventListener("unhandledrejection", failed);
addEventListener("error", failed);

/** Bytes in the script element `id`: gzip in base64. */
async function unpacked(id) {
  const text = atob($(id).textContent.trim());
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const runtime = (async () => {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpacked("#runtime")).buffer;
})();

/** The network in the script element `id`, loaded when needed. */
const networks = {};
const network = (id) => (networks[id] ??= runtime.then(async () => ort.InferenceSession.create(await unpacked(`#${id}`))));

/** The class of a seed's cover: its default, or as chosen in the menu, from a mixture if that is one. */
function classUnder(seed, label) {
  if (label && label <= MODEL.labels.length) return label;
  return classOf(seed, label ? MODEL.mixtures[label - MODEL.labels.length - 1][1] : MODEL.classCounts);
}

/** The stem of a seed's cover, as a tensor. */
async function stemOf(seed, label = 0) {
  const inputs = { latents: new ort.Tensor("float32", latentOf(seed, MODEL.latents), [1, MODEL.latents]) };
  if (MODEL.labels.length) inputs.labels = new ort.Tensor("int64", [BigInt(classUnder(seed, label))], [1]);
  return (await (await network("embedding")).run(inputs)).stems;
}

/** A stem, as ImageData. */
async function paint(stems, truncation) {
  const { images } = await (await network("painting")).run({ stems, truncation: new ort.Tensor("float32", [truncation], []) });
  return pictureOf(images.data, MODEL.resolution, MODEL.resolution);
}

/** The cover of a seed, as ImageData. */
const draw = async (seed, truncation, label = 0) => paint(await stemOf(seed, label), truncation);

/** `inner` x `inner` pixels from the middle of planes of `size` x `size` values in [-1, 1], as ImageData. */
function pictureOf(planes, size, inner) {
  const picture = new ImageData(inner, inner);
  const edge = (size - inner) / 2;
  for (let y = 0; y < inner; y++) {
    for (let x = 0; x < inner; x++) {
      const [from, to] = [(y + edge) * size + x + edge, 4 * (y * inner + x)];
      for (let channel = 0; channel < 3; channel++) picture.data[to + channel] = Math.round((planes[channel * size * size + from] + 1) * 127.5);
      picture.data[to + 3] = 255;
    }
  }
  return picture;
}

/** ImageData of a cover, upscaled four times. It is padded by repeating its edges, as in upscaling.py. */
async function enlarged({ data, width }) {
  const size = width + 2 * MODEL.border;
  const planes = new Float32Array(3 * size * size);
  const inside = (at) => Math.min(width - 1, Math.max(0, at - MODEL.border));
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) planes[(channel * size + y) * size + x] = data[4 * (inside(y) * width + inside(x)) + channel] / 127.5 - 1;
    }
  }
  const { large } = await (await network("upscaler")).run({ images: new ort.Tensor("float32", planes, [1, 3, size, size]) });
  return pictureOf(large.data, 4 * size, 4 * width);
}

/** A canvas's PNG with the cover's settings inside, as album_gan writes them: a tEXt chunk after the header. */
async function pngWith(canvas, settings) {
  const png = new Uint8Array(await (await new Promise((done) => canvas.toBlob(done))).arrayBuffer());
  const ascii = JSON.stringify(settings).replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const text = new TextEncoder().encode(`tEXtalbum_gan\0${ascii}`); // tEXt is Latin-1
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

const truncation = () => Number($("#truncation").value);
const label = () => ($("#label") ? Number($("#label").value) : 0);
const titleOf = (tile) => tile.dataset.typed || nameOf(Number(tile.dataset.seed));
const breathe = () => new Promise((done) => setTimeout(done)); // lets the browser paint and handle taps
const tiles = () => [...document.querySelectorAll("#wall button")];
const columns = () => getComputedStyle($("#wall")).gridTemplateColumns.split(" ").length;
let queue = [];
let drawing = false;

/** As many covers as fill the screen. */
function wallSize() {
  const height = $("#wall").clientWidth / columns() + 26;
  const rows = Math.floor((innerHeight - $("#wall").offsetTop) / height);
  return columns() * Math.max(columns() === 8 ? 2 : 3, Math.min(4, rows));
}

function newTile(seed, typed = "") {
  const tile = $("#tile").content.firstElementChild.cloneNode(true);
  Object.assign(tile.dataset, { seed, typed });
  tile.querySelector("span").textContent = titleOf(tile);
  tile.querySelector("canvas").width = tile.querySelector("canvas").height = MODEL.resolution;
  tile.addEventListener("click", () => enlarge(tile));
  return tile;
}

/** Draw tiles in turn, `some` first. */
function redraw(some = tiles()) {
  queue = [...some, ...queue.filter((tile) => tile.isConnected && !some.includes(tile))];
  work();
}

async function work() {
  if (drawing) return;
  drawing = true;
  try {
    while (queue.length) {
      status(`Drawing ${queue.length} ${queue.length > 1 ? "covers" : "cover"}`);
      const tile = queue.shift();
      if (!tile.isConnected) continue;
      const settings = { truncation: truncation(), label: label() };
      const picture = await draw(Number(tile.dataset.seed), settings.truncation, settings.label);
      tile.querySelector("canvas").getContext("2d").putImageData(picture, 0, 0);
      Object.assign(tile.dataset, settings, { drawn: "yes" });
      if ($("dialog").open && shown === tile) fill(tile);
      await breathe();
    }
    status("");
  } finally {
    drawing = false;
  }
}

// --- One cover, large

let shown = null;
let large = false; // whether the dialog shows it upscaled by the network
let film = 0; // number of the current film, so that a later action stops it
const canvas = $("dialog canvas");

function put(picture) {
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
const pixelsOf = (tile) => tile.querySelector("canvas").getContext("2d").getImageData(0, 0, MODEL.resolution, MODEL.resolution);

function fill(tile) {
  film += 1;
  [shown, large] = [tile, false];
  put(pixelsOf(tile));
  $("dialog h2").textContent = titleOf(tile);
  $("dialog .seed").textContent = `${tile.dataset.typed ? `${nameOf(Number(tile.dataset.seed))} · ` : ""}Seed ${tile.dataset.seed}`;
  note(tile.dataset.drawn ? "" : "Not drawn yet");
  for (const action of NEED_A_COVER) $(`[data-do=${action}]`).setAttribute("aria-disabled", !tile.dataset.drawn);
}

function enlarge(tile) {
  fill(tile);
  if (!$("dialog").open) $("dialog").showModal();
}

const neighbour = (by) => tiles().at((tiles().indexOf(shown) + by) % tiles().length);

const actions = {
  async save() {
    const seed = Number(shown.dataset.seed);
    const settings = {
      format: 1,
      model: MODEL.fingerprint,
      seed,
      name: nameOf(seed),
      truncation: Number(shown.dataset.truncation),
      label: [...MODEL.labels, ...MODEL.mixtures.map(([name]) => name)][Number(shown.dataset.label) - 1] ?? null,
      ...(shown.dataset.typed ? { typed: shown.dataset.typed } : {}),
    };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await pngWith(large ? canvas : shown.querySelector("canvas"), settings));
    link.download = `${titleOf(shown).replace(/[\x00-\x1f/\\:*?"<>|]+/g, "-").slice(0, 80)}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  },
  async enlarge() {
    if (!MODEL.upscales) return; // by its key; it has no button
    const [tile, mine] = [shown, (film += 1)];
    put(pixelsOf(tile)); // a film may have been shown
    note("Enlarging …");
    await new Promise((done) => setTimeout(done, 60)); // until that is on the screen
    const picture = await enlarged(pixelsOf(tile));
    if (film !== mine) return;
    put(picture);
    large = true;
    note("");
  },
  /** To the next cover, on the path of the web page's films: stems in between, by a spline (latents.smooth_path). */
  async morph() {
    const [from, to, frames, mine] = [shown, neighbour(1), [], (film += 1)];
    large = false;
    const ends = [await stemOf(Number(from.dataset.seed), label()), await stemOf(Number(to.dataset.seed), label())];
    for (let i = 0; i < FRAMES && film === mine; i++) {
      note(`Drawing ${i + 1} of ${FRAMES}`);
      const t = i / (FRAMES - 1);
      const amount = (t + 3 * t ** 2 - 2 * t ** 3) / 2;
      const mixed = ends[0].data.map((value, at) => value + amount * (ends[1].data[at] - value));
      frames.push(await createImageBitmap(await paint(new ort.Tensor("float32", mixed, ends[0].dims), truncation())));
      await breathe();
    }
    if (film !== mine) return;
    note("");
    const context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [MODEL.resolution, MODEL.resolution];
    const begin = performance.now();
    const step = (now) => {
      if (film !== mine || !$("dialog").open) return;
      const at = Math.min(1, Math.max(0, now - begin) / FILM_FOR) * (FRAMES - 1);
      context.globalAlpha = 1;
      context.drawImage(frames[Math.floor(at)], 0, 0);
      context.globalAlpha = at % 1;
      context.drawImage(frames[Math.ceil(at)], 0, 0);
      if (at < FRAMES - 1) requestAnimationFrame(step);
      else fill(to);
    };
    requestAnimationFrame(step);
  },
  close: () => $("dialog").close(),
  back: () => fill(neighbour(-1)),
  on: () => fill(neighbour(1)),
};
const NEED_A_COVER = ["save", "enlarge"]; // which would be blank; not `disabled`, which would lose the focus
const act = (action) => (shown.dataset.drawn || !NEED_A_COVER.includes(action)) && actions[action]();
const FRAMES = 20;
const FILM_FOR = 3000; // ms

const KEYS = { ArrowRight: "on", PageDown: "on", ArrowLeft: "back", PageUp: "back", m: "morph", e: "enlarge" };
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isStage = $("dialog").classList.contains("stage");
  if ($("dialog").open) {
    const action = KEYS[event.key] ?? (isStage && (event.key === " " || event.key === "Enter") && "on");
    if (!action) return;
    event.preventDefault();
    return act(action);
  }
  // On the wall, arrow keys go from tile to tile.
  const at = tiles().indexOf(document.activeElement);
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() }[event.key];
  if (at < 0 || !by) return;
  event.preventDefault();
  tiles()[at + by]?.focus();
});
$("dialog").addEventListener("click", (event) => {
  const isStage = $("dialog").classList.contains("stage");
  const action = event.target.dataset.do ?? (isStage ? "on" : event.target === $("dialog") && "close");
  if (action) act(action);
});
let touched = null;
$("dialog").addEventListener("touchstart", (event) => (touched = event.touches[0]), { passive: true });
$("dialog").addEventListener("touchend", (event) => {
  const { clientX = 0, clientY = 0 } = event.changedTouches[0] ?? {};
  const [across, down] = touched ? [clientX - touched.clientX, clientY - touched.clientY] : [0, 0];
  if (Math.abs(across) < 50 || Math.abs(across) < 2 * Math.abs(down)) return;
  event.preventDefault(); // no click after it
  actions[across < 0 ? "on" : "back"]();
});
$("dialog").addEventListener("close", () => {
  film += 1;
  $("dialog").classList.remove("stage");
  if (document.fullscreenElement) document.exitFullscreen();
  shown?.focus();
});
document.addEventListener("fullscreenchange", () => !document.fullscreenElement && $("dialog").classList.contains("stage") && $("dialog").close());
$("#present").addEventListener("click", () => {
  $("dialog").classList.add("stage");
  enlarge(tiles()[0]);
  document.documentElement.requestFullscreen?.().catch(() => {}); // if refused, stay in the window
});

// --- The rest of the page

const MAX_COVERS = 64; // of a list, as on the web page

/** What the text in the field chooses; null, with the reason shown at the field, if it is refused. */
function chosenIn(field) {
  try {
    const chosen = readSeeds(field.value);
    if (chosen.length > MAX_COVERS) throw new Error(`seeds must be at most ${MAX_COVERS} on a wall, got ${chosen.length}; type a shorter list`);
    return chosen;
  } catch (error) {
    field.setCustomValidity(error.message);
    field.reportValidity();
    return null;
  }
}

// One cover comes first on the wall and opens; those of a list become the wall.
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = $("#name");
  const chosen = trimmed(field.value) && chosenIn(field);
  if (!chosen) return;
  const added = chosen.map(({ seed, typed }) => newTile(seed, typed));
  if (added.length > 1) {
    $("#wall").replaceChildren(...added);
    redraw();
  } else {
    $("#wall").prepend(added[0]);
    if (tiles().length > wallSize()) tiles().at(-1).remove();
    redraw(added);
    enlarge(added[0]);
  }
  field.blur();
});
$("#name").addEventListener("input", () => $("#name").setCustomValidity(""));
$("#new-wall").addEventListener("click", () => {
  $("#wall").replaceChildren(...Array.from({ length: wallSize() }, () => newTile(Math.floor(Math.random() * WORDS.count))));
  redraw();
});
$("#truncation").addEventListener("change", () => redraw());
$("#label")?.addEventListener("change", () => redraw());

// Light or dark as in the system's settings, until the switch is used; as on the web page.
const root = document.documentElement;
try {
  if (localStorage.getItem("album-gan-theme")) root.dataset.theme = localStorage.getItem("album-gan-theme");
} catch {}
$("#theme").addEventListener("click", () => {
  const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  root.dataset.theme = (root.dataset.theme ?? system) === "light" ? "dark" : "light";
  try {
    localStorage.setItem("album-gan-theme", root.dataset.theme);
  } catch {}
});

// The training's history: the same seeds, from noise to covers.
if (HISTORY.length) {
  const slider = $("#history input");
  const showMoment = () => {
    const [images, picture] = HISTORY[slider.value];
    $("#history img").src = `data:image/webp;base64,${picture}`;
    $("#history span").textContent = $("#history img").alt = images ? `After ${images.toLocaleString("en")} covers seen` : "Before training: noise";
  };
  slider.max = HISTORY.length - 1;
  slider.value = slider.max;
  slider.addEventListener("input", showMoment);
  showMoment();
  $("#history").hidden = false;
}
if (!MODEL.upscales) $("[data-do=enlarge]").hidden = true;

$("#wall").append(...MODEL.wall.slice(0, wallSize()).map((seed) => newTile(seed)));
redraw();
globalThis.albumGan = { classOf, classUnder, draw, enlarged, latentOf, nameOf, readSeeds, seedForAnyText };
