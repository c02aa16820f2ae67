// Time machine: the same seeds throughout a model's training, with its losses and kernel distances.
import { h, address, attempt, button, chart, choice, get, latest, line, picture, still, trainedModels } from "./dom.js";
import * as state from "./state.js";

export async function mount(body) {
  const { trained, own } = await trainedModels();
  const note = line();
  const machines = h("div", { class: "columns" });
  const sideBySide = [own, ...trained.filter((name) => name !== own)].slice(0, 2).join(",");
  const shown = () => state.value("models", sideBySide).split(",");
  const slider = h("input", { type: "range", min: 0, max: 1000, value: state.value("at", "1000"), "aria-label": "Training progress, from noise to covers" });
  const play = button("Play", () => (timer ? stop() : start()));
  const newest = latest();
  let courses = {};
  let timer = 0;
  body.append(
    h("p", { class: "lead" }, "The same 64 seeds, from noise to covers. Losses do not say how good the pictures are; the kernel distance to held-out covers does. (\"mixture\" is a second loss of the bundled model's generator: the distance between many generated covers and many real ones, in a network's features.)"),
    h("div", { class: "controls" }, choice("Models", [[sideBySide, "side by side"], ...trained.map((name) => [name, name])], shown().join(","), (names) => (state.set({ models: names }), load())),
      h("label", { class: "field wide-field" }, h("span", {}, "Noise to covers"), slider), play),
    note, machines);

  slider.addEventListener("input", () => (stop(), draw(true)));

  function start() {
    play.textContent = "Stop";
    if (Number(slider.value) >= 1000) slider.value = 0;
    timer = setInterval(() => {
      if (!albumGan.isShown(body)) return stop(); // another tab of the page is open
      slider.value = Number(slider.value) + (still() ? 100 : 12);
      draw(true);
      if (Number(slider.value) >= 1000) stop();
    }, still() ? 900 : 200);
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  async function load() {
    const names = shown();
    const found = await newest((signal) => Promise.all(names.map((name) => attempt(note, () => get("course.json", { model: name }, { signal })))));
    if (!found) return;
    courses = Object.fromEntries(names.map((name, i) => [name, found[i]]).filter(([, course]) => course?.moments.length));
    machines.replaceChildren(...Object.keys(courses).map((name) => h("section", { class: "machine", "data-model": name }, h("h3", {}, name), picture(null, `64 covers of ${name} at this point in training`), h("p", { class: "count" }), h("div", { class: "charts" }), h("ul", { class: "said" }))));
    if (!Object.keys(courses).length) note.textContent = "This model has no training history.";
    draw(false);
  }

  function draw(byHand) {
    const share = Number(slider.value) / 1000;
    if (byHand) (state.set({ at: slider.value }), state.did("scrubbed"));
    for (const [name, course] of Object.entries(courses)) {
      const place = machines.querySelector(`[data-model="${name}"]`);
      const moment = Math.round(share * (course.moments.length - 1));
      const images = course.moments[moment];
      const image = place.querySelector("img");
      const src = address(`moment/${name}/${moment}.webp`);
      if (image.getAttribute("src") !== src) image.setAttribute("src", src);
      place.querySelector(".count").textContent = images ? `${images.toLocaleString("en")} covers seen` : "Untrained: noise";
      const losses = Object.entries(course.losses).map(([series, points]) => ({ name: series.replace("/", ": ").replace("_", " "), points }));
      place.querySelector(".charts").replaceChildren(
        chart(losses, { at: images, label: `Losses of ${name}`, x: "covers" }),
        course.kid.length ? chart([{ name: "kernel distance x 1,000", points: course.kid.map(([x, y]) => [x, 1000 * y]), colour: "var(--curve-3)" }], { at: images, label: `Kernel distance of ${name}`, x: "covers", marks: course.alarms.map((alarm) => ({ x: alarm.images, text: alarm.saw })) }) : "");
      const said = course.alarms.filter((alarm) => alarm.images <= images).slice(-2);
      place.querySelector(".said").replaceChildren(...(said.length ? said.map((alarm) => h("li", {}, h("b", {}, `${alarm.name}. `), `${alarm.saw} ${alarm.means}`)) : [h("li", {}, "No alarms so far.")]));
    }
  }
  await load();
  return stop;
}
