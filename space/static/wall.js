// The wall: shows props.value {seeds, names, truncation, label, model, note, opened}, each cover fetched at its own URL.
const grid = element.querySelector(".wall");
const dialog = element.querySelector("dialog");
const part = (selector) => dialog.querySelector(selector);
const form = part("form");
let covers = []; // that the dialog leafs through: the wall, or a shelf
let index = 0;
let opened = null; // the `at` of the cover that was opened last
let chosen = new URLSearchParams(location.search).has("seeds"); // by somebody; the wall that opens the page is cut to fit the screen
const RETRY_AFTER = [1500, 3000, 6000, 12000]; // ms, while the queue is full

for (const name of albumGan.setup.layouts) form.layout.add(new Option(name[0].toUpperCase() + name.slice(1), name));

const say = (text) => (element.querySelector(".wall-note").textContent = text);
const coversOn = (wall) => wall.seeds.map((seed, i) => ({ ...wall, seed, name: wall.names[i] }));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function newTile(i) {
  const tile = document.createElement("button");
  tile.className = "tile";
  tile.append(new Image(), document.createElement("span"));
  tile.addEventListener("click", () => open(coversOn(shown()), i));
  return tile;
}

// The picture at an address, once it can be shown; retries, and says so, while the queue is full.
async function fetchImage(url, isWanted) {
  for (const wait of [...RETRY_AFTER, 0]) {
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
      return image;
    } catch {
      if (!wait || !isWanted()) return null;
      const answer = await fetch(url).catch(() => null);
      say(answer ? `${answer.ok ? "" : await answer.text()}` : "The page's computer is not responding.");
      await pause(wait * (0.5 + Math.random()));
    }
  }
}

// The old cover stays until the new one is there.
async function turn(tile, cover) {
  const url = albumGan.coverUrl(cover);
  if (tile.dataset.url === url) return;
  tile.dataset.url = url;
  tile.setAttribute("aria-busy", "true");
  const image = await fetchImage(url, () => tile.dataset.url === url);
  if (tile.dataset.url !== url) return; // overtaken by a newer wall
  if (!image) return delete tile.dataset.url; // the next wall tries again
  image.alt = albumGan.describe(image, cover.name);
  const first = !tile.dataset.name;
  tile.dataset.name = cover.name;
  tile.querySelector("img").replaceWith(image);
  tile.querySelector("span").textContent = cover.name;
  tile.removeAttribute("aria-busy");
  if (!first) image.classList.add("turned");
}

// A phone opens with four covers of the first wall; a link shows all that it names.
function shown() {
  const wall = props.value;
  if (chosen || !albumGan.isPhone()) return wall;
  return { ...wall, seeds: wall.seeds.slice(0, 4), names: wall.names.slice(0, 4) };
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

function open(list, i, { note = "", words = "", meant = null } = {}) {
  covers = list;
  index = (i + list.length) % list.length;
  const cover = covers[index];
  part("h2").textContent = cover.name;
  part(".seed").textContent = Number.isInteger(cover.seed) ? `Seed ${cover.seed}` : "";
  part(".note").textContent = note;
  part(".meant").hidden = !meant;
  part(".meant").textContent = `Did you mean ${meant}?`;
  part(".meant").dataset.name = meant ?? "";
  form.reset();
  form.title.value = words.slice(0, 120);
  part("details").open = false;
  show(cover);
  mark();
  if (!dialog.open) {
    dialog.showModal();
    dialog.focus(); // rather than its first button: arrow keys leaf through
  }
}

// The small cover at once, the large one as soon as it is drawn.
async function show(cover, words = {}) {
  const set = words.title || words.artist ? words : {};
  const picture = part("img");
  const large = albumGan.coverUrl(cover, "webp", { size: 512, ...set }); // one pass of the upscaling network
  dialog.dataset.large = large;
  if (!set.layout) picture.src = albumGan.coverUrl(cover);
  picture.alt = `Album cover ${cover.name}`;
  const download = part("[data-action=download]");
  download.href = set.layout ? albumGan.coverUrl(cover, "png", { size: 1024, ...set }) : albumGan.coverUrl(cover);
  download.download = `${cover.name}.png`;
  dialog.setAttribute("aria-busy", "true");
  const image = await fetchImage(large, () => dialog.open && dialog.dataset.large === large);
  if (dialog.dataset.large !== large) return;
  dialog.removeAttribute("aria-busy");
  if (!image) return;
  picture.src = image.src;
  picture.alt = albumGan.describe(image, cover.name) + (set.layout ? `, with the words ${set.title} ${set.artist}` : "");
}

// Buttons say what they would do now.
function mark() {
  const cover = covers[index];
  if (!cover) return;
  const pin = albumGan.pins.indexOf(cover.name);
  part("[data-action=pin]").textContent = pin < 0 ? "Pin" : `Unpin ${String.fromCharCode(65 + pin)}`;
  part("[data-action=keep]").textContent = keptAt(cover) < 0 ? "Keep" : "Forget";
}

const keptAt = (cover) =>
  albumGan.kept.findIndex((one) => ["name", "model", "truncation"].every((key) => one[key] === cover[key]) && (one.label ?? "") === (cover.label ?? ""));

const actions = {
  back: () => open(covers, index - 1),
  on: () => open(covers, index + 1),
  close: () => dialog.close(),
  meant: () => trigger("meant", { name: part(".meant").dataset.name }),
  upscale() {
    dialog.close();
    albumGan.onWall.send(covers[index]);
  },
  edit() {
    dialog.close();
    albumGan.edit(covers[index].name, covers[index]);
    trigger("edit");
  },
  pin() {
    albumGan.chosen = covers[index].name;
    albumGan.onWall.pin();
  },
  keep() {
    const { seed, name, truncation, label, model } = covers[index];
    const at = keptAt(covers[index]);
    albumGan.store(at < 0 ? [...albumGan.kept, { seed, name, truncation, label, model }] : albumGan.kept.toSpliced(at, 1));
  },
  like() {
    dialog.close();
    say(`Looking for covers like ${covers[index].name} …`);
    for (const tile of grid.children) tile.setAttribute("aria-busy", "true");
    trigger("near", { seed: covers[index].seed });
  },
};

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // outside of the picture
  else actions[event.target.dataset?.action]?.();
});
dialog.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select")) return;
  const key = { ArrowLeft: "back", ArrowRight: "on", p: "pin", k: "keep" }[event.key];
  if (key) actions[key]();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  show(covers[index], { title: form.title.value, artist: form.artist.value, layout: form.layout.value });
});

function shelf(name, title, list) {
  const place = element.querySelector(`[data-shelf=${name}]`);
  place.hidden = !list.length;
  const heading = document.createElement("p");
  heading.textContent = title;
  const tiles = list.map((cover, i) => {
    const tile = document.createElement("button");
    tile.className = "tile";
    tile.append(...albumGan.thumbnail(cover.name, i, cover).children);
    tile.querySelector("figcaption").replaceWith(Object.assign(document.createElement("span"), { textContent: name === "pins" ? `${String.fromCharCode(65 + i)}  ${cover.name}` : cover.name }));
    tile.addEventListener("click", () => open(list, i));
    return tile;
  });
  place.replaceChildren(heading, ...tiles);
}

albumGan.onWall = {
  say,
  pin: () => trigger("pin"),
  send: ({ name, truncation = 1, label = "" }) => trigger("send", { name, truncation, label }),
  restore: (settings) => trigger("restore", { settings }),
  showShelves() {
    const wall = props.value;
    shelf("pins", "Pinned", albumGan.pins.map((name) => ({ ...wall, name, seed: name })));
    shelf("kept", "Kept", albumGan.kept.filter((cover) => cover.model === albumGan.setup.model));
    mark();
  },
};

watch("value", () => {
  chosen = true;
  render();
  if (!albumGan.wall || albumGan.isLinked(props.value)) return; // this wall came from the address
  albumGan.linked = null;
  albumGan.wall = props.value;
  albumGan.remember("generate", props.value.seeds);
});
render();
albumGan.onWall.showShelves();
