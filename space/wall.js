// The wall: shows props.value {seeds, names, truncation, model, opened}, each cover fetched at its own URL.
const grid = element.querySelector(".wall");
const dialog = element.querySelector("dialog");
const part = (selector) => dialog.querySelector(selector);
let index = 0; // of the cover in the dialog
let opened = null; // the asking that was last answered

const urlOf = (wall, seed) => `cover/${seed}.png?truncation=${wall.truncation}&model=${wall.model}`;

function newTile(i) {
  const tile = document.createElement("button");
  tile.className = "tile";
  const name = document.createElement("span");
  tile.append(new Image(), name);
  tile.addEventListener("click", () => open(i, ""));
  return tile;
}

// The old cover stays until the new one is there.
async function turn(tile, url, name) {
  if (tile.dataset.url === url) return;
  tile.dataset.url = url;
  tile.setAttribute("aria-busy", "true");
  const image = new Image();
  image.alt = "Album cover";
  image.src = url;
  try {
    await image.decode();
  } catch {
    if (tile.dataset.url === url) delete tile.dataset.url; // a later look tries again
    return;
  }
  if (tile.dataset.url !== url) return; // overtaken by a newer wall
  const first = !tile.dataset.name;
  tile.dataset.name = name;
  tile.querySelector("img").replaceWith(image);
  tile.querySelector("span").textContent = name;
  tile.removeAttribute("aria-busy");
  if (!first) image.classList.add("turned");
}

function render() {
  const wall = props.value;
  while (grid.children.length > wall.seeds.length) grid.lastChild.remove();
  while (grid.children.length < wall.seeds.length) grid.append(newTile(grid.children.length));
  wall.seeds.forEach((seed, i) => turn(grid.children[i], urlOf(wall, seed), wall.names[i]));
  if (wall.opened && wall.opened.at !== opened) {
    opened = wall.opened.at;
    open(0, wall.opened.note);
  }
}

function open(i, note) {
  const wall = props.value;
  index = (i + wall.seeds.length) % wall.seeds.length;
  const seed = wall.seeds[index];
  const name = wall.names[index];
  part("img").src = urlOf(wall, seed);
  part("img").alt = `Album cover ${name}`;
  part("h2").textContent = name;
  part(".seed").textContent = `Seed ${seed}`;
  part(".note").textContent = note;
  const download = part("[data-action=download]");
  download.href = urlOf(wall, seed);
  download.download = `${name}.png`;
  if (!dialog.open) {
    dialog.showModal();
    dialog.focus(); // rather than its first button: arrow keys leaf through
  }
}

const actions = {
  back: () => open(index - 1, ""),
  on: () => open(index + 1, ""),
  close: () => dialog.close(),
  interpolate: () => send("interpolate"),
  upscale: () => send("upscale"),
};

function send(to) {
  dialog.close();
  trigger("send", { seed: props.value.seeds[index], to });
}

dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // outside of the picture
  else actions[event.target.dataset.action]?.();
});
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") actions.back();
  if (event.key === "ArrowRight") actions.on();
});

watch("value", () => {
  render();
  if (!albumGan.wall) return; // this wall came from the address
  albumGan.wall = props.value;
  albumGan.remember("generate", props.value.seeds);
});
render();
