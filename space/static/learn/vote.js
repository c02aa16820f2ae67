// The phone's page: two buttons, and the result of the vote.
const main = document.querySelector("main");
const buttons = { true: document.querySelector("#real"), false: document.querySelector("#drawn") };
let voter = "";
try {
  voter = localStorage.getItem("album-gan-voter") ?? "";
} catch {}
voter ||= Math.random().toString(36).slice(2) + Date.now().toString(36);
try {
  localStorage.setItem("album-gan-voter", voter);
} catch {}
let view = {};
let shown = "";

function show(key, ...content) {
  if (shown === key) return;
  shown = key;
  main.replaceChildren(...content.map((text) => (typeof text === "string" ? Object.assign(document.createElement("p"), { textContent: text }) : text)));
}

for (const [real, button] of Object.entries(buttons))
  button.addEventListener("click", async () => {
    mark(real === "true");
    await fetch("learn/room/vote", { method: "POST", body: JSON.stringify({ game: view.game, round: view.round, voter, real: real === "true" }) }).catch(() => null);
    tick();
  });

const mark = (mine) => Object.entries(buttons).forEach(([real, button]) => button.setAttribute("aria-pressed", mine === (real === "true")));

let timer = 0;
async function tick() {
  clearTimeout(timer);
  const answer = await fetch(`learn/room.json?voter=${voter}`).catch(() => null);
  view = answer?.ok ? await answer.json() : {};
  const voting = view.phase === "voting";
  for (const button of Object.values(buttons)) button.disabled = !voting;
  mark(view.mine ?? null);
  const key = `${view.game}-${view.round}`;
  if (!view.phase) show("lost", "No connection. Trying again ...");
  else if (voting && view.vote - view.left < view.glance) {
    const image = Object.assign(new Image(), { src: `learn/room/${view.game}/${view.round}.webp`, alt: "The cover in question" });
    show(`glance ${key}`, image);
    setTimeout(() => view.phase === "voting" && show(`asked ${key}`, `Cover ${view.round + 1} of ${view.rounds}: real or fake?`), view.glance * 1000);
  } else if (voting) show(shown.startsWith(`glance ${key}`) ? shown : `asked ${key}`, `Cover ${view.round + 1} of ${view.rounds}: real or fake?`);
  else if (view.phase === "revealed") show(`answer ${key}`, `It was ${view.answer.is_real ? "real" : "fake"}. ${view.mine === undefined || view.mine === null ? "" : view.mine === view.answer.is_real ? "You were right." : "You were fooled."}`, `You: ${view.right} of ${view.score.of}. The critic: ${view.score.critic}.`);
  else if (view.phase === "over") show(`over ${key}`, "The game is over.", `You: ${view.right} of ${view.score.of}. The room: ${view.score.room}. The critic: ${view.score.critic}.`);
  else show(view.phase, { idle: "Wait for the game to start.", preparing: "The covers are being generated ...", ready: "Get ready." }[view.phase]);
  timer = setTimeout(tick, view.phase === "idle" || view.phase === "over" ? 2000 : 700);
}
tick();
