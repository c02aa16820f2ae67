// The critic: the discriminator's score of a picture, overall and by position.
import { h, address, attempt, button, choice, field, fixed, get, latest, line, picture, trainedModels } from "./dom.js";
import * as state from "./state.js";

const SIDE = 256; // pixels to which an uploaded picture is reduced

export async function mount(body) {
  const { trained, own } = await trainedModels();
  const note = line();
  const score = h("div", { class: "verdict", "aria-live": "polite" });
  const views = h("div", { class: "views" });
  const newest = latest();
  const file = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp", "aria-label": "Your own picture", onchange: () => file.files[0] && judgeFile(file.files[0]) });
  const seed = h("input", { type: "text", value: state.value("seed", "7"), "aria-label": "Seed or name", onchange: () => judgeSeed(seed.value.trim() || "7") });
  const model = () => state.value("model", own);
  body.append(
    h("p", { class: "lead" }, "The discriminator gives scores. It learned to tell real covers from generated ones; a picture with a score above 0 looks real to it, any other fake."),
    h("div", { class: "controls" },
      choice("Network", trained, model(), (name) => (state.set({ model: name }), judgeSeed(seed.value))),
      field("A generated cover: seed or name", seed),
      button("Another cover", () => ((seed.value = Math.floor(Math.random() * 1e8)), judgeSeed(seed.value))),
      field("Or your own picture", file)),
    note, score, views,
    h("p", { class: "fine" }, "Your pictures are downscaled in your browser, scored, and not stored."));

  async function judgeSeed(name) {
    state.set({ seed: name });
    const query = { model: model(), seed: name };
    const verdict = await newest((signal) => attempt(note, () => get("critic.json", query, { signal })));
    if (verdict) (show(verdict, address("cover.webp", query), "The generated cover"), state.did("judged"));
  }

  async function judgeFile(chosen) {
    const bitmap = await createImageBitmap(chosen).catch(() => null);
    file.value = ""; // so that the same file can be chosen again
    if (!bitmap) return void (note.textContent = "This file cannot be read as a picture; choose a PNG, JPEG or WebP file.");
    const side = Math.min(bitmap.width, bitmap.height);
    const canvas = h("canvas", { width: SIDE, height: SIDE });
    canvas.getContext("2d").drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const verdict = await newest((signal) => attempt(note, () => get("critic.json", { model: model() }, { method: "POST", body: blob, signal })));
    if (verdict) (show(verdict, canvas.toDataURL(), "Your picture"), state.did("judged"));
  }

  function show({ score: total, scales }, src, alt) {
    const word = `looks ${total > 0 ? "real" : "fake"}${Math.abs(total) < 0.5 ? ", but only just" : ""}`; // as in the game
    score.replaceChildren(h("strong", {}, fixed(total, 2)), h("span", {}, word),
      h("meter", { min: -6, max: 6, low: -0.5, high: 0.5, optimum: 6, value: Math.max(-6, Math.min(6, total)), "aria-label": "Score from fake to real" }));
    views.replaceChildren(
      h("figure", {}, picture(src, alt), h("figcaption", {}, alt)),
      ...scales.map((scale) => h("figure", {},
        h("div", { class: "overlay" }, picture(src, `${alt}, with the critic's scores for its ${scale.name}`), heat(scale.scores)),
        h("figcaption", {}, scales.length > 1 ? `${scale.name}: ${fixed(scale.mean, 2)}` : "Score by position; these add up to the total"))));
  }

  const [first, network] = [seed.value, model()];
  await judgeSeed(first);
  if (!views.children.length && seed.value === first && model() === network && network !== "teaching") {
    const why = note.textContent; // this network has no usable discriminator: offer another
    body.querySelector("select").value = "teaching";
    state.set({ model: "teaching" });
    await judgeSeed(seed.value);
    note.textContent = `${why} Using the small bundled model instead.`;
  }
}

// Blue where it looks fake, amber where it looks real, with the number for the colour-blind.
function heat(scores) {
  const size = scores.length;
  return h("div", { class: "heat", style: `grid-template-columns: repeat(${size}, 1fr)`, "aria-hidden": true },
    scores.flat().map((value) => {
      const strength = Math.min(0.72, Math.abs(value) / 6);
      return h("span", { style: `background: rgb(${value > 0 ? "255 180 60" : "60 120 255"} / ${strength})` }, size <= 9 ? fixed(value, size > 4 ? 0 : 1) : "");
    }));
}
