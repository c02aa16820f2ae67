// Fool the critic, on stage: the current cover, the tally, and the room's score against the critic's.
import { h, address, button, line, pack, picture, unpack } from "./dom.js";
import * as state from "./state.js";

const LOST = "The page's server does not answer.";

export async function mount(body) {
  const note = line();
  const stage = h("div", { class: "stage-room" });
  const rounds = h("select", { "aria-label": "Covers in a game" }, [4, 10, 20].map((count) => h("option", { value: count, selected: count === 10 }, `${count} covers`)));
  let timer = 0;
  let shown = "";
  body.append(
    h("p", { class: "lead" }, "Real or fake? Each cover is shown for one second; phones vote, and the critic plays too. Can the room beat the discriminator?"),
    h("div", { class: "controls" }, rounds,
      button("Start a game", () => act("start", { rounds: rounds.value }), { "data-do": "start-game" }),
      button("Stop", () => act("stop"))),
    note, stage);
  if (state.value("replay")) return replay(stage);

  async function act(what, parameters = {}) {
    note.textContent = what === "start" ? "The covers are being generated ..." : "";
    const answer = await fetch(address(`room/${what}`, parameters), { method: "POST" }).catch(() => null); // not repeated, as by get(): no start after a stop
    note.textContent = answer?.ok ? "" : answer ? await answer.text() : LOST;
    state.did(`game ${what}`);
    tick();
  }

  async function tick() {
    clearTimeout(timer);
    if (!body.isConnected) return;
    const view = await fetch(address("room.json")).then((answer) => answer.json()).catch(() => null);
    if (view) show(view);
    if (!view) note.textContent = LOST;
    else if (note.textContent === LOST) note.textContent = "";
    timer = setTimeout(tick, view?.phase === "idle" ? 2000 : 500);
  }

  function show(view) {
    const glance = view.phase === "voting" && view.vote - view.left < view.glance;
    const key = `${view.phase} ${view.round} ${glance} ${view.phase === "voting" ? JSON.stringify(view.tally) : ""} ${view.players}`;
    if (key === shown) return;
    shown = key;
    const cover = (text) => picture(address(`room/${view.game}/${view.round}.webp`), text);
    const score = h("p", { class: "count" }, `The room ${view.score.room}, the critic ${view.score.critic}, of ${view.score.of}. ${view.players} phone${view.players === 1 ? "" : "s"}.`);
    const invitation = h("div", { class: "invitation" }, view.url ? h("div", { class: "qr", role: "img", "aria-label": "QR code of the page for phones" }) : "", h("p", {}, view.url || ["Phones cannot reach this page; start it with --lan. At this computer, open ", h("a", { href: new URL("vote", document.baseURI).href, target: "_blank", rel: "noopener" }, "/vote"), " in another window."]));
    if (view.qr) invitation.firstChild.innerHTML = view.qr;
    const source = h("p", { class: "fine" }, view.source);
    if (view.phase === "over") state.keep("room", view.results);
    stage.replaceChildren(...{
      idle: () => [invitation, source],
      preparing: () => [h("p", {}, "The covers are being generated ..."), invitation, source],
      ready: () => [h("p", { class: "big" }, "Get ready"), invitation],
      voting: () => [round(glance ? cover("The cover in question") : h("div", { class: "hidden-cover" }, h("p", { class: "big" }, "Real or fake?")), h("p", { class: "count" }, `Cover ${view.round + 1} of ${view.rounds}`), tally(view.tally), score)],
      revealed: () => [round(cover("The cover in question"), h("p", { class: "big" }, view.answer.is_real ? "Real" : "Fake"), tally(view.tally), h("p", {}, `The critic said ${view.answer.critic ? "real" : "fake"}.`), score)],
      over: () => [h("p", { class: "big" }, view.score.room > view.score.critic ? "The room wins" : view.score.room < view.score.critic ? "The critic wins" : "A draw"), score, source, results(view.results, view.network), link(view.results, view.network)],
    }[view.phase]());
  }
  await tick();
  return () => clearTimeout(timer);
}

// The cover; on stage what is said about it stands beside it, where the lesson's card cannot cover it.
const round = (cover, ...said) => h("div", { class: "round" }, cover, h("div", { class: "outcome" }, said));

function tally({ real, drawn }) {
  const all = Math.max(1, real + drawn);
  const bar = (text, count) => h("div", { class: "bar" }, h("span", {}, `${text} ${count}`), h("div", { style: `width: ${(count / all) * 100}%` }));
  return h("div", { class: "tally" }, bar("real", real), bar("fake", drawn));
}

// `network` generated the covers: not the page's own if that has no discriminator.
function results(rounds, network) {
  return h("div", { class: "results" }, rounds.map((one, i) => h("figure", {},
    one.name ? picture(address("cover.webp", { model: network, seed: one.name }), `Cover ${one.name}`) : one.index !== null ? picture(address(`room/own/${one.index}.webp`), "A synthetic cover") : h("div", { class: "hidden-cover" }, "a real cover"),
    h("figcaption", {}, `${i + 1}. ${one.is_real ? "real" : "fake"}; the room: ${one.real} real, ${one.drawn} fake; the critic: ${one.critic ? "real" : "fake"}`))));
}

function link(rounds, network) {
  const short = rounds.map((one) => [Number(one.is_real), one.name, one.index, Number(one.critic), one.real, one.drawn]);
  const href = albumGan.shared(`${location.pathname}?tab=learn#panel=room&model=${network}&replay=${pack(short)}`);
  return h("p", {}, h("a", { href, target: "_blank", rel: "noopener", "data-do": "replay" }, "A link that replays what the room did"));
}

function replay(stage) {
  try {
    const rounds = unpack(state.value("replay")).slice(0, 40).map(([is_real, name, index, critic, real, drawn]) => ({ is_real: Boolean(is_real), name: String(name ?? ""), index: Number.isInteger(index) ? index : null, critic: Boolean(critic), real: Number(real), drawn: Number(drawn) }));
    const right = rounds.filter((one) => one.real !== one.drawn && one.real > one.drawn === one.is_real).length;
    stage.replaceChildren(h("p", { class: "big" }, `A room was right about ${right} of ${rounds.length} covers, the critic about ${rounds.filter((one) => one.critic === one.is_real).length}.`), results(rounds, state.value("model")));
  } catch {
    stage.replaceChildren(h("p", {}, "This link cannot be read; ask for it again."));
  }
}
