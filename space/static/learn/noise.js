// Noise to cover: every step of a generator, from layer to channel to one multiplication; and what muting does.
import { h, address, attempt, button, choice, fetchPicture, field, focusIn, get, latest, line, number, picture, refill, shape } from "./dom.js";
import * as state from "./state.js";

export async function mount(body) {
  const { models, own } = await get("models.json");
  const note = line();
  const strip = h("ol", { class: "steps", role: "list", "aria-label": "Steps from noise to cover" });
  const detail = h("div", { class: "detail" });
  const out = h("div", { class: "pair" });
  let layers = null;
  let sheet = null; // the maps of the chosen step: { image, columns }
  const [newestLayers, newestSheet, newestProducts] = [latest(), latest(), latest()];

  const model = () => state.value("model", own);
  const seed = () => state.value("seed", "7");
  const mute = () => state.value("mute");
  const query = (more = {}) => ({ model: model(), seed: seed(), ...more });

  const seedInput = h("input", { type: "text", value: seed(), "aria-label": "Seed or name", onchange: () => change({ seed: seedInput.value.trim() || "7" }) });
  const names = models.map(({ name, trained }) => [name, trained ? `${name} (trained)` : `${name} (untrained)`]);
  body.append(
    h("p", { class: "lead" }, "A generator is a sequence of simple steps. It turns a handful of random numbers, chosen by the seed, into a picture. Choose a step."),
    h("div", { class: "controls" },
      choice("Network", names, model(), (name) => change({ model: name, mute: "", step: "", channel: "" })),
      field("Seed or name", seedInput),
      button("Another seed", () => { seedInput.value = Math.floor(Math.random() * 1e8); change({ seed: seedInput.value }); })),
    note, strip, h("div", { class: "columns" }, detail, out));

  async function change(values) {
    state.set(values);
    if ("seed" in values || "model" in values) state.did("seed");
    await load();
  }

  async function load() {
    const found = await newestLayers((signal) => attempt(note, () => get("layers.json", query(), { signal })));
    if (!found) return;
    layers = found;
    showStrip();
    showCovers();
    await choose(chosen(), false);
  }

  // A link refers to a step by number; the tour also by kind, because networks differ.
  function chosen() {
    const kernels = layers.steps.filter((step) => step.settings.kernel && step.output[1] > 4);
    const named = { kernel: kernels[0], middle: kernels.find((step) => step.output[1] >= 16) }[state.value("step")];
    const number = named?.number ?? Number(state.value("step", "-1"));
    if (named) state.set({ step: number });
    return layers.steps[number] ? number : firstStep();
  }
  const firstStep = () => layers.steps.find((step) => step.main && step.output.length === 3)?.number ?? 0;

  function showStrip() {
    const muted = new Set(mute().split(",").map((item) => item.split(":")[0]));
    strip.replaceChildren(...layers.steps.map((step) => {
      const maps = step.output.length === 3 && step.output[1] > 1;
      const thumb = maps && (step.main || step.kind === "tanh");
      return h("li", {}, h("button", { type: "button", class: `step${step.main ? " main" : ""}${muted.has(String(step.number)) ? " muted" : ""}`, "data-step": step.number, onclick: () => choose(step.number) },
        thumb && picture(address("layer.webp", query({ step: step.number })), "", { loading: "lazy" }),
        h("span", {}, shape(step.output)), h("small", {}, step.kind)));
    }));
  }

  function showCovers() {
    const silent = mute();
    out.replaceChildren(
      h("figure", {}, picture(address("cover.webp", query()), "The cover, nothing muted"), h("figcaption", {}, silent ? "Nothing muted" : "The cover")),
      silent ? h("figure", {}, picture(address("cover.webp", query({ mute: silent })), "The cover with these muted", { id: "muted-cover" }), h("figcaption", {}, `Muted: ${silent.replaceAll(",", ", ")}`)) : "",
      h("p", { class: "fine" }, `${layers.title}. ${layers.parameters.toLocaleString("en")} parameters in ${layers.steps.length} steps.${layers.style ? ` The style “${layers.style}”, which the seed draws.` : ""}`),
      silent ? button("Unmute all", () => (setMute(""), currentStep().focus())) : "");
  }

  function setMute(text) {
    state.set({ mute: text });
    if (text) state.did("muted");
    showStrip();
    showCovers();
    markStep();
    choose(chosen(), false);
  }

  const markStep = () => strip.querySelectorAll("button").forEach((item) => item.setAttribute("aria-current", Number(item.dataset.step) === chosen()));
  const currentStep = () => strip.querySelector("[aria-current=true]");

  async function choose(place, byHand = true) {
    const step = layers.steps[place] ?? layers.steps[firstStep()];
    if (byHand) {
      state.set({ step: step.number, channel: "", y: "", x: "" });
      state.did("step");
    }
    markStep();
    const found = await newestSheet((signal) => attempt(note, () => fetchPicture("layer.webp", query({ step: step.number }), { signal })));
    if (!found) return;
    sheet = found;
    const channels = step.output[0];
    const canvas = h("canvas", { class: "pixels maps", width: sheet.image.width, height: sheet.image.height, tabindex: 0, role: "img", "aria-label": `${channels} maps; press Enter for the first, or click one` });
    canvas.getContext("2d").drawImage(sheet.image, 0, 0);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const column = Math.floor(((event.clientX - box.left) / box.width) * sheet.columns);
      const rows = sheet.image.height / (step.output[1] ?? 1);
      const channel = Math.floor(((event.clientY - box.top) / box.height) * rows) * sheet.columns + column;
      if (channel < channels) showChannel(step, channel);
    });
    canvas.addEventListener("keydown", (event) => event.key === "Enter" && showChannel(step, 0));
    const rows = [
      ["Shape", `${step.inputs.map(shape).join(" and ")} → ${shape(step.output)}`],
      ["Arithmetic", step.arithmetic.replaceAll(" x ", " × ")],
      ["Parameters", step.parameters.toLocaleString("en")],
    ];
    if (step.settings.kernel) rows.push(["Kernel", `${step.settings.kernel} × ${step.settings.kernel}, stride ${step.settings.stride}, padding ${step.settings.padding}${step.settings.output_padding ? `, output padding ${step.settings.output_padding}` : ""}`]);
    const view = h("div", { class: "channel" });
    const refocus = focusIn(detail);
    detail.replaceChildren(
      h("h3", {}, `${step.number}. ${step.kind}`, step.name ? h("code", {}, step.name) : ""),
      h("p", {}, step.does, step.kind === "embedding" && layers.style ? ` Here: “${layers.style}”.` : ""),
      h("dl", { class: "facts" }, rows.flatMap(([term, text]) => [h("dt", {}, term), h("dd", {}, text)])),
      h("div", { class: "tools" }, button(isMuted(step, "all") ? "Unmute this step" : "Mute this step", () => toggle(step, "all"), { "data-do": "mute-step" })),
      canvas, view);
    if (state.value("channel")) showChannel(step, Number(state.value("channel")), false);
    refocus();
  }

  const items = () => mute().split(",").filter(Boolean);
  const isMuted = (step, channel) => items().includes(`${step.number}:${channel}`);
  function toggle(step, channel) {
    const item = `${step.number}:${channel}`;
    setMute((isMuted(step, channel) ? items().filter((one) => one !== item) : [...items(), item]).join(","));
  }

  // One channel, large; a click shows how one of its values is computed.
  function showChannel(step, channel, byHand = true) {
    const view = detail.querySelector(".channel");
    const [, height = 1, width = 1] = step.output;
    if (byHand) (state.set({ channel, y: "", x: "" }), state.did("channel"));
    const canvas = h("canvas", { class: "pixels one", width, height, role: "img", "aria-label": `Channel ${channel} of step ${step.number}` });
    const [left, top] = [(channel % sheet.columns) * width, Math.floor(channel / sheet.columns) * height];
    canvas.getContext("2d").drawImage(sheet.image, left, top, width, height, 0, 0, width, height);
    const products = h("div", { class: "products" });
    const count = step.output[0];
    const pick = h("input", { type: "number", min: 0, max: count - 1, value: channel, "aria-label": "Channel", onchange: () => showChannel(step, Math.min(count - 1, Math.max(0, Number(pick.value) || 0))) });
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      explain(Math.floor(((event.clientY - box.top) / box.height) * height), Math.floor(((event.clientX - box.left) / box.width) * width));
    });
    const place = (name, most, value) => h("input", { type: "number", min: 0, max: most - 1, value, "aria-label": name, onchange: () => explain(row.value, column.value) });
    const inside = (value, most) => Math.min(most - 1, Math.max(0, Math.floor(Number(value)) || 0));
    const row = place("Row", height, state.value("y", height >> 1));
    const column = place("Column", width, state.value("x", width >> 1));
    async function explain(atRow, atColumn) {
      const [y, x] = [inside(atRow, height), inside(atColumn, width)];
      [row.value, column.value] = [y, x];
      state.set({ y, x });
      const found = await newestProducts((signal) => attempt(note, () => get("products.json", query({ step: step.number, channel, y, x }), { signal })));
      if (found) (products.replaceChildren(...productView(found, y, x)), state.did("product"));
    }
    refill(view,
      h("h4", {}, `Channel ${channel} of ${count}`),
      h("div", { class: "tools" }, field("Channel", pick),
        button(isMuted(step, channel) ? "Unmute this channel" : "Mute this channel", () => toggle(step, channel), { "data-do": "mute-channel" }),
        step.linear && height * width > 1 ? [field("Row", row), field("Column", column)] : "",
        step.linear ? button("Break down one value", () => explain(row.value, column.value), { "data-do": "product" }) : ""),
      canvas, h("p", { class: "fine" }, `Black is the smallest value of this channel, white the largest.${step.linear ? " Choose a row and a column, or click a pixel, to break that value down." : ""}`), products);
    if (state.value("y") && step.linear) explain(state.value("y"), state.value("x"));
  }

  await load();
}

function productView(found, y, x) {
  const [largest] = found.parts;
  const shown = largest.inputs.length <= 7 && largest.inputs[0]?.length <= 7;
  const table = (rows, name) => h("table", { "aria-label": name }, h("caption", {}, name), rows.map((row) => h("tr", {}, row.map((value) => h("td", {}, number(value, 2))))));
  const rest = found.channels - found.parts.length;
  return [
    h("h4", {}, `The value at row ${y}, column ${x}`),
    h("p", {}, `${found.count.toLocaleString("en")} multiplications and one sum: ${number(found.sum)}. The network computed ${number(found.value)}.`),
    shown && h("p", {}, `Input channel ${largest.channel} contributes most (${number(largest.sum)}):`),
    shown && h("div", { class: "windows" }, table(largest.inputs, "inputs"), h("span", {}, "×"), table(largest.weights, "weights")),
    h("ul", { class: "sums" }, found.parts.map((part) => h("li", {}, `input channel ${part.channel}: ${number(part.sum)}`)),
      rest > 0 && h("li", {}, `the other ${rest.toLocaleString("en")}: ${number(found.others)}`), h("li", {}, `bias: ${number(found.bias)}`)),
  ].filter(Boolean);
}
