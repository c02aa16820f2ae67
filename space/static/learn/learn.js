// The Learn tab: a list of panels, one of them open, and the guided tour.
import { h, button, line } from "./dom.js";
import * as state from "./state.js";

const PANELS = [
  ["tour", "Guided tour"],
  ["noise", "Noise to cover"],
  ["shapes", "Shapes"],
  ["critic", "The critic"],
  ["game", "The game"],
  ["history", "Time machine"],
  ["wrong", "What went wrong?"],
  ["norm", "Batch normalisation"],
  ["latent", "Latent space"],
  ["guide", "Field guide"],
  ["room", "Fool the critic"],
  ["lesson", "For the speaker"],
];

// A panel's script, or in place of one that did not arrive, what says so.
const complain = (place) => void place.append(h("p", { class: "note" }, "This panel could not be loaded; reload the page."));
const load = (name) => import(`./${name}.js`).catch(() => ({ mount: complain, resume: ({ place }) => complain(place) }));

export async function start(root) {
  const style = h("link", { rel: "stylesheet", href: new URL("learn.css", import.meta.url).href });
  await new Promise((done) => (style.addEventListener("load", done), style.addEventListener("error", done), document.head.append(style)));
  const place = h("section", { class: "panel", "aria-live": "off" });
  const nav = h("nav", { "aria-label": "Panels" });
  const guide = h("div", { class: "guide" });
  root.replaceChildren(nav, place, guide);
  let opened = 0;
  let close = null;

  const buttons = Object.fromEntries(PANELS.map(([name, title]) => [name, button(title, () => open(name), { class: "panel-name" })]));
  nav.append(...Object.values(buttons));

  // Shows a panel; drops the previous panel's state from the address, unless `keep`.
  async function open(name, keep = false) {
    const number = ++opened;
    if (!keep) state.reset(name);
    for (const [other, element] of Object.entries(buttons)) element.setAttribute("aria-current", other === name);
    buttons[name].scrollIntoView?.({ block: "nearest", inline: "center" });
    const module = await load(name);
    if (number !== opened) return;
    close?.();
    close = null;
    const title = PANELS.find(([panel]) => panel === name)[1];
    const heading = h("h2", { tabindex: -1 }, title);
    const body = h("div", { class: `body ${name}` });
    const isFocusLost = number > 1 && (place.contains(document.activeElement) || document.activeElement === document.body);
    place.replaceChildren(heading, line("", { class: "waiting" }), body);
    if (isFocusLost) heading.focus({ preventScroll: true });
    place.dataset.panel = name;
    place.dataset.ready = "";
    let end = null;
    try {
      end = await module.mount(body, context);
    } catch (error) {
      body.append(h("p", { class: "note" }, error.message));
    }
    if (number !== opened) return end?.();
    close = end;
    place.dataset.ready = "yes";
    state.did("opened");
  }

  const context = { open, place, guide, panels: PANELS };
  const names = PANELS.map(([name]) => name);
  async function openLinked() {
    const wanted = state.value("panel");
    await open(names.includes(wanted) ? wanted : "tour", names.includes(wanted));
    if (root.classList.contains("on-stage")) return; // the lesson goes on
    const guided = state.value("lesson") ? "lesson" : state.value("tour") && wanted !== "tour" ? "tour" : "";
    if (guided) (await load(guided)).resume(context);
  }
  addEventListener("hashchange", openLinked); // a link that differs in the fragment alone does not load the page
  await openLinked();
}
