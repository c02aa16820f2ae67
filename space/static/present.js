// Presenting: one cover at a time, full screen, by keyboard or clicker; everything is fetched ahead of time.
(() => {
  const AHEAD = 4; // covers fetched before their turn
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const HELP = "→ next · ← back · M morph · P pin · Q address · B blank · Esc exit";
  const dialog = document.createElement("div"); // a <dialog> may not fill the screen
  dialog.className = "present";
  dialog.tabIndex = -1;
  for (const [name, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-label", "Presenting"]]) dialog.setAttribute(name, value);
  dialog.innerHTML = `<div class="screen"><img alt=""><video muted playsinline></video></div>
    <div class="side"><h2 aria-live="polite"></h2><p class="pin"></p><p class="help"></p><div class="way"><div class="qr"></div><p class="url"></p></div></div>`;
  const part = (selector) => dialog.querySelector(selector);
  const picture = part("img");
  const video = part("video");
  let covers = []; // {seed, name, small, large: Image, film: address of the film to the next cover}
  let index = 0;
  let morphing = false;
  let waiting = 0;
  let resting = 0;

  const isOpen = () => dialog.isConnected;
  const settings = () => ({ truncation: albumGan.wall?.truncation, label: albumGan.wall?.label });

  async function deal() {
    const answer = await fetch("deal.json?count=16").catch(() => null);
    if (!answer?.ok) return;
    for (const [seed, name] of await answer.json()) covers.push({ seed, name });
  }

  // Cover, its enlargement and the film to the next: nothing waits when its turn comes.
  async function prepare(i) {
    if (i + AHEAD >= covers.length) await deal();
    for (let at = i; at < Math.min(i + AHEAD, covers.length); at++) {
      const cover = covers[at];
      if (!cover.small) {
        cover.small = Object.assign(new Image(), { src: albumGan.coverUrl({ ...cover, ...settings() }) });
        cover.large = Object.assign(new Image(), { src: albumGan.coverUrl({ ...cover, ...settings() }, "webp", { size: 512 }) });
      }
    }
    clearTimeout(resting);
    resting = setTimeout(async () => (await film(i), film(i + 1)), 700); // not for covers that are only leafed through
  }

  async function film(i) {
    const [cover, next] = [covers[i], covers[i + 1]];
    if (!cover || !next || cover.film) return;
    cover.film = "loading";
    const answer = await fetch(albumGan.filmUrl(cover.seed, next.seed, settings())).catch(() => null);
    cover.film = answer?.ok ? URL.createObjectURL(await answer.blob()) : null;
  }

  function show(i) {
    index = Math.max(0, i);
    const cover = covers[index];
    if (!cover) return;
    morphing = false;
    dialog.classList.remove("blank", "film");
    video.pause();
    part("h2").textContent = cover.name;
    picture.alt = `Album cover ${cover.name}`;
    picture.src = cover.small?.src ?? albumGan.coverUrl({ ...cover, ...settings() });
    cover.large?.decode().then(() => covers[index] === cover && (picture.src = cover.large.src)).catch(() => {});
    part(".pin").textContent = albumGan.pins.includes(cover.name) ? "Pinned" : "";
    if (covers[index - 3]?.film?.startsWith?.("blob:")) {
      URL.revokeObjectURL(covers[index - 3].film); // an evening is long: only what is near is kept
      Object.assign(covers[index - 3], { film: undefined, small: undefined, large: undefined });
    }
    prepare(index);
  }

  async function morph() {
    if (morphing) return;
    morphing = true;
    await film(index);
    const cover = covers[index];
    if (!cover?.film?.startsWith("blob:")) return void setTimeout(() => morphing && isOpen() && ((morphing = false), morph()), 400);
    video.src = cover.film;
    await video.play().catch(() => {});
    dialog.classList.remove("blank");
    dialog.classList.add("film");
  }

  // The film ends on the next cover; when idle, the next film starts from there.
  video.addEventListener("ended", () => {
    const idle = dialog.dataset.idle;
    show(index + 1);
    if (idle) setTimeout(() => dialog.dataset.idle && isOpen() && morph(), 1200);
  });

  function awake() {
    delete dialog.dataset.idle;
    clearTimeout(waiting);
    if (still) return;
    waiting = setTimeout(() => {
      if (!isOpen() || dialog.classList.contains("blank")) return;
      dialog.dataset.idle = "yes";
      morph();
    }, albumGan.idleAfter);
  }

  const actions = {
    next: () => show(index + 1),
    back: () => show(index - 1),
    morph,
    pin() {
      albumGan.chosen = covers[index].name;
      albumGan.onWall.pin();
      setTimeout(() => (part(".pin").textContent = albumGan.pins.includes(covers[index].name) ? "Pinned" : ""), 300);
    },
    blank: () => dialog.classList.toggle("blank"),
    address: () => dialog.classList.toggle("invite"),
    leave,
  };
  const KEYS = {
    ArrowRight: "next", ArrowDown: "next", PageDown: "next", " ": "next", Enter: "next", n: "next",
    ArrowLeft: "back", ArrowUp: "back", PageUp: "back",
    m: "morph", p: "pin", b: "blank", ".": "blank", q: "address", Escape: "leave", F5: "next",
  };

  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    actions[action]();
    awake();
  });
  dialog.addEventListener("click", () => (actions.next(), awake()));
  function leave() {
    if (!isOpen()) return;
    video.pause();
    morphing = false;
    clearTimeout(waiting);
    delete dialog.dataset.idle;
    if (document.fullscreenElement) document.exitFullscreen();
    dialog.remove();
    for (const other of document.body.children) other.inert = false;
    document.querySelector("#present-open")?.focus();
  }
  document.addEventListener("fullscreenchange", () => !document.fullscreenElement && leave());

  albumGan.idleAfter = 20_000; // ms without a key until covers morph by themselves
  albumGan.present = () => {
    const { seeds = [], names = [] } = albumGan.wall ?? {};
    const start = seeds.map((seed, i) => ({ seed, name: names[i] }));
    covers = [...start];
    const { url, text, qr } = albumGan.setup.invitation;
    part(".qr").innerHTML = qr;
    part(".qr").hidden = !url;
    part(".url").textContent = url || text;
    part(".help").textContent = HELP;
    for (const other of document.body.children) other.inert = true;
    document.body.append(dialog);
    dialog.focus();
    dialog.requestFullscreen?.().catch(() => {}); // where it is refused, the window will do
    show(0);
    awake();
  };
  addEventListener("keydown", (event) => {
    if (event.key === "F5" && event.shiftKey) (event.preventDefault(), albumGan.present());
  });
})();
