// The tab's state: panels read and write their own keys. It is kept in the URL fragment, so that links restore everything.
const fromAddress = () => new URLSearchParams(location.hash.slice(1));
let query = fromAddress();
addEventListener("hashchange", () => (query = fromAddress())); // typed by the visitor

export const value = (name, otherwise = "") => query.get(name) ?? otherwise;

// set({ seed: 4, mute: "" }): empty values are removed.
export function set(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) query.delete(name);
    else query.set(name, value);
  }
  showInAddress();
}

export function reset(panel) {
  restore([["panel", panel], ...["tour", "lesson", "end"].map((name) => [name, value(name)]).filter(([, text]) => text)]);
}

// restore(all()) changes nothing.
export const all = () => [...query];
export function restore(pairs) {
  query = new URLSearchParams(pairs);
  showInAddress();
}

// Browsers refuse to change the address too often, Safari after 100 times in 30 s: while a slider moves, it lags behind.
const INTERVAL = 400; // ms
let shownAt = -INTERVAL;
let timer = 0;
function showInAddress() {
  const wait = shownAt + INTERVAL - performance.now();
  if (wait > 0) timer ||= setTimeout(write, wait);
  else write();
}
function write() {
  clearTimeout(timer);
  timer = 0;
  shownAt = performance.now();
  const search = new URLSearchParams(location.search);
  if (albumGan.isShown(document.querySelector(".learn"))) search.set("tab", "learn");
  const address = `?${search.toString().replaceAll("%2C", ",")}#${query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":")}`;
  try {
    history.replaceState(null, "", address);
  } catch {
    timer = setTimeout(write, 1000); // others have changed it too often
  }
}

// Stored in this browser only; if it forbids that, until the page is closed.
const memory = {};
export function keep(name, content) {
  memory[name] = content;
  try {
    localStorage.setItem(`album-gan-learn-${name}`, JSON.stringify(content));
  } catch {}
}
export function kept(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`album-gan-learn-${name}`)) ?? memory[name] ?? otherwise;
  } catch {
    return memory[name] ?? otherwise;
  }
}

// Reports visitors' actions to the tour: did("muted").
const watchers = new Set();
export const did = (what) => watchers.forEach((watcher) => watcher(what));
export const watch = (watcher) => (watchers.add(watcher), () => watchers.delete(watcher));
