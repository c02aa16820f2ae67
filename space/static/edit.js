// Edit: sliders request the cover at a URL that contains all edits, so undo returns to an earlier URL.
const { looks, mixes, first } = props.value;
const part = (selector) => element.querySelector(selector);
const cover = part("[name=cover]");
const style = part("[name=style]");
const picture = part("img");
const sliders = new Map();
let states = []; // the undo history, newest last
let newest = ""; // the latest requested URL

const OPPOSITES = { darker: "lighter", warmer: "cooler", "more colourful": "greyer", busier: "calmer", "more symmetric": "less symmetric" };
const STRIP = [-3, -1.5, 0, 1.5, 3];

function newSlider(name) {
  const label = document.createElement("div");
  label.className = "direction";
  const input = Object.assign(document.createElement("input"), { type: "range", min: -3, max: 3, step: 0.1, value: 0 });
  input.setAttribute("aria-label", name);
  input.addEventListener("input", () => show(false));
  input.addEventListener("change", () => settle());
  // Both ends are labelled, zero is in the middle; five previews below are drawn on focus or hover.
  const ends = document.createElement("div");
  ends.className = "ends";
  ends.append(...[OPPOSITES[name] ?? `less ${name}`, name].map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  const strip = document.createElement("div");
  strip.className = "previews";
  label.append(ends, input, strip);
  for (const event of ["pointerenter", "focusin"]) label.addEventListener(event, () => preview(name, strip));
  sliders.set(name, input);
  return label;
}

function preview(name, strip) {
  if (!cover.value.trim()) return;
  const address = (amount) => editUrl("webp", { edits: JSON.stringify(amount ? { [name]: amount } : {}) });
  if (strip.dataset.of === address(3)) return;
  strip.dataset.of = address(3);
  strip.replaceChildren(...STRIP.map((amount) => {
    const button = Object.assign(document.createElement("button"), { title: `${name} ${amount}` });
    button.setAttribute("aria-label", `${name} ${amount}`);
    const empty = Object.assign(new Image(), { alt: "" });
    button.append(empty);
    albumGan.fetchImage(address(amount), () => empty.isConnected, say).then((image) => image && empty.replaceWith(Object.assign(image, { alt: "" })));
    button.addEventListener("click", () => ((sliders.get(name).value = amount), settle()));
    return button;
  }));
}

part(".looks").append(...looks.map(newSlider));
part(".mix").hidden = !mixes;

const state = () => ({ cover: cover.value.trim(), settings: albumGan.editSettings, style: style.value.trim(), amounts: [...sliders.values()].map((slider) => slider.value) });

function take({ cover: name, settings, style: other, amounts }) {
  [cover.value, style.value, albumGan.editSettings] = [name, other, settings];
  [...sliders.values()].forEach((slider, i) => (slider.value = amounts[i]));
}

function editsNow() {
  const amounts = {};
  for (const [name, slider] of sliders) if (Number(slider.value)) amounts[name] = Number(slider.value);
  return amounts;
}

function editUrl(ending, more) {
  const { truncation, label } = albumGan.editSettings ?? albumGan.wall ?? {};
  return albumGan.coverUrl({ ...albumGan.byName(cover.value.trim()), truncation, label }, ending, more, "edit");
}
const addressOf = (ending, size) => editUrl(ending, { edits: JSON.stringify(editsNow()), style: style.value.trim(), size });

const say = (text) => (part(".note").textContent = text);

// While a slider moves, only its latest position is drawn, small; once it stops, large.
let busy = false;
async function show(large) {
  if (!cover.value.trim()) return say("Type a seed or a name.");
  const url = addressOf("webp", large ? 512 : "");
  if (url === newest) return;
  newest = url;
  if (busy) return;
  busy = true;
  for (let address = ""; address !== newest; ) {
    address = newest;
    const image = await albumGan.fetchImage(address, () => address === newest && element.isConnected, say);
    if (!image) continue; // refused, or outdated
    picture.src = address;
    picture.alt = albumGan.describe(image, `${cover.value.trim()}, edited`);
    if (cover.value.trim()) say("");
  }
  busy = false;
}

function settle(isNew = true) {
  if (!cover.value.trim()) return say("Type a seed or a name.");
  states.push(state());
  albumGan.editing = cover.value.trim();
  albumGan.edits = editsNow();
  albumGan.editStyle = style.value.trim();
  if (isNew || Object.keys(albumGan.edits).length) albumGan.remember("edit", [albumGan.editing]);
  show(true);
  const download = part("[data-edit=download]");
  download.href = addressOf("png", "");
  download.download = `${albumGan.fileName(cover.value.trim())}-edited.png`;
}

function back() {
  const isLast = JSON.stringify(states[states.length - 1]) === JSON.stringify(state()); // not while the name is empty
  if (isLast && states.length > 1) states.pop();
  take(states.pop());
  settle();
}

cover.addEventListener("change", () => (albumGan.editSettings = null)); // another cover: unedited
for (const field of [cover, style]) field.addEventListener("change", () => settle());
part("[data-edit=undo]").addEventListener("click", back);
part("[data-edit=reset]").addEventListener("click", () => {
  for (const slider of sliders.values()) slider.value = 0;
  style.value = "";
  settle();
});
albumGan.editing ??= first;
function begin() {
  [cover.value, style.value] = [albumGan.editing, albumGan.editStyle];
  for (const [name, slider] of sliders) slider.value = albumGan.edits[name] ?? 0;
}
begin();
albumGan.onEdit = () => {
  begin();
  settle(states.length > 0);
};
// Nothing is drawn until the tab is visible.
new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && !states.length && settle(false)).observe(picture);
