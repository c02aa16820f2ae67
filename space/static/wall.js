// The wall: shows props.value {seeds, names, truncation, label, model, note, opened}, each cover fetched from its own URL.
const grid = element.querySelector(".wall");
const dialog = element.querySelector("dialog");
const part = (selector) => dialog.querySelector(selector);
const form = part("form");
let covers = []; // the dialog's: the wall, or a shelf
let index = 0;
let opened = null; // `at` of the cover opened last
let chosen = new URLSearchParams(location.search).has("seeds"); // by the user; the page's first wall is cut to fit the screen

part("[data-action=small]").textContent = `Download ${albumGan.setup.resolution} px`;
for (const name of albumGan.setup.layouts) form.layout.add(new Option(name[0].toUpperCase() + name.slice(1), name));

const say = (text) => (element.querySelector(".wall-note").textContent = text);
const coversOn = (wall) => wall.seeds.map((seed, i) => ({ ...wall, seed, name: wall.names[i], typed: wall.typed?.[i] ?? "" }));
const nameOf = albumGan.nameOf;

function newTile(i) {
  const tile = document.createElement("button");
  tile.className = "tile";
  tile.append(new Image(), document.createElement("span"));
  tile.addEventListener("click", () => open(coversOn(shown()), i));
  return tile;
}

// The old cover stays until the new one has loaded.
async function turn(tile, cover) {
  const url = albumGan.coverUrl(cover);
  if (tile.dataset.url === url) return;
  tile.dataset.url = url;
  tile.setAttribute("aria-busy", "true");
  const image = await albumGan.fetchImage(url, () => tile.isConnected && tile.dataset.url === url, (text) => say(text || shown().note));
  if (tile.dataset.url !== url) return; // superseded by a newer wall
  tile.removeAttribute("aria-busy");
  if (!image) return delete tile.dataset.url; // the next wall tries again
  image.alt = albumGan.describe(image, nameOf(cover));
  const first = !tile.dataset.name;
  tile.dataset.name = nameOf(cover);
  tile.querySelector("img").replaceWith(image);
  tile.querySelector("span").textContent = nameOf(cover);
  if (!first) image.classList.add("turned");
}

// The first wall is cut to fit the screen; a link shows all its covers.
function shown() {
  const wall = props.value;
  if (chosen) return wall;
  const count = albumGan.wallSize();
  return { ...wall, seeds: wall.seeds.slice(0, count), names: wall.names.slice(0, count), typed: wall.typed?.slice(0, count) };
}

function render() {
  const wall = shown();
  say(wall.note);
  while (grid.children.length > wall.seeds.length) grid.lastChild.remove();
  while (grid.children.length < wall.seeds.length) grid.append(newTile(grid.children.length));
  coversOn(wall).forEach((cover, i) => turn(grid.children[i], cover));
  if (wall.opened && wall.opened.at !== opened) {
    opened = wall.opened.at;
    open(coversOn(wall), 0, wall.opened);
  }
}

function open(list, i, { note = "", meant = null } = {}) {
  covers = list;
  index = (i + list.length) % list.length;
  const cover = covers[index];
  part("h2").textContent = nameOf(cover);
  const settings = [
    cover.typed && cover.name !== cover.typed ? cover.name : "",
    Number.isInteger(cover.seed) ? `Seed ${cover.seed}` : "",
    (cover.truncation ?? 1) === 1 ? "" : `truncation ${cover.truncation}`,
    cover.label || "",
  ];
  part(".seed").textContent = settings.filter(Boolean).join(" · ");
  const own = albumGan.wall ?? cover;
  part("[data-action=settings]").hidden = own.truncation === cover.truncation && (own.label || "") === (cover.label || "");
  part(".note").textContent = note;
  part(".meant").hidden = !meant;
  part(".meant").textContent = `Did you mean ${meant}?`;
  part(".meant").dataset.name = meant ?? "";
  form.reset();
  form.title.value = (cover.typed ?? "").slice(0, 120);
  part("[data-action=type]").hidden = !cover.typed;
  part(".numbers").open = false;
  compare(false);
  part("details").open = false;
  show(cover);
  mark();
  if (!dialog.open && albumGan.isShown(grid)) { // in a hidden tab it would be invisible, and the page inert
    dialog.showModal();
    dialog.focus(); // not its first button, so that the arrow keys work
  }
}

// Show the small cover immediately, the large one once it is drawn.
async function show(cover, words = {}) {
  const set = words.title || words.artist ? words : {};
  const picture = part("img");
  const large = albumGan.coverUrl(cover, "webp", { size: 512, ...set }); // one pass of the upscaling network
  dialog.dataset.large = large;
  if (!set.layout) picture.src = albumGan.coverUrl(cover);
  picture.alt = `Album cover ${nameOf(cover)}`;
  const download = part("[data-action=download]");
  download.href = albumGan.coverUrl(cover, "png", { size: 1024, ...set });
  download.download = `${albumGan.fileName(nameOf(cover))}.png`;
  const small = part("[data-action=small]");
  small.href = albumGan.coverUrl(cover);
  small.download = download.download;
  dialog.setAttribute("aria-busy", "true");
  const image = await albumGan.fetchImage(large, () => dialog.open && dialog.dataset.large === large, (text) => (part(".note").textContent = text));
  if (dialog.dataset.large !== large) return;
  dialog.removeAttribute("aria-busy");
  if (!image) return;
  picture.src = image.src;
  picture.alt = albumGan.describe(image, nameOf(cover)) + (set.layout ? `, with the words ${set.title} ${set.artist}` : "");
}

// Update the buttons' text.
function mark() {
  const cover = covers[index];
  if (!cover) return;
  const pin = albumGan.pins.indexOf(nameOf(cover));
  part("[data-action=pin]").textContent = pin < 0 ? "Pin" : `Unpin ${String.fromCharCode(65 + pin)}`;
  const isLone = !rival();
  part("[data-action=compare]").hidden = isLone;
  if (isLone) compare(false);
  part("[data-action=keep]").textContent = keptAt(cover) < 0 ? "Keep" : "Forget";
}

const keptAt = (cover) =>
  albumGan.kept.findIndex((one) => nameOf(one) === nameOf(cover) && one.model === cover.model && one.truncation === cover.truncation && (one.label ?? "") === (cover.label ?? ""));

const actions = {
  back: () => open(covers, index - 1),
  on: () => open(covers, index + 1),
  close: () => dialog.close(),
  compare: () => compare(other.hidden),
  type: () => typeset(),
  settings: () => trigger("adopt", { truncation: covers[index].truncation, label: covers[index].label ?? "" }),
  meant: () => trigger("meant", { name: part(".meant").dataset.name }),
  upscale() {
    dialog.close();
    albumGan.onWall.send(covers[index]);
  },
  edit() {
    dialog.close();
    albumGan.edit(nameOf(covers[index]), covers[index]);
    trigger("edit");
  },
  pin() {
    albumGan.chosen = nameOf(covers[index]);
    const refusal = albumGan.pinRefusal(albumGan.chosen);
    if (refusal) return void (part(".note").textContent = refusal);
    albumGan.onWall.pin();
    if (!part("[data-action=settings]").hidden) part(".note").textContent = "Pinned covers use the wall's truncation and style.";
  },
  keep() {
    const { seed, name, typed = "", truncation, label, model } = covers[index];
    const at = keptAt(covers[index]);
    albumGan.store(at < 0 ? [...albumGan.kept, { seed, name, typed, truncation, label, model }] : albumGan.kept.toSpliced(at, 1));
  },
  like() {
    dialog.close();
    say(`Looking for covers like ${nameOf(covers[index])} …`);
    trigger("near", { seed: covers[index].seed, typed: covers[index].typed ?? "" });
  },
};

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // outside of the picture
  else actions[event.target.dataset?.action]?.();
});
// On a phone, swipe to browse.
let touched = null;
dialog.addEventListener("touchstart", (event) => {
  touched = event.touches.length === 1 && !event.target.matches("input, select") ? event.touches[0] : null; // sliders are dragged
}, { passive: true });
dialog.addEventListener("touchend", (event) => {
  const { clientX = 0, clientY = 0 } = event.changedTouches[0] ?? {};
  const [across, down] = touched ? [clientX - touched.clientX, clientY - touched.clientY] : [0, 0];
  if (Math.abs(across) > 50 && Math.abs(across) > 2 * Math.abs(down)) actions[across < 0 ? "on" : "back"]();
});

// The latent z of a cover, as bars; and its style.
part(".numbers").addEventListener("toggle", async () => {
  if (!part(".numbers").open) return;
  const cover = covers[index];
  const answer = await fetch(`numbers.json?${albumGan.queryOf(cover, { seeds: nameOf(cover) })}`).catch(() => null);
  if (!answer?.ok || covers[index] !== cover) return;
  const { latents: numbers, style } = await answer.json();
  part(".bars").replaceChildren(...numbers.map((value) => Object.assign(document.createElement("i"), { title: value.toFixed(2), style: `--z: ${value}` })));
  part(".bars").setAttribute("aria-label", `${numbers.length} numbers: ${numbers.slice(0, 4).map((value) => value.toFixed(2)).join(", ")} …`);
  part(".style").hidden = !style;
  part(".style").textContent = `And the style “${style}”.`;
});

// Two covers under one slider: this one and the next.
const [other, split] = [part(".other"), part(".stage input")];
split.addEventListener("input", () => dialog.style.setProperty("--split", `${split.value}%`));
// The cover to compare with: the first pinned one, or else the next; undefined if there is no other.
function rival() {
  const pinned = albumGan.pins.map((name) => ({ ...albumGan.wall, typed: "", ...albumGan.byName(name) }));
  const next = covers.length > 1 ? covers[(index + 1) % covers.length] : undefined;
  return pinned.find((one) => nameOf(one) !== nameOf(covers[index])) ?? next;
}
function compare(isOn) {
  other.hidden = split.hidden = !isOn;
  part("[data-action=compare]").setAttribute("aria-pressed", isOn);
  if (!isOn) return;
  const cover = rival();
  other.src = albumGan.coverUrl(cover, "webp", { size: 512 });
  other.alt = `Album cover ${nameOf(cover)}, to compare`;
  part(".note").textContent = `Left ${nameOf(covers[index])}, right ${nameOf(cover)}`;
}
dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = { ArrowLeft: "back", ArrowRight: "on", p: "pin", k: "keep" }[event.key];
  if (key) actions[key]();
});
const typeset = () => show(covers[index], { title: form.title.value, artist: form.artist.value, layout: form.layout.value });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  typeset();
});

function shelf(name, title, list) {
  const place = element.querySelector(`[data-shelf=${name}]`);
  place.hidden = !list.length;
  const heading = document.createElement("p");
  heading.textContent = title;
  const tiles = list.map((cover, i) => {
    const tile = document.createElement("button");
    tile.className = "tile";
    tile.append(...albumGan.thumbnail(nameOf(cover), i, cover).children);
    tile.querySelector("figcaption").replaceWith(Object.assign(document.createElement("span"), { textContent: name === "pins" ? `${String.fromCharCode(65 + i)}  ${nameOf(cover)}` : nameOf(cover) }));
    tile.addEventListener("click", () => open(list, i));
    return tile;
  });
  place.replaceChildren(heading, ...tiles);
}

albumGan.onWall = {
  say,
  pin: () => trigger("pin"),
  send(cover) {
    albumGan.sent = { name: nameOf(cover), truncation: cover.truncation ?? 1, label: cover.label ?? "" };
    trigger("send", albumGan.sent);
  },
  restore: (settings) => trigger("restore", { settings }),
  showShelves() {
    const wall = props.value;
    shelf("pins", "Pinned", albumGan.pins.map((name) => ({ ...wall, typed: "", ...albumGan.byName(name) })));
    shelf("kept", "Kept", albumGan.kept.filter((cover) => cover.model === albumGan.setup.model));
    mark();
  },
};

watch("value", () => {
  chosen = true;
  render();
  if (!albumGan.wall) albumGan.earlyWall = props.value;
  if (!albumGan.wall || albumGan.isLinked(props.value)) return; // this wall came from the address
  albumGan.linked = null;
  albumGan.wall = props.value;
  albumGan.onWall.showShelves();
  albumGan.showStrip();
  if (albumGan.isShown(grid)) albumGan.remember("generate", albumGan.wallNames(props.value));
});
render();
albumGan.onWall.showShelves();
