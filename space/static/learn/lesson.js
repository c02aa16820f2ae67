// For the speaker: a lesson in five acts, on stage by clicker; a graded quiz of five questions; a replay.
import { h, button, focusIn, pack, scrollAbove, unpack } from "./dom.js";
import { ACTS, MINUTES, QUESTIONS } from "./acts.js";
import * as state from "./state.js";

const STEPS = ACTS.flatMap((act, number) => act.steps.map((step, i) => ({ ...step, act: number, first: i === 0, share: act.minutes / act.steps.length })));

export function mount(body, context) {
  if (state.value("did")) return replay(body);
  if (state.value("quiz")) return quiz(body);
  const replayLink = h("p", { "aria-live": "polite" });
  body.append(
    h("p", { class: "lead" }, `A ${MINUTES}-minute lesson in five acts. On stage, a clicker steps from question to answer to the next question; everything works offline.`),
    h("div", { class: "tools" },
      button("Start the lesson", () => perform(context, 0), { "data-do": "lesson" }),
      button("Five questions", () => (state.set({ quiz: 1 }), context.open("lesson", true)), { "data-do": "quiz" }),
      h("a", { class: "action", href: new URL("../handout.html", import.meta.url).href, target: "_blank", rel: "noopener" }, "Handout to print")),
    h("ol", { class: "contents" }, ACTS.map((act, i) => h("li", {}, h("button", { type: "button", onclick: () => perform(context, STEPS.findIndex((step) => step.act === i)) }, `${act.title} (${act.minutes} minutes)`)))),
    h("h3", {}, "What the room did"),
    h("p", {}, "Bets in the tour, diagnosed runs, the game and the questions are stored in this browser. A link brings them back."),
    h("div", { class: "tools" }, button("Create the link", () => {
      const href = albumGan.shared(`${location.pathname}?tab=learn#panel=lesson&did=${pack(deeds())}`);
      replayLink.replaceChildren(h("a", { href, target: "_blank", rel: "noopener", "data-do": "did" }, "What this room did"));
      navigator.clipboard?.writeText(href).catch(() => {});
    }, { "data-do": "make-link" }), button("Clear all", () => { for (const name of ["bets", "wrong", "quiz", "room", "page"]) state.keep(name, name === "page" ? 0 : name === "room" ? [] : {}); replayLink.textContent = "Cleared."; })),
    replayLink,
    h("h3", {}, "Plan B"),
    h("p", {}, "No network for phones: vote by raising hands. No sound: none is needed. A slow computer: choose the network teaching, which draws instantly. The full lesson, with questions and the answers to expect: docs/lesson.md."));
}

// Continues a lesson that a reload interrupted, with its clock.
export function resume(context) {
  const number = Number(state.value("lesson")) - 1;
  if (STEPS[number]) perform(context, number, Number(state.value("end")));
}

// The lesson on stage. Forward: reveal, then the next step. `end` in ms since 1970.
async function perform(context, start, end = 0) {
  const root = context.place.closest(".learn");
  const card = h("aside", { class: "card", "aria-label": "Lesson" });
  const clock = h("span", { class: "clock" });
  end ||= Date.now() + STEPS.slice(start).reduce((sum, step) => sum + step.share, 0) * 60_000;
  let number = start;
  let open = false;
  let isOver = false;
  root.classList.add("on-stage");
  root.requestFullscreen?.().catch(() => {}); // if refused, fill the window
  const timer = setInterval(tick, 1000);

  function tick() {
    const left = Math.max(0, Math.round((end - Date.now()) / 60_000));
    const plan = Math.round(STEPS.slice(number).reduce((sum, step) => sum + step.share, 0));
    clock.textContent = `${left} minute${left === 1 ? "" : "s"} left${left < plan - 1 ? `, plan says ${plan}: hurry` : ""}`;
  }
  async function show(i) {
    number = i;
    open = false;
    const step = STEPS[i];
    hush();
    if (context.place.dataset.panel !== step.panel || Object.keys(step.at).length) {
      state.reset(step.panel);
      state.set(step.at);
      await context.open(step.panel, true);
      if (isOver || number !== i) return;
    }
    state.set({ lesson: i + 1, end: Math.round(end) });
    render();
  }
  const hush = () => context.place.classList.toggle("hush", Boolean(STEPS[number].isGuess) && !open); // no reveal before the answer
  function render() {
    const step = STEPS[number];
    hush();
    const refocus = focusIn(context.guide);
    card.replaceChildren(
      h("p", { class: "where" }, `Act ${step.act + 1}`, h("b", {}, ACTS[step.act].title), clock),
      h("p", { class: "question" }, step.ask),
      h("p", { class: "see", "aria-live": "polite" }, open ? step.reveal : ""),
      h("div", { class: "tools" }, button("Previous", back), button(open ? "Next" : "Answer", forward, { "data-do": "forward" }), button("End the lesson", stop)));
    context.guide.replaceChildren(card);
    refocus();
    tick();
    const control = step.lit && context.place.querySelector(step.lit);
    if (control) scrollAbove(card, control);
  }
  const forward = () => (!open ? ((open = true), render()) : number + 1 < STEPS.length ? show(number + 1) : stop());
  const back = () => (open ? ((open = false), render()) : number && show(number - 1));
  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    // A clicker's own keys work whatever has the focus; F5 would reload the page.
    const clicker = { PageDown: forward, F5: forward, PageUp: back };
    const field = event.target.tagName === "INPUT" ? event.target.type : event.target.tagName.toLowerCase();
    if (!["text", "search", "textarea"].includes(field)) clicker.Escape = stop;
    if (!/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) Object.assign(clicker, { ArrowRight: forward, ArrowLeft: back });
    const action = clicker[event.key];
    if (action) (event.preventDefault(), event.stopPropagation(), action());
  }
  function left() {
    if (!document.fullscreenElement && wasFull) stop();
    wasFull = Boolean(document.fullscreenElement);
  }
  let wasFull = false;
  function stop() {
    isOver = true;
    state.set({ lesson: "", end: "" });
    clearInterval(timer);
    removeEventListener("keydown", keys, true);
    document.removeEventListener("fullscreenchange", left);
    root.classList.remove("on-stage");
    context.place.classList.remove("hush");
    context.guide.replaceChildren();
    if (document.fullscreenElement) document.exitFullscreen();
    if (context.place.dataset.panel === "lesson" && state.value("quiz")) return;
    context.open("lesson");
  }
  addEventListener("keydown", keys, true);
  document.addEventListener("fullscreenchange", left);
  await show(start);
  card.querySelector("[data-do=forward]")?.focus({ preventScroll: true }); // the button that led here is gone
}

function quiz(body) {
  const given = {};
  const result = h("div", { "aria-live": "polite" });
  body.append(h("p", { class: "lead" }, "Five questions. The page grades them."),
    ...QUESTIONS.map(({ question, options }, i) => h("fieldset", { class: "question-set" }, h("legend", {}, `${i + 1}. ${question}`),
      options.map((option, k) => h("label", { class: "check" }, h("input", { type: "radio", name: `question-${i}`, value: k, onchange: () => (given[i] = k) }), option)))),
    h("div", { class: "tools" }, button("Grade", () => {
      state.keep("quiz", given);
      const right = QUESTIONS.filter((one, i) => given[i] === one.answer).length;
      result.replaceChildren(h("p", { class: "big" }, `${right} of ${QUESTIONS.length}`), h("ol", {}, QUESTIONS.map((one, i) => h("li", {}, h("b", {}, given[i] === one.answer ? "Right. " : `The answer: ${one.options[one.answer]}. `), one.why))));
      state.did("graded");
    }, { "data-do": "grade" })), result);
}

const deeds = () => ({ bets: state.kept("bets", {}), wrong: state.kept("wrong", {}), quiz: state.kept("quiz", {}), room: state.kept("room", []).map?.((one) => [Number(one.is_real), one.real, one.drawn, Number(one.critic)]) ?? [] });

async function replay(body) {
  const { PAGES } = await import("./pages.js");
  try {
    const did = unpack(state.value("did"));
    const bets = PAGES.map((page, i) => page.bet && did.bets?.[i] !== undefined && [page.bet.question, page.bet.options[did.bets[i]] ?? "?", did.bets[i] === page.bet.answer]).filter(Boolean);
    const right = QUESTIONS.filter((one, i) => did.quiz?.[i] === one.answer).length;
    const list = (rows) => h("ul", {}, rows.map(([asked, said, good]) => h("li", {}, `${asked} `, h("b", {}, said), good ? ", right." : ", wrong.")));
    body.append(
      h("p", { class: "lead" }, "What a room did in its lesson."),
      bets.length ? h("div", {}, h("h3", {}, "Bets"), list(bets)) : "",
      did.room?.length ? h("div", {}, h("h3", {}, "Fool the critic"), list(did.room.map(([real, yes, no, critic], i) => [`Cover ${i + 1}, ${real ? "real" : "fake"}; the critic said ${critic ? "real" : "fake"}; the room:`, `${Number(yes)} real, ${Number(no)} fake`, yes !== no && yes > no === Boolean(real)]))) : "",
      Object.keys(did.quiz ?? {}).length ? h("div", {}, h("h3", {}, "Five questions"), h("p", {}, `${right} of ${QUESTIONS.length} right.`), list(QUESTIONS.map((one, i) => [one.question, one.options[did.quiz[i]] ?? "no answer", did.quiz[i] === one.answer]))) : "",
      Object.keys(did.wrong ?? {}).length ? h("div", {}, h("h3", {}, "Runs"), list(Object.entries(did.wrong).map(([run, good]) => ["Diagnosis of the run", String(run).slice(0, 20), good]))) : "",
      h("p", { class: "fine" }, "This link holds nothing about people: only counts and choices."));
  } catch {
    body.append(h("p", {}, "This link cannot be read; ask for it again."));
  }
}
