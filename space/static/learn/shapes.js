// Shapes: both networks of a recipe with all dimensions, and a calculator for one convolution.
import { h, attempt, choice, field, get, latest, line, refill } from "./dom.js";
import * as state from "./state.js";

export async function mount(body) {
  const { models } = await get("models.json");
  const recipes = models.filter(({ trained }) => !trained).map(({ name }) => name);
  const note = line();
  const drawing = h("div", { class: "drawing", tabindex: 0, role: "region", "aria-label": "Diagram of both networks" });
  const tables = h("div", { class: "tables" });
  const sizes = h("div");
  const newest = latest();
  body.append(
    h("p", { class: "lead" }, "Every layer turns one block of numbers into another: channels × height × width. These shapes come from a real forward pass."),
    h("div", { class: "controls" }, choice("Recipe", recipes, state.value("recipe", "dcgan"), (recipe) => show({ recipe, resolution: "" })), sizes),
    note, drawing, tables, calculator());

  async function show(changes) {
    state.set(changes);
    if (Object.keys(changes).length) state.did("recipe");
    const found = await newest((signal) => attempt(note, () => get("shapes.json", { recipe: state.value("recipe", "dcgan"), resolution: state.value("resolution") }, { signal })));
    if (!found) return;
    refill(sizes, choice("Resolution", found.resolutions, found.resolution, (resolution) => show({ resolution })));
    drawing.innerHTML = found.svg;
    tables.replaceChildren(...found.networks.map(({ name, parameters, rows }) =>
      h("details", {}, h("summary", {}, `${name}: ${parameters.toLocaleString("en")} parameters, layer by layer`),
        h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `Layers of the ${name.toLowerCase()}` }, h("table", {}, h("tr", {}, ["layer", "kind", "output", "arithmetic", "parameters"].map((text) => h("th", { scope: "col" }, text))),
          rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, typeof cell === "number" ? (cell ? cell.toLocaleString("en") : "") : cell.replaceAll(" x ", " × "))))))))));
  }
  await show({});
}

function calculator() {
  const settings = { size: 64, kernel: 5, stride: 2, padding: 2, output_padding: 0, transposed: 0 };
  for (const part of state.value("conv").split(",").filter(Boolean).map(Number).entries()) settings[Object.keys(settings)[part[0]]] = part[1];
  const result = h("div", { class: "result", "aria-live": "polite" });
  const newest = latest();
  const input = (name, text, min) => field(text, h("input", { type: "number", min, value: settings[name], oninput: (event) => ((settings[name] = Math.max(0, Math.floor(Number(event.target.value) || 0))), compute(true)) }));
  const check = h("input", { type: "checkbox", checked: Boolean(settings.transposed), onchange: () => ((settings.transposed = Number(check.checked)), compute(true)) });
  async function compute(byHand) {
    if (byHand) (state.set({ conv: Object.values(settings).join(",") }), state.did("calculated"));
    const found = await newest((signal) => get("convolution.json", settings, { signal }).catch((error) => ({ possible: false, why: error.message })));
    if (!found) return;
    result.replaceChildren(...(found.possible
      ? [h("strong", {}, found.formula.replaceAll(" x ", " × ")), ...found.remarks.map((text) => h("p", {}, text))]
      : [h("strong", {}, "Impossible."), h("p", {}, `${found.why[0].toUpperCase()}${found.why.slice(1).replaceAll("_", " ")}.`)]));
  }
  compute(false);
  return h("section", { class: "calculator" },
    h("h3", {}, "One convolution"),
    h("p", {}, "With input size W, kernel F, stride S and padding P, a convolution gives (W − F + 2P) / S, rounded down, + 1; a transposed one (W − 1) S − 2P + F + Q."),
    h("div", { class: "controls" }, input("size", "Size W", 1), input("kernel", "Kernel F", 1), input("stride", "Stride S", 1), input("padding", "Padding P", 0), input("output_padding", "Output padding Q", 0), h("label", { class: "check" }, check, " transposed")),
    result);
}
