// The tab's state, stored in the URL fragment: panels read and write their own keys, and links restore everything.
const read = () => new URLSearchParams(location.hash.slice(1));

export function value(name, otherwise = "") {
  return read().get(name) ?? otherwise;
}

// set({ seed: 4, mute: "" }): empty values are removed.
export function set(changes) {
  const query = read();
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) query.delete(name);
    else query.set(name, value);
  }
  const search = new URLSearchParams(location.search);
  if (albumGan.isShown(document.querySelector(".learn"))) search.set("tab", "learn");
  history.replaceState(null, "", `?${search.toString().replaceAll("%2C", ",")}#${query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":")}`);
}

export function reset(panel) {
  const kept = ["tour", "bets"].map((name) => [name, value(name)]).filter(([, text]) => text);
  history.replaceState(null, "", `${location.search}#${new URLSearchParams([["panel", panel], ...kept])}`);
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
export const did = (what, detail) => watchers.forEach((watcher) => watcher(what, detail));
export const watch = (watcher) => (watchers.add(watcher), () => watchers.delete(watcher));
