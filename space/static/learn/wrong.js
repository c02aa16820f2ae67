// What went wrong? Six small runs, five of them broken on purpose.
import { h, button, chart, line, still } from "./dom.js";
import * as state from "./state.js";

const CAUSES = {
  sound: ["Nothing", "A healthy run: noise, then grey patterns, then figures and title bars in many colours. The discriminator is far ahead at first, then the generator catches up, and no alarm is raised.", "None needed. Note what the losses show: which network is ahead, not how good the pictures are."],
  range: ["Pixels in the wrong range", "Real pixels went from 0 to 1, but the generator's go from -1 (black) to 1 (white). So it learns that nothing is darker than mid-grey, and every picture is pale.", "Scale real pixels to -1 to 1, the range of the generator's last layer, tanh."],
  strong: ["A discriminator that is too strong", "The discriminator learns twenty times as fast as the generator. Its loss is almost 0: it is almost never wrong, so its gradients tell the generator little about how to improve. Once, near 25,920 covers, the generator fools it for a moment: the spike.", "A lower learning rate for the discriminator, or a loss that does not saturate (wgan_gp, projected's hinge)."],
  copies: ["Duplicates left in", "Three of four covers are the same picture. The generator learns what is most frequent: that one, again and again.", "album-gan covers build finds duplicates and keeps one of each."],
  still: ["A generator that never takes a step", "The last picture is no better than the first. Only the discriminator learns, and its loss falls to 0.", "Give the generator's parameters to its optimizer, and call step() on it."],
  collapse: ["Collapse", "For more than half of the run all seeds give nearly the same picture. It may change, but all change together: as soon as one picture works, the discriminator learns to reject it. Here the seeds diverge again at the end; in many runs they never do.", "Resume from an earlier checkpoint, with a lower learning rate; a larger batch; or a recipe whose discriminator sees the whole batch."],
};
const ORDER = ["range", "copies", "still", "sound", "collapse", "strong"];

export async function mount(body) {
  const runs = await (await fetch(new URL("spoiled/runs.json", import.meta.url))).json();
  const names = ORDER.filter((name) => runs[name]);
  const note = line();
  const place = h("div", { class: "case" });
  const tabs = names.map((_, k) => button(`Run ${k + 1}`, () => show(k)));
  let timer = 0;
  let number = Math.min(names.length - 1, Math.max(0, Number(state.value("run", "1")) - 1 || 0));
  body.append(
    h("p", { class: "lead" }, "Six runs of one small DCGAN on synthetic covers. Five were broken on purpose. Watch the film and the curves: what do you see?"),
    h("div", { class: "controls", role: "group", "aria-label": "Runs" }, tabs), note, place);

  function show(i) {
    clearInterval(timer);
    timer = 0;
    number = i;
    state.set({ run: i + 1 });
    tabs.forEach((tab, k) => tab.setAttribute("aria-current", k === i));
    const name = names[i];
    const run = runs[name];
    const frames = run.moments.length;
    const film = h("div", { class: "film", role: "img", "aria-label": "Sixteen samples of this run", style: `background-image: url(${new URL(`spoiled/${name}.webp`, import.meta.url).href}); background-size: ${frames * 100}% 100%` });
    const count = h("p", { class: "count" });
    const slider = h("input", { type: "range", min: 0, max: frames - 1, value: 0, "aria-label": "Point in the run", oninput: () => seek(Number(slider.value)) });
    const seek = (frame) => {
      slider.value = frame;
      film.style.backgroundPosition = `${(frame / (frames - 1)) * 100}% 0`;
      count.textContent = `${run.moments[frame].toLocaleString("en")} covers seen`;
    };
    const play = () => {
      clearInterval(timer);
      let frame = 0;
      seek(0);
      timer = setInterval(() => (++frame < frames ? seek(frame) : clearInterval(timer)), still() ? 1200 : 450);
    };
    const answer = h("div", { class: "answer", "aria-live": "polite" });
    const losses = ["discriminator", "generator"].map((side) => ({ name: `loss of the ${side}`, points: run.images.map((x, k) => [x, run[side][k]]) }));
    const following = (i + 1) % names.length;
    const next = button("Next run", () => (show(following), tabs[following].focus()));
    const bets = h("div", { class: "bets" }, Object.entries(CAUSES).map(([cause, [title]]) => button(title, () => reveal(cause))));
    function reveal(guess) {
      const [title, why, cure] = CAUSES[name];
      const hadFocus = bets.contains(document.activeElement);
      bets.querySelectorAll("button").forEach((element) => (element.disabled = true));
      answer.replaceChildren(
        h("h3", {}, `${guess === name ? "Yes." : "No:"} ${title}.`), h("p", {}, why), h("p", {}, h("b", {}, "Fix: "), cure),
        h("p", {}, h("b", {}, "The log says: "), run.alarms.length ? [...new Map(run.alarms.map((alarm) => [alarm.name, alarm])).values()].map((alarm) => `${alarm.name}: ${alarm.saw} ${alarm.means} Try: ${alarm.attempt}`).join(" ") : "no alarm."),
        chart([{ name: "diversity of the samples, real covers are 1", points: run.diversity }], { low: 0, high: 1.1, label: "Diversity", x: "covers" }),
        next);
      if (hadFocus) next.focus({ preventScroll: true });
      state.keep("wrong", { ...state.kept("wrong", {}), [name]: guess === name });
      state.did("diagnosed");
    }
    place.replaceChildren(
      h("div", { class: "columns" },
        h("div", {}, film, count, h("label", { class: "field" }, h("span", {}, "Noise to the end"), slider), h("div", { class: "tools" }, button("Play the film", play))),
        h("div", {}, chart(losses, { label: "Losses", x: "covers" }), h("h3", {}, "What went wrong?"), bets, answer)));
    const [alike] = run.diversity.reduce((least, point) => (point[1] < least[1] ? point : least));
    const nearest = run.moments.reduce((best, images, k) => (Math.abs(images - alike) < Math.abs(run.moments[best] - alike) ? k : best), 0);
    seek(name === "collapse" ? nearest : frames - 1); // it is over in the last frame
  }
  show(number);
  return () => clearInterval(timer);
}
