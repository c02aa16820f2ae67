// The guided tour: drives the panels, waits for one action per page, and can be left at any time.
import { h, button, scrollAbove } from "./dom.js";
import { PAGES } from "./pages.js";
import * as state from "./state.js";

const OVERVIEW = [["panel", "tour"]];
let context = null;
let stopWatching = null;
let turn = 0; // counts pages shown and the tour left: a page that was still loading then is dropped
let before = null; // the state before the tour, restored at its end

export function mount(body, given) {
  context = given;
  leave(false);
  const bets = state.kept("bets", {});
  const right = PAGES.filter((page, i) => page.bet && bets[i] === page.bet.answer).length;
  const made = PAGES.filter((page, i) => page.bet && bets[i] !== undefined).length;
  const done = state.kept("page", 0);
  body.append(
    h("p", { class: "lead" }, "How a network learns to draw covers that nobody has made: fifteen pages, each with one thing to do and one to see. Everything is computed live, by this page's networks."),
    h("div", { class: "tools" }, button("Start the tour", () => show(0), { "data-do": "start" }), done ? button(`Continue on page ${done + 1}`, () => show(done)) : ""),
    made ? h("p", {}, `You have made ${made} bets; ${right} were right.`) : "",
    h("ol", { class: "contents" }, PAGES.map((page, i) => h("li", {}, h("button", { type: "button", onclick: () => show(i) }, page.title)))));
}

// Continues at the page that a link names.
export function resume(given) {
  context = given;
  const number = Number(state.value("tour")) - 1;
  if (PAGES[number]) show(number, true);
}

async function show(number, asLinked = false) {
  const page = PAGES[number];
  const mine = ++turn;
  stopWatching?.();
  before ??= state.value("tour") ? OVERVIEW : state.all();
  state.keep("page", number);
  const bets = state.kept("bets", {});
  const isBet = () => Boolean(page.bet) && bets[number] === undefined;
  context.place.classList.toggle("hush", isBet()); // no reveal before the bet, not even while the panel opens
  if (!asLinked || state.value("panel") !== page.panel) {
    state.reset(page.panel);
    state.set({ ...page.at, tour: number + 1 });
    await context.open(page.panel, true);
    if (mine !== turn) return;
    if (state.value("panel") !== page.panel) return leave(false); // the visitor went to another panel
  }
  state.set({ tour: number + 1 });
  const card = h("aside", { class: "card", "aria-label": `Guided tour, page ${number + 1} of ${PAGES.length}` });
  let isDone = !page.until.length;

  const focusNext = () => card.querySelector("[data-do=next]").focus({ preventScroll: true });
  function render() {
    const hadFocus = card.contains(document.activeElement);
    const bet = isBet();
    card.replaceChildren(
      h("p", { class: "where" }, `${number + 1} of ${PAGES.length}`, h("b", {}, page.title)),
      h("p", {}, page.text),
      bet ? h("div", { class: "bet" }, h("p", {}, h("b", {}, page.bet.question)), h("div", { class: "tools" }, page.bet.options.map((option, i) => button(option, () => ((bets[number] = i), state.keep("bets", bets), render()))))) : "",
      page.bet && !bet ? h("p", { class: "fine" }, `Your bet: ${page.bet.options[bets[number]]}.${isDone ? (bets[number] === page.bet.answer ? " Right." : ` The answer: ${page.bet.options[page.bet.answer]}.`) : ""}`) : "",
      !bet ? h("p", { class: "ask" }, page.ask) : "",
      !bet ? h("p", { class: "see", "aria-live": "polite" }, isDone ? page.see : "") : "",
      h("div", { class: "tools" },
        number ? button("Back", () => show(number - 1)) : "",
        number + 1 < PAGES.length ? button(isDone && !bet ? "Next" : "Skip", () => show(number + 1), { "data-do": "next" }) : button("Finish", () => finish(), { "data-do": "next" }),
        button("Leave the tour", () => leave(true))));
    if (hadFocus) focusNext();
    light(!bet && !isDone);
    context.place.classList.toggle("hush", bet);
  }
  function light(on) {
    document.querySelectorAll(".learn .lit").forEach((element) => element.classList.remove("lit"));
    const element = on && context.place.querySelector(page.lit);
    if (!element) return;
    element.classList.add("lit");
    scrollAbove(card, element);
  }
  stopWatching = state.watch((what) => {
    if (what === "opened" && state.value("panel") !== page.panel) return leave(false); // the visitor went to another panel
    if (page.until.includes(what) && !isDone) ((isDone = true), render());
  });
  context.guide.replaceChildren(card);
  render();
  if (!asLinked) focusNext(); // the button that led here is gone
}

function leave(back) {
  turn++;
  stopWatching?.();
  stopWatching = null;
  context.guide.replaceChildren();
  context.place.classList.remove("hush");
  document.querySelectorAll(".learn .lit").forEach((element) => element.classList.remove("lit"));
  state.set({ tour: "" });
  if (back) {
    state.restore(before ?? OVERVIEW);
    context.open(state.value("panel", "tour"), true);
  }
  before = null;
}

function finish() {
  state.keep("page", 0);
  before = OVERVIEW;
  leave(true);
}
