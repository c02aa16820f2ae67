// The page's state in the browser: the wall, pinned and kept covers; and the URLs of covers.
window.albumGan = {
  setup: {}, // {model, resolution, latents, styles, layouts, invitation, directions}: written into the page by the server
  wall: null, // as last shown; null until the URL has been read; the URL must not change before
  chosen: null, // the seed that an event refers to
  pins: [], // names of pinned covers, A first
  onWall: {}, // set by wall.js: showShelves(), restore(settings), send(cover), pin(), say(text)

  isShown: (element) => Boolean(element?.getClientRects().length), // not in a tab or panel that is closed
  isPhone: () => innerWidth <= 600,
  // As many rows of eight as fit on the screen; on a phone two rows of two.
  wallSize() {
    if (this.isPhone()) return 4;
    const columns = innerWidth <= 1000 ? 4 : 8;
    const tile = Math.min(innerWidth - 40, 2200) / columns + 26;
    return columns * Math.max(16 / columns, Math.min(4, Math.floor((innerHeight - 215) / tile)));
  },

  // A cover's name is the text typed for it, or its seed's readable name. Typed text may contain characters not allowed in paths.
  nameOf: (cover) => cover.typed || cover.name,
  // An address that others can open: on this computer the page is at 127.0.0.1, but phones need another address.
  shared(href) {
    const { url } = this.setup.invitation ?? {};
    const here = new URL(href, location.href);
    const isLocal = ["localhost", "[::1]"].includes(here.hostname) || here.hostname.startsWith("127.");
    return url && isLocal ? new URL(`${here.search}${here.hash}`, url).href : here.href;
  },
  fileName: (name) => name.replace(/[\x00-\x1f/\\:*?"<>|]+/g, "-").slice(0, 80),
  isExact: (text) => /^\s*(\d{1,8}|[a-z]+[\s_-]+[a-z]+[\s_-]+\d{3})\s*$/i.test(text),
  byName: (text) => (albumGan.isExact(text) ? { seed: text, name: text } : { seed: text, name: text, typed: text }),

  // The query of every picture and film; more: {seeds, typed, size, title, artist, layout, edits, style}
  queryOf({ truncation = 1, label = "" }, more = {}) {
    const query = new URLSearchParams({ truncation, model: this.setup.model });
    for (const [name, value] of Object.entries({ label, ...more })) if (value) query.set(name, value);
    return query;
  },
  // cover: {seed, typed, truncation, label}; route: "cover" or "edit"
  coverUrl({ seed, typed = "", ...settings }, ending = "png", more = {}, route = "cover") {
    return `${route}/${typed ? "typed" : encodeURIComponent(seed)}.${ending}?${this.queryOf(settings, { typed, ...more })}`;
  },
  filmUrl(from, to, settings) {
    return `film/${from}/${to}.mp4?${this.queryOf(settings)}`;
  },

  // covers: [{seed, truncation, label}, ...]: each has its own settings.
  zipUrl(covers) {
    const rows = covers.map(({ seed, truncation = 1, label = "", typed = "" }) => [seed, truncation, label, typed]);
    const query = new URLSearchParams({ covers: JSON.stringify(rows), model: this.setup.model });
    return `covers.zip?${query}`;
  },

  // The picture at a URL, once the server has drawn it; null if it refuses, or once it is outdated. `say` tells
  // the visitor what the page is waiting for.
  async fetchImage(url, isCurrent, say) {
    let waited = false;
    for (let wait = 1500; ; wait = Math.min(2 * wait, 60_000)) {
      const image = new Image();
      image.src = url;
      try {
        await image.decode();
        if (waited) say("");
        return image;
      } catch {
        if (!isCurrent()) return null;
        waited = true;
        const answer = await fetch(url).catch(() => null);
        say(answer ? (answer.ok ? "" : await answer.text()) : "The page's computer is not responding.");
        if (answer && answer.status >= 400 && answer.status < 500) return null;
        await new Promise((done) => setTimeout(done, wait * (0.5 + Math.random())));
        if (!isCurrent()) return null;
      }
    }
  },

  // The view in the URL, for page.py's `wire_links`. If the server does not answer, the page keeps the wall it was
  // served with, or the visitor's own, if one was requested in the meantime.
  async restoreLink(wall, pins) {
    const same = { __type__: "update" };
    const query = new URLSearchParams(location.search);
    query.set("count", this.wallSize());
    const kept = this.keptPins(); // before the field changes for the first time
    const answer = await fetch(`view.json?${query}`).catch(() => null);
    const view = answer?.ok ? await answer.json() : null;
    const linked = view?.interpolate === pins ? null : view?.interpolate; // the suggestion remains a suggestion
    const pinned = linked ?? kept;
    if (pinned) this.isSuggestion = false; // chosen by the user
    const unchanged = [same, same, same, same, pinned ?? same, same, same];
    if (this.earlyWall) {
      setTimeout(() => (this.linkShown(this.earlyWall, pinned ?? pins), this.remember("generate", this.wallNames(this.earlyWall))));
      return unchanged;
    }
    this.linked = view;
    setTimeout(() => this.linkShown(view?.wall ?? wall, pinned ?? pins)); // once gradio has the values
    if (!view) return unchanged;
    const notice = view.notice ? { ...same, value: view.notice, visible: true } : same;
    const tab = { ...same, selected: view.tab };
    return [tab, view.truncation, view.label, view.wall, pinned ?? same, view.upscale ?? same, notice];
  },
  linkedEdits() {
    try {
      return JSON.parse(new URLSearchParams(location.search).get("edits")) ?? {};
    } catch {
      return {};
    }
  },
  earlyWall: null, // a wall that the visitor chose before the link's view arrived
  linked: null, // the link's view, until the wall changes
  isLinked: (wall) => ["seeds", "truncation", "label"].every((key) => String(wall[key]) === String(albumGan.linked?.wall[key])),
  linkShown(wall, pins) {
    this.wall = wall;
    this.pinned(pins);
    const { tab, upscale, truncation, label } = this.linked ?? {};
    if (upscale) this.onWall.send({ name: upscale, truncation, label });
    const edited = new URLSearchParams(location.search).get("seeds");
    if (tab === "edit" && edited) {
      const name = edited.includes(";") ? this.namesIn(edited)[0] : edited;
      this.edit(name, null, this.linkedEdits(), new URLSearchParams(location.search).get("style") ?? "");
    }
  },

  // seeds: numbers, or text with names or words, in a form that the page can parse. The longest field is last: a link
  // that is cut on its way keeps the others.
  remember(tab, seeds) {
    if (!this.wall) return;
    const { truncation, label } = { edit: this.editSettings, upscale: this.sent?.name === seeds && this.sent }[tab] || this.wall;
    const { model } = this.wall;
    const list = Array.isArray(seeds) ? this.joined(seeds) : String(seeds);
    const separators = /^[\d,;\s-]*$/.test(list) ? /\s*([,;])\s*/g : /\s*(;)\s*/g; // a name may contain commas and spaces
    const query = new URLSearchParams({ tab, truncation, model });
    if (label) query.set("label", label);
    if (tab === "edit" && Object.keys(this.edits).length) query.set("edits", JSON.stringify(this.edits));
    if (tab === "edit" && this.editStyle) query.set("style", this.editStyle);
    query.set("seeds", list.trim().replace(separators, "$1"));
    history.replaceState(null, "", `?${query.toString().replaceAll("%2C", ",")}${location.hash}`); // Learn's state is in the hash
  },

  // Switching to another tab also blurs the field; by then that tab has set its own URL.
  rememberTyped(tab, text) {
    const isOpen = document.querySelector("[role=tab][aria-selected=true]")?.dataset.tabId === tab;
    if (isOpen && text.trim()) this.remember(tab, text);
  },

  // gradio gives the button around a picture no accessible name.
  nameButtons() {
    const name = () => document.querySelector("#picture button")?.setAttribute("aria-label", "The picture to enlarge");
    for (const wait of [0, 100, 400, 1500]) setTimeout(name, wait);
  },

  busy: (id, busy) => document.getElementById(`${id}-cancel`)?.classList.toggle("busy", busy),

  seek(frame) {
    const video = document.querySelector("#loop video");
    if (!video?.duration) return;
    video.pause();
    const { max } = document.querySelector("#scrub input[type=range]"); // number of frames
    video.currentTime = ((frame - 0.5) / max) * video.duration; // the film's own speed
  },

  // Pins are stored as the text of Interpolate's field, which pinning changes. Its initial covers are a suggestion,
  // until one is pinned.
  suggested: null,
  isSuggestion: true,
  // Same as `check_several` in validation.py: semicolons separate any text, commas only numbers and readable names, or
  // the words of a single name without a semicolon.
  namesIn(text) {
    const range = /^\s*(\d{1,8})\s*-\s*(\d{1,8})\s*$/;
    const parts = text.split(/[;\n]/).flatMap((part) => {
      const items = part.split(",");
      const exact = items.map((item) => this.isExact(item) || range.test(item));
      return exact.every(Boolean) || items.some((item, i) => exact[i] && /[a-z]/i.test(item)) ? items : [part];
    });
    const names = parts.map((name) => name.trim()).filter(Boolean);
    const isLone = names.length === 1 && !this.isExact(names[0]) && !/[;\n]/.test(text);
    const split = isLone ? names[0].split(",").map((name) => name.trim()).filter(Boolean) : names;
    const numbers = ([, first, last]) => Array.from({ length: Math.min(8, last - first + 1) }, (_, i) => String(Number(first) + i));
    return split.flatMap((name) => (range.test(name) ? numbers(range.exec(name)) : [name])).slice(0, 8);
  },
  // Pins survive reloading, in this tab of the browser.
  keptPins() {
    try {
      return sessionStorage.getItem("album-gan-pins") || null;
    } catch {
      return null;
    }
  },
  keepPins(text) {
    try {
      sessionStorage.setItem("album-gan-pins", text);
    } catch {}
  },
  // A list that the server parses as these names: commas only between numbers, and a semicolon after a single name with commas.
  joined(names) {
    if (names.every((name) => /^\d{1,8}$/.test(name))) return names.join(", ");
    return names.length === 1 && /,/.test(names[0]) ? `${names[0]};` : names.join("; ");
  },
  wallNames: (wall) => wall.seeds.map((seed, i) => wall.typed?.[i] || seed),
  pinned(text) {
    this.suggested ??= text;
    this.isSuggestion &&= text === this.suggested;
    this.pins = this.isSuggestion ? [] : this.namesIn(text);
    this.keepPins(this.isSuggestion ? "" : text);
    this.stops = this.namesIn(text);
    this.onWall.showShelves?.();
    this.showStrip();
  },
  stops: [], // of the animation, in order
  showStrip() {
    const strip = document.querySelector("#strip .strip"); // missing until its tab has been opened
    strip?.replaceChildren(...this.stops.map((name, i) => this.thumbnail(name, i, this.wall ?? {})));
  },
  // Why a cover cannot be pinned; "" if it can, or is.
  pinRefusal(name) {
    return this.pins.length < 8 || this.pins.includes(name) ? "" : "Eight covers are pinned; unpin one first.";
  },
  togglePin(text, name = this.chosen) {
    const names = this.isSuggestion ? [] : this.namesIn(text);
    this.isSuggestion = false;
    const rest = names.filter((item) => item !== name);
    return this.joined(rest.length < names.length ? rest : [...names, name]);
  },
  thumbnail(name, i, { truncation, label }) {
    const figure = document.createElement("figure");
    const empty = Object.assign(new Image(), { alt: `Album cover ${name}` });
    const url = this.coverUrl({ ...this.byName(name), truncation, label });
    const drawn = this.fetchImage(url, () => empty.isConnected, () => {});
    drawn.then((image) => (image ? empty.replaceWith(Object.assign(image, { alt: empty.alt })) : empty.remove()));
    const caption = document.createElement("figcaption");
    caption.textContent = `${String.fromCharCode(65 + i)}  ${name}`;
    figure.append(empty, caption);
    return figure;
  },

  // Kept covers are stored in this browser only; if it forbids that, until the page is closed.
  kept: [],
  store(covers) {
    this.kept = covers;
    try {
      localStorage.setItem("album-gan-kept", JSON.stringify(covers));
    } catch {}
    this.onWall.showShelves?.();
  },
  load() {
    try {
      const covers = JSON.parse(localStorage.getItem("album-gan-kept") ?? "[]");
      this.kept = covers.filter((cover) => typeof cover?.name === "string");
    } catch {}
    try {
      const theme = localStorage.getItem("album-gan-theme");
      if (theme) this.setTheme(theme);
    } catch {}
    const query = new URLSearchParams(location.search);
    if (query.has("presenter")) {
      this.keepKey(query.get("presenter"));
      query.delete("presenter");
      history.replaceState(null, "", (String(query) ? `?${query}` : location.pathname) + location.hash); // query.size is missing from Safari 16
    }
  },

  // The presenter's key is sent with every request as a cookie, never in an address: people copy addresses and share them.
  // It lasts until the browser is closed; an empty one is forgotten. On huggingface.co the page is in a frame.
  keepKey(key) {
    const access = location.protocol === "https:" ? "SameSite=None; Secure; Partitioned" : "SameSite=Strict";
    const age = key ? "" : "; Max-Age=0";
    document.cookie = `album_gan_presenter${location.port}=${encodeURIComponent(key)}; Path=${location.pathname}; ${access}${age}`;
  },

  // Light or dark follows the system until the switch is pressed; stored in this browser.
  setTheme: (theme) => (document.documentElement.dataset.theme = theme),
  switchTheme() {
    const system = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
    const theme = (document.documentElement.dataset.theme ?? system) === "light" ? "dark" : "light";
    this.setTheme(theme);
    document.body.classList.toggle("dark", theme === "dark"); // gradio's own class
    try {
      localStorage.setItem("album-gan-theme", theme);
    } catch {}
  },

  // Edit: the edited cover, and its {truncation, label} if they differ from the wall's.
  editing: null,
  edits: {}, // {direction: amount}, stored in the link
  editStyle: "", // the cover it is mixed with, stored in the link
  editSettings: null,
  edit(name, settings = null, edits = {}, style = "") {
    Object.assign(this, { editing: name, editSettings: settings, edits, editStyle: style });
    this.onEdit?.(); // once its tab has been opened
  },

  // The Settings tools: links are updated on hover and focus.
  tools(element) {
    const tool = (name) => element.querySelector(`[data-tool=${name}]`);
    const update = () => {
      if (!this.wall) return;
      tool("zip").href = this.zipUrl(this.wall.seeds.map((seed, i) => ({ ...this.wall, seed, typed: this.wall.typed?.[i] })));
      const all = this.kept.filter((cover) => cover.model === this.setup.model);
      const kept = all.slice(-64); // as many as an archive holds
      tool("kept-zip").hidden = !kept.length;
      tool("kept-zip").textContent = `Download ${all.length > kept.length ? `the newest ${kept.length} of ${all.length} ` : ""}kept (ZIP)`;
      tool("kept-zip").href = this.zipUrl(kept.map((cover) => ({ ...cover, seed: cover.name })));
    };
    for (const name of ["pointerenter", "focusin"]) element.addEventListener(name, update);
    // A refused download, for example of too many covers, would replace the page with the error message.
    for (const link of [tool("zip"), tool("kept-zip")]) {
      link.addEventListener("click", async (event) => {
        event.preventDefault();
        const answer = await fetch(link.href).catch(() => null);
        if (!answer?.ok) return this.onWall.say(answer ? await answer.text() : "The page's computer is not responding.");
        const url = URL.createObjectURL(await answer.blob());
        Object.assign(document.createElement("a"), { href: url, download: "covers.zip" }).click();
        setTimeout(() => URL.revokeObjectURL(url), 60_000);
      });
    }
    tool("link").addEventListener("click", async () => {
      const copied = await navigator.clipboard?.writeText(this.shared(location.href)).then(() => true, () => false);
      tool("link").textContent = copied ? "Link copied" : "The link is in the address bar";
    });
    element.querySelector("input").addEventListener("change", ({ target }) => {
      this.readPicture(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
  },

  // The settings in a PNG from this page: the text chunk `album_gan`. Only a picture without it is uploaded, by `find`.
  async readPicture(file) {
    document.querySelector("[role=tab][data-tab-id=generate]")?.click(); // where the answer is shown
    const data = new DataView(await file.arrayBuffer());
    const text = (from, length) => String.fromCharCode(...new Uint8Array(data.buffer, from, length));
    try {
      for (let at = 8; at + 12 <= data.byteLength; at += 12 + data.getUint32(at)) {
        if (text(at + 4, 4) !== "tEXt") continue;
        const [key, value] = text(at + 8, data.getUint32(at)).split("\0");
        if (key === "album_gan") return this.onWall.restore(JSON.parse(value));
      }
    } catch {}
    this.find(file);
  },

  // Another picture: find the cover nearest to it.
  find(file) {
    if (this.give(file, "find-picture")) this.onWall.say("Looking for the cover nearest to your picture …");
    else this.onWall.say("This picture contains no settings; open Settings to find the cover nearest to your picture.");
  },
  // Hand a file to one of gradio's upload buttons; false while its panel has not been opened.
  give(file, id) {
    const button = document.getElementById(id); // gradio puts the input inside or next to it
    const field = button?.querySelector("input[type=file]") ?? button?.parentElement.querySelector(":scope > input[type=file]");
    if (!field) return false;
    const files = new DataTransfer();
    files.items.add(file);
    field.files = files.files;
    field.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  },

  // Text alternative of a cover: its brightness and main colour.
  describe(image, name) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 8;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0, 8, 8);
    const { data } = context.getImageData(0, 0, 8, 8);
    const weights = {};
    let light = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
      const [high, low] = [Math.max(r, g, b), Math.min(r, g, b)];
      light += (high + low) / 2 / 64;
      if (high - low < 28) continue;
      const turn = high === r ? (g - b) / (high - low) : high === g ? 2 + (b - r) / (high - low) : 4 + (r - g) / (high - low);
      const colour = ["red", "orange", "yellow", "green", "green", "turquoise", "turquoise", "blue", "blue", "violet", "pink", "pink"];
      const word = colour[Math.round((turn * 60 + 360) / 30) % 12];
      weights[word] = (weights[word] ?? 0) + high - low;
    }
    const [first, second] = Object.keys(weights).sort((a, b) => weights[b] - weights[a]);
    const hue = !first ? "grey" : weights[first] < 300 ? `nearly grey` : second && weights[second] > weights[first] / 2 ? `${first} and ${second}` : first;
    return `Album cover ${name}: ${light < 70 ? "dark" : light > 170 ? "bright" : "medium bright"}, ${hue}`;
  },
};
albumGan.load();
// gradio redraws when the pointer lets go of a slider, not when arrow keys have moved it.
addEventListener("change", (event) => {
  if (event.target.matches?.("#truncation input[type=range]")) event.target.dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
});
// Typing into the style menu replaces the current choice, so that the text is searched for.
addEventListener("focusin", (event) => event.target.matches?.("#label input") && setTimeout(() => event.target.select()));
addEventListener("storage", (event) => {
  if (event.key !== "album-gan-kept") return; // kept in another tab of the browser
  albumGan.load();
  albumGan.onWall.showShelves?.();
});
addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
addEventListener("drop", (event) => {
  const file = event.dataTransfer?.files[0];
  if (!file || event.target.matches?.("input[type=file]")) return; // the browser gives it to that field
  event.preventDefault();
  if (!file.type.startsWith("image/")) return;
  if (event.target.closest?.("#own")) albumGan.give(file, "own");
  else albumGan.readPicture(file);
});
