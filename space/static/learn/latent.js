// Latent space: arithmetic on covers, line versus sphere, truncation.
import { h, address, attempt, button, choice, fetchPicture, field, latest, line, picture, slider, trainedModels } from "./dom.js";
import * as state from "./state.js";

export async function mount(body) {
  const { trained, own } = await trainedModels();
  const model = () => state.value("model", own);
  const note = line();
  const sum = h("div", { class: "sum" });
  const walks = h("div", { class: "batches" });
  const tame = h("div", { class: "truncation" });
  const seeds = { a: state.value("a", "7"), b: state.value("b", "11"), c: state.value("c", "12") };
  const input = (name) => field(name.toUpperCase(), h("input", { type: "text", value: seeds[name], "aria-label": `Cover ${name.toUpperCase()}: seed or name`, onchange: (event) => ((seeds[name] = event.target.value.trim() || "1"), show(true)) }));
  body.append(
    h("p", { class: "lead" }, "A seed is a point in a space of a hundred or so dimensions. You can add points and interpolate between them; nearby points give similar covers."),
    h("div", { class: "controls" }, choice("Network", trained, model(), (name) => (state.set({ model: name }), show(false))), input("a"), input("b"), input("c"),
      button("Other covers", () => {
        for (const name of "abc") seeds[name] = String(Math.floor(Math.random() * 1e8));
        body.querySelectorAll(".controls input").forEach((element, i) => (element.value = Object.values(seeds)[i]));
        show(true);
      }, { "data-do": "others" })),
    note,
    h("h3", {}, "A − B + C"), sum,
    h("h3", {}, "From A to B"), walks,
    h("h3", {}, "Truncation"), h("p", {}, "Lower values pull every cover towards the mean cover: safer, and more alike."), tame);

  const newest = latest();
  const cover = (name, truncation = 1) => albumGan.coverUrl({ seed: name, truncation });
  async function show(byHand) {
    if (byHand) (state.set(seeds), state.did("latent"));
    const [{ a, b, c }, network] = [{ ...seeds }, model()];
    const drawn = (name) => address("cover.webp", { model: network, seed: name });
    const one = (src, text) => h("figure", {}, picture(src, text), h("figcaption", {}, text));
    const result = await newest((signal) => attempt(note, () => fetchPicture("sum.webp", { model: network, a, b, c }, { signal })));
    if (!result) return;
    result.image.alt = "The cover A minus B plus C";
    result.image.className = "pixels";
    sum.replaceChildren(one(drawn(a), "A"), h("b", {}, "−"), one(drawn(b), "B"), h("b", {}, "+"), one(drawn(c), "C"), h("b", {}, "="), h("figure", {}, result.image, h("figcaption", {}, "A − B + C")));
    walks.replaceChildren(...[["line", "The straight line cuts inside the shell on which training latents lie (halfway, 0.7 of their length): covers in between lose contrast or fall apart (unless the network normalises its latents, as the bundled one does)."], ["sphere", "The arc stays where training latents are."]].map(([path, text]) =>
      h("figure", {}, picture(address("walk.webp", { model: network, first: a, last: b, path }), `Nine covers from A to B along the ${path}`), h("figcaption", {}, text))));
  }

  const shelf = h("div", { class: "shelf-row" });
  const redraw = (truncation) => shelf.replaceChildren(...["7", "11", "12", "13"].map((name) => picture(cover(name, truncation), `Cover ${name} at truncation ${truncation}`)));
  tame.append(slider("Truncation of this page's model", { min: 0, max: 1.5, step: 0.1, value: Number(state.value("truncation", "1")) }, (value) => (state.set({ truncation: value }), state.did("truncated"), redraw(value))), shelf);
  redraw(Number(state.value("truncation", "1")));
  await show(false);
}
