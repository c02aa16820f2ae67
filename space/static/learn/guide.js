// Field guide: a card for every recipe, and the family tree.
import { h, address, get, picture, s } from "./dom.js";
import * as state from "./state.js";

export async function mount(body) {
  const { cards, notation } = await get("guide.json");
  const files = (name) => new URL(`samples/${name}.webp`, import.meta.url).href;
  body.append(
    h("p", { class: "lead" }, "Eleven GANs, each a file that fits on a slide. Each fixes a weakness of its parent. Which would you choose for 800 covers?"),
    h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Family tree" }, tree(cards)),
    h("p", { class: "fine" }, `${notation} Samples: after ten minutes of one CPU core each, at 64 px.`),
    h("div", { class: "cards" }, cards.map((card) => h("article", { id: `card-${card.name}`, tabindex: -1 },
      h("h3", {}, card.name, h("small", {}, ` ${card.year}`)),
      picture(files(card.name), `Six samples of ${card.name} after ten minutes of training`, { loading: "lazy" }),
      h("p", {}, card.idea),
      h("dl", { class: "facts" }, h("dt", {}, "D minimises"), h("dd", {}, h("code", {}, card.discriminator)), h("dt", {}, "G minimises"), h("dd", {}, h("code", {}, card.generator)), h("dt", {}, "Use it"), h("dd", {}, card.use), h("dt", {}, "Sizes"), h("dd", {}, `${card.resolutions.join(", ")} px`), h("dt", {}, "Paper"), h("dd", {}, card.paper)),
      h("p", {}, h("a", { href: address(`source/${card.name}.py`), target: "_blank", rel: "noopener" }, `${card.name}.py`))))));
  if (state.value("card")) body.querySelector(`#card-${CSS.escape(state.value("card"))}`)?.scrollIntoView();
}

// Years from left to right; each recipe on its own row, connected to its parent.
function tree(cards) {
  const [first, last] = [2014, 2024];
  const x = (year) => 20 + ((year - first) / (last - first)) * 660;
  const y = (name) => 34 + cards.findIndex((card) => card.name === name) * 34;
  return s("svg", { viewBox: `0 0 880 ${cards.length * 34 + 20}`, class: "tree", role: "img", "aria-label": `Family tree: ${cards.map((card) => (card.parent ? `${card.name} from ${card.parent}` : card.name)).join(", ")}` },
    ...cards.filter((card) => card.parent).map((card) => {
      const from = cards.find((one) => one.name === card.parent);
      return s("path", { d: `M${x(from.year)} ${y(from.name)}V${y(card.name)}H${x(card.year)}`, class: "grid" });
    }),
    ...cards.map((card) => s("g", {}, s("circle", { cx: x(card.year), cy: y(card.name), r: 5 }), s("text", { x: x(card.year) + 12, y: y(card.name) + 5 }, `${card.name} ${card.year}`))));
}
