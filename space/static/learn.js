// A slider through the history of the model: two sheets at a time, the one fading into the next.
const { images } = props.value;
const sheets = element.querySelector(".sheets");
const slider = element.querySelector("input");
const play = element.querySelector("button");
const count = element.querySelector(".count");
const last = images.length - 1;
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
let running = 0;

const pictures = images.map((shown, i) => {
  const picture = new Image();
  picture.alt = "";
  sheets.append(picture);
  return picture;
});
pictures[0].alt = "Sheet of 64 covers, as the network draws them at the moment that the slider shows";

// Fetched as the slider nears them; a sheet that is there stays.
const fetch = (i) => pictures[i] && !pictures[i].src && (pictures[i].src = `moment/${i}.webp`);

function show() {
  const at = Number(slider.value);
  const low = Math.min(Math.floor(at), last);
  for (let i = low - 1; i <= low + 3; i++) fetch(i);
  pictures.forEach((picture, i) => (picture.style.opacity = i === low ? 1 : i === low + 1 ? at - low : 0));
  const shown = images[Math.round(at)];
  count.textContent = shown ? `${shown.toLocaleString("en")} covers shown` : "Untrained: noise";
  slider.setAttribute("aria-valuetext", count.textContent);
}

function step(since) {
  const begun = Number(slider.value);
  const run = ++running;
  const frame = (now) => {
    if (run !== running) return;
    const at = Math.min(last, begun + (now - since) / 450);
    slider.value = still ? Math.floor(at) : at;
    show();
    if (at < last) requestAnimationFrame(frame);
    else stop();
  };
  requestAnimationFrame(frame);
}

function stop() {
  running++;
  play.textContent = "Play";
}

slider.max = last;
slider.value = last;
slider.addEventListener("input", () => (stop(), show()));
play.addEventListener("click", () => {
  if (play.textContent === "Stop") return stop();
  if (Number(slider.value) >= last) slider.value = 0;
  play.textContent = "Stop";
  step(performance.now());
});
// Nothing is fetched until somebody looks.
new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && show()).observe(sheets);
