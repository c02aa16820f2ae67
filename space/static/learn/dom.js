// Shared by all panels: elements, requests, pictures and small charts.

// h("p", { class: "fine", onclick }, "text", element, ...)
export function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "circle", "rect", "polyline", "g", "title"].includes(tag) && attributes.svg;
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "svg" || value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const s = (tag, attributes, ...children) => h(tag, { ...attributes, svg: true }, ...children);

export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== "" && value !== undefined && value !== null) query.set(name, value);
  const text = String(query); // query.size is missing from Safari 16
  return new URL(`learn/${path}${text && `?${text}`}`, document.baseURI).href;
}

// The server's response. While its queue is full (503) or it does not answer, the request is retried and the panel says why,
// until the panel is closed or the picture is no longer needed. A whole class may share one address.
async function ask(url, options = {}, isWanted = () => true) {
  const waiting = document.querySelector(".learn .waiting");
  for (let wait = 1500; ; wait = Math.min(2 * wait, 20_000)) {
    const answer = await fetch(url, options).catch(() => null);
    options.signal?.throwIfAborted();
    waiting.textContent = "";
    if (answer && answer.status !== 503) return answer;
    if (!waiting.isConnected || !isWanted()) throw new Error("This is no longer needed.");
    waiting.textContent = answer ? "The server is busy; waiting for a turn ..." : "The page's server does not answer; trying again ...";
    await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random())));
  }
}

// JSON from the page's server; throws an Error with its message if it refuses.
export async function get(path, parameters = {}, options = {}) {
  const answer = await ask(address(path, parameters), options);
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 300) || `Error ${answer.status}`);
  return answer.json();
}

// Names of the trained networks, and of the page's own.
export async function trainedModels() {
  const { models, own } = await get("models.json");
  return { trained: models.filter(({ trained }) => trained).map(({ name }) => name), own };
}

export async function fetchPicture(path, parameters = {}, options = {}) {
  const answer = await ask(address(path, parameters), options);
  if (!answer.ok) throw new Error((await answer.text()).slice(0, 300));
  const image = new Image();
  image.src = URL.createObjectURL(await answer.blob());
  await image.decode();
  URL.revokeObjectURL(image.src); // decoded, so that it appears without a flash
  return { image, columns: Number(answer.headers.get("X-Columns") ?? 1) };
}

// A picture, drawn without smoothing.
export function picture(src, alt, attributes = {}) {
  const image = h("img", { src, alt, class: "pixels", ...attributes });
  image.addEventListener("error", async () => {
    const url = image.src;
    const isWanted = () => image.isConnected && image.src === url;
    if (!isWanted() || url.startsWith("blob:")) return; // the blob has arrived, and is not a picture
    const answer = await ask(url, {}, isWanted).catch(() => null);
    if (!answer?.ok || !isWanted()) return;
    image.src = URL.createObjectURL(await answer.blob());
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  });
  return image;
}

export function field(label, input) {
  return h("label", { class: "field" }, h("span", {}, label), input);
}

export function choice(label, options, value, onchange) {
  const select = h("select", { onchange: () => onchange(select.value) });
  for (const option of options) {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    select.append(h("option", { value: key, selected: String(key) === String(value) }, text));
  }
  return field(label, select);
}

export function slider(label, { min, max, step = 1, value }, oninput) {
  const output = h("output", {}, String(value));
  const input = h("input", { type: "range", min, max, step, "aria-label": label });
  input.value = value;
  input.addEventListener("input", () => ((output.textContent = input.value), oninput(Number(input.value))));
  return h("label", { class: "field" }, h("span", {}, label, " ", output), input);
}

export function button(text, onclick, attributes = {}) {
  return h("button", { type: "button", class: "action", onclick, ...attributes }, text);
}

// A status line, also for screen readers.
export const line = (text = "", attributes = {}) => h("p", { class: "note", "aria-live": "polite", ...attributes }, text);

// const newest = latest(): `await newest(action)` is the action's result, or null if a later one has started since;
// the signal passed to the action then aborts its request.
export function latest() {
  let running = new AbortController();
  return async (action) => {
    running.abort();
    const { signal } = (running = new AbortController());
    const result = await action(signal);
    return signal.aborted ? null : result;
  };
}

// Runs something slow; the note shows that it is running, or its error.
export async function attempt(note, action, busy = "Computing ...") {
  const timer = setTimeout(() => (note.textContent = busy), 300);
  try {
    const result = await action();
    clearTimeout(timer);
    if (note.textContent === busy) note.textContent = "";
    return result;
  } catch (error) {
    clearTimeout(timer);
    if (error.name !== "AbortError") note.textContent = error.message; // otherwise the note belongs to a later action
    return null;
  }
}

// const refocus = focusIn(element): once the element has been rebuilt, gives the focus back to the control that had it.
export function focusIn(element) {
  const active = document.activeElement;
  if (!element.contains(active)) return () => {};
  const nameOf = (control) => control.dataset.do ?? control.getAttribute("aria-label") ?? control.textContent;
  const name = nameOf(active);
  return () => [...element.querySelectorAll("button, input, select, canvas")].find((control) => nameOf(control) === name)?.focus({ preventScroll: true });
}

// As element.replaceChildren, without taking the focus away.
export function refill(element, ...children) {
  const refocus = focusIn(element);
  element.replaceChildren(...children);
  refocus();
}

// Scrolls until the card, which covers the end of the window, does not cover the element.
export function scrollAbove(card, element) {
  element.style.scrollMarginBottom = `${card.offsetHeight + 32}px`;
  element.scrollIntoView({ block: "nearest" });
}

// The contents of a link: JSON as text without characters that a URL would escape.
export const pack = (value) => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
export const unpack = (text) => JSON.parse(atob(text.replaceAll("-", "+").replaceAll("_", "/")));

export const number = (value, digits = 3) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(2) : value.toFixed(digits));
export const shape = (sizes) => (sizes.length ? sizes.map((size) => size.toLocaleString("en")).join(" × ") : "1");
export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

const COLOURS = ["var(--curve-1)", "var(--curve-2)", "var(--curve-3)", "var(--curve-4)"];

// Lines over a common axis. series: [{ name, points: [[x, y], ...] }]; marks: [{ x, text }]; at: x of the cursor.
export function chart(series, { width = innerWidth < 760 ? Math.max(260, innerWidth - 40) : 520, height = 220, marks = [], at = null, label = "", low = null, high = null, x = "" } = {}) {
  const all = series.flatMap((one) => one.points);
  const xs = all.map((point) => point[0]);
  const ys = all.map((point) => point[1]);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1e-9)];
  const [y0, y1] = [low ?? Math.min(...ys, 0), high ?? Math.max(...ys, 1e-9)];
  const [left, right, top, bottom] = [52, 10, 10, 30];
  const px = (value) => left + ((value - x0) / (x1 - x0 || 1)) * (width - left - right);
  const py = (value) => top + (1 - (Math.min(Math.max(value, y0), y1) - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": `${label}: ${series.map((one) => one.name).join(", ")}` });
  for (const y of [y0, (y0 + y1) / 2, y1]) {
    drawing.append(s("line", { x1: left, x2: width - right, y1: py(y), y2: py(y), class: "grid" }));
    drawing.append(s("text", { x: left - 6, y: py(y) + 5, "text-anchor": "end" }, short(y)));
  }
  drawing.append(s("text", { x: left, y: height - 8 }, short(x0)), s("text", { x: width - right, y: height - 8, "text-anchor": "end" }, `${x1 - x0 < 1e-6 ? "" : short(x1)} ${x}`));
  series.forEach((one, i) => {
    const points = one.points.map((point) => `${px(point[0]).toFixed(1)},${py(point[1]).toFixed(1)}`).join(" ");
    drawing.append(s("polyline", { points, style: `stroke: ${one.colour ?? COLOURS[i]}` }));
  });
  for (const mark of marks) drawing.append(s("line", { x1: px(mark.x), x2: px(mark.x), y1: top, y2: height - bottom, class: "mark" }, s("title", {}, mark.text)));
  if (at !== null) drawing.append(s("line", { x1: px(at), x2: px(at), y1: top, y2: height - bottom, class: "cursor" }));
  const legend = h("p", { class: "legend" }, series.map((one, i) => h("span", {}, h("i", { style: `background: ${one.colour ?? COLOURS[i]}` }), one.name)));
  return h("figure", { class: "chart" }, drawing, legend);
}

// A number with so many digits after the point, never "-0".
export const fixed = (value, digits) => value.toFixed(digits).replace(/^-(0(?:\.0+)?)$/, "$1");

const short = (value) => (Math.abs(value) >= 1e6 ? `${+(value / 1e6).toPrecision(2)}M` : Math.abs(value) >= 1e4 ? `${Math.round(value / 1e3)}k` : String(+value.toPrecision(2)));
