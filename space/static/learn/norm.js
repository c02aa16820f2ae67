// Batch normalisation: a cover and its batch in both modes, and the statistics behind it.
import { h, address, attempt, button, choice, get, latest, line, picture, refill, s, trainedModels } from "./dom.js";
import * as state from "./state.js";

export async function mount(body) {
  const { trained, own } = await trainedModels();
  const note = line();
  const rows = h("div", { class: "batches" });
  const numbers = h("div");
  const newest = latest();
  const model = () => state.value("model", own);
  const seeds = () => state.value("seeds", "7,11,12,13");
  body.append(
    h("p", { class: "lead" }, "Batch normalisation subtracts a channel's mean and divides by its standard deviation. In training, both come from the current batch; afterwards, from running averages."),
    h("div", { class: "controls" },
      choice("Network", trained, model(), (name) => (state.set({ model: name, layer: "" }), show())),
      button("Other neighbours", () => {
        const others = Array.from({ length: 3 }, () => Math.floor(Math.random() * 1e8));
        state.set({ seeds: [seeds().split(",")[0], ...others].join(",") });
        state.did("neighbours");
        show();
      }, { "data-do": "neighbours" }),
      button("Another cover", () => (state.set({ seeds: [Math.floor(Math.random() * 1e8), ...seeds().split(",").slice(1)].join(",") }), show()))),
    note, rows, numbers);

  async function show() {
    const query = { model: model(), seeds: seeds() };
    const row = (mode, text) => h("figure", { "data-mode": mode }, picture(address("norm.webp", { ...query, mode }), `Four covers in ${mode} mode; the first is the one to watch`), h("figcaption", {}, text));
    rows.replaceChildren(
      row("training", "Training mode, batch statistics. Watch the first cover: it changes with its neighbours."),
      row("evaluation", "Evaluation mode, running averages. The first cover is always the same."));
    const found = await newest((signal) => attempt(note, () => get("norm.json", { ...query, layer: state.value("layer") }, { signal })));
    if (!found) return;
    refill(numbers,
      choice("Layer", found.layers, found.layer, (layer) => (state.set({ layer }), show())),
      h("div", { class: "columns" },
        scatter("Mean", found.running_mean, found.batch_mean),
        scatter("Std", found.running_spread, found.batch_spread)),
      h("p", { class: "fine" }, `Each dot is one of ${found.channels} channels. On the line, this batch of four matches the running average; off it, the batch shifts its covers.`));
  }
  await show();
}

function scatter(name, running, batch) {
  const all = [...running, ...batch];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const at = (value) => 40 + ((value - low) / (high - low || 1)) * 240;
  return h("figure", { class: "chart" }, s("svg", { viewBox: "0 0 300 320", class: "chart square", role: "img", "aria-label": `${name} of the batch against the running average, for each channel` },
    s("line", { x1: 40, y1: 280, x2: 280, y2: 40, class: "grid" }),
    ...running.map((value, i) => s("circle", { cx: at(value), cy: 320 - at(batch[i]), r: 3 })),
    s("text", { x: 160, y: 312, "text-anchor": "middle" }, `running ${name.toLowerCase()}`),
    s("text", { x: 14, y: 160, "text-anchor": "middle", transform: "rotate(-90 14 160)" }, "of this batch")));
}
