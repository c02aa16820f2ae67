// A GAN on points, one step at a time.
import { h, button, chart, choice, refill, slider, still } from "./dom.js";
import * as state from "./state.js";
import { DATA, DEFAULTS, Game, LOSSES, PRESETS } from "./toy.js";
import { constant } from "./tensor.js";

const NAMES = ["data", "loss", "generatorRate", "discriminatorRate", "turns", "generatorTurns", "penalty", "seed"];
const SIZE = 440;
const REACH = 2.4; // of the axes, in both directions

export async function mount(body) {
  let settings = { ...DEFAULTS };
  for (const name of NAMES) if (state.value(name)) settings[name] = typeof DEFAULTS[name] === "number" ? Number(state.value(name)) : state.value(name);
  if (!DATA[settings.data] || !LOSSES[settings.loss]) settings = { ...DEFAULTS };
  let game = new Game(settings);
  let timer = 0;
  const canvas = h("canvas", { width: SIZE, height: SIZE, class: "board", role: "img", "aria-label": "Real and generated points, and the discriminator's output everywhere" });
  const curves = h("div", { class: "charts" });
  const count = h("p", { class: "count", "aria-live": "off" });
  const said = h("p", { class: "note", "aria-live": "polite" }, "Press Run, or let one network take a step.");
  const controls = h("div", { class: "sliders" });
  const run = button("Run", () => (timer ? stop() : start()), { "data-do": "run" });
  const slow = h("input", { type: "checkbox" });

  body.append(
    h("p", { class: "lead" }, "A GAN on points instead of pictures. Amber points are real, blue ones generated; the background is amber where the discriminator says real."),
    h("div", { class: "controls presets", role: "group", "aria-label": "Experiments" }, Object.entries(PRESETS).map(([name, change]) => button(name, () => (restart({ ...DEFAULTS, ...change }), state.did("preset"), start())))),
    h("div", { class: "columns" },
      h("div", {}, canvas, count, said,
        h("div", { class: "tools" }, run,
          button("Step the discriminator", () => one("discriminator"), { "data-do": "step-d" }),
          button("Step the generator", () => one("generator"), { "data-do": "step-g" }),
          button("Restart", () => restart(settings)),
          h("label", { class: "check" }, slow, " slow motion"))),
      h("div", {}, curves, controls)));

  function restart(next) {
    stop();
    settings = { ...DEFAULTS, ...next };
    state.set(Object.fromEntries(NAMES.map((name) => [name, settings[name] === DEFAULTS[name] ? "" : settings[name]])));
    game = new Game(settings);
    showControls();
    draw();
  }

  function showControls() {
    const change = (name) => (value) => restart({ ...settings, [name]: value });
    const live = (name) => (value) => ((settings[name] = value), (game[name] = value), state.set({ [name]: value }));
    refill(controls,
      choice("Points", Object.entries(DATA).map(([name, { title }]) => [name, title]), settings.data, change("data")),
      choice("Loss", Object.entries(LOSSES), settings.loss, change("loss")),
      slider("Generator learning rate", { min: 0, max: 0.03, step: 0.0005, value: settings.generatorRate }, live("generatorRate")),
      slider("Discriminator learning rate", { min: 0, max: 0.03, step: 0.0005, value: settings.discriminatorRate }, live("discriminatorRate")),
      slider("Discriminator steps per round", { min: 1, max: 8, value: settings.turns }, live("turns")),
      slider("Generator steps per round", { min: 1, max: 12, value: settings.generatorTurns }, live("generatorTurns")),
      settings.loss === "wgan_gp" ? slider("Penalty weight", { min: 0, max: 5, step: 0.1, value: settings.penalty }, live("penalty")) : "");
  }

  function one(player) {
    stop();
    const before = game.distance();
    const loss = player === "generator" ? game.stepGenerator() : game.stepDiscriminator();
    if (player === "generator") game.steps++;
    said.textContent = player === "generator"
      ? `The generator moved its points uphill, towards where the discriminator says real (loss ${loss.toFixed(3)}). True distance ${before.toFixed(3)} → ${game.distance().toFixed(3)}.`
      : `The discriminator changed the background (loss ${loss.toFixed(3)}). No point has moved.`;
    state.did(`step ${player}`);
    draw();
  }

  function start() {
    run.textContent = "Pause";
    state.did("run");
    const tick = () => {
      if (!albumGan.isShown(body)) return stop(); // another panel or tab is open
      const until = performance.now() + 40;
      do game.round(); while (!slow.checked && performance.now() < until);
      draw();
      timer = setTimeout(tick, slow.checked ? 500 : still() ? 400 : 16);
    };
    timer = setTimeout(tick, 0);
  }
  function stop() {
    clearTimeout(timer);
    timer = 0;
    run.textContent = "Run";
  }

  function draw() {
    const context = canvas.getContext("2d");
    const flat = DATA[settings.data].dimensions === 1;
    context.clearRect(0, 0, SIZE, SIZE);
    (flat ? drawLine : drawPlane)(context, game);
    count.textContent = `Round ${game.steps}. True distance ${game.distance().toFixed(3)}; ${game.modes()} of ${DATA[settings.data].modes.length} modes found.`;
    canvas.dataset.steps = game.steps;
    const recent = ({ points }) => thin(points, 200);
    if (!game.losses.discriminator.points.length && !game.losses.generator.points.length) return void curves.replaceChildren(h("p", { class: "fine" }, "Losses and the true distance appear here."));
    curves.replaceChildren(
      chart([{ name: "discriminator loss", points: recent(game.losses.discriminator) }, { name: "generator loss", points: recent(game.losses.generator) }].filter((one) => one.points.length), { label: "Losses", x: "rounds", height: 190 }),
      game.distances.points.length > 1 ? chart([{ name: "true distance, hidden from both networks", points: recent(game.distances), colour: "var(--curve-3)" }], { label: "True distance", x: "rounds", height: 170 }) : "");
  }

  showControls();
  draw();
  return stop;
}

const thin = (points, most) => {
  const size = Math.ceil(points.length / most) || 1;
  return points.filter((_, i) => i % size === size - 1 || i === points.length - 1);
};
const place = (value) => ((value + REACH) / (2 * REACH)) * SIZE;
const AMBER = "#c97f00"; // on a canvas, for light and dark
const BLUE = "#4f86ff";

// The discriminator's output on a grid, as probabilities: sigmoid for DCGAN, relative to its own range for critics.
function opinions(game, points) {
  const scores = game.discriminator.forward(points).data;
  if (game.loss === "dcgan") return Array.from(scores, (value) => 1 / (1 + Math.exp(-value)));
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  return Array.from(scores, (value) => (value - low) / (high - low || 1));
}

function drawPlane(context, game) {
  const cells = 28;
  const grid = constant(cells * cells, 2, (i) => ((i % 2 ? Math.floor(i / 2 / cells) : (i >> 1) % cells) + 0.5) * ((2 * REACH) / cells) - REACH);
  opinions(game, grid).forEach((share, i) => {
    const strength = Math.abs(share - 0.5) * 0.9;
    context.fillStyle = `rgb(${share > 0.5 ? "255 180 60" : "60 110 255"} / ${strength})`;
    context.fillRect(((i % cells) * SIZE) / cells, (Math.floor(i / cells) * SIZE) / cells, SIZE / cells + 1, SIZE / cells + 1);
  });
  dots(context, game.shown.real, AMBER);
  dots(context, game.drawn(), BLUE);
}

function dots(context, points, colour) {
  context.fillStyle = colour;
  for (let i = 0; i < points.rows; i++) {
    context.beginPath();
    context.arc(place(points.data[2 * i]), place(points.data[2 * i + 1]), 3, 0, 7);
    context.fill();
  }
}

// One dimension: densities of real and generated points, the discriminator's output as a line.
function drawLine(context, game) {
  const bins = 48;
  for (const [points, colour, alpha] of [[game.shown.real, AMBER, 0.75], [game.drawn(), BLUE, 0.65]]) {
    const counts = new Array(bins).fill(0);
    points.data.forEach((value) => (counts[Math.min(bins - 1, Math.max(0, Math.floor(((value + REACH) / (2 * REACH)) * bins)))] += 1));
    context.globalAlpha = alpha;
    context.fillStyle = colour;
    counts.forEach((count, i) => {
      const high = (count / points.rows) * SIZE * 3.2;
      context.fillRect((i * SIZE) / bins, SIZE - high, SIZE / bins - 1, high);
    });
  }
  context.globalAlpha = 1;
  const line = constant(100, 1, (i) => (i / 99) * 2 * REACH - REACH);
  context.strokeStyle = getComputedStyle(context.canvas).color;
  context.lineWidth = 2;
  context.beginPath();
  opinions(game, line).forEach((share, i) => context.lineTo((i / 99) * SIZE, 20 + (1 - share) * (SIZE - 60)));
  context.stroke();
}
