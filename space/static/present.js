// Presenting: one cover at a time, full screen, by keyboard or clicker; everything is prefetched.
(() => {
  const AHEAD = 4; // covers prefetched
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const HELP = "→ next · ← back · T type a name · M morph · P pin · X directions · A sum A − B + C of the pins · 0 mean · Q address · B blank · Esc exit";
  const SPEAKER_FOR = 4000; // ms for which keys and hints are shown after the mouse moves; they are for the speaker only
  const dialog = document.createElement("div"); // a <dialog> cannot go full screen
  dialog.className = "present";
  dialog.tabIndex = -1;
  for (const [name, value] of [["role", "dialog"], ["aria-modal", "true"], ["aria-label", "Presenting"]]) dialog.setAttribute(name, value);
  dialog.innerHTML = `<div class="screen"><img class="below" alt=""><img class="cover" alt=""><video muted playsinline></video><div class="labels"></div></div>
    <div class="side"><h2 aria-live="polite"></h2><p class="seed"></p><p class="pin"></p><p class="help"></p><div class="audience"><div class="qr"></div><p class="url"></p></div></div>
    <form class="type" hidden><label>A name, a title, anything <input maxlength="200" autocomplete="off" enterkeyhint="go"></label></form>
    <button class="out" aria-label="Leave">✕</button>`;
  const part = (selector) => dialog.querySelector(selector);
  const picture = part("img.cover");
  const form = part("form");
  const field = part("input");
  const video = part("video");
  let covers = []; // {seed, name, typed, small, large: Image, film: URL of the film to the next cover, onStage: typed here, plain: not set in type}
  let index = 0;
  let morphing = false;
  let turn = 0; // counts pictures: work for an earlier one is dropped
  let waiting = 0;
  let resting = 0;
  let hiding = 0;
  let touched = null;

  const isOpen = () => dialog.isConnected;
  const settings = () => ({ truncation: albumGan.wall?.truncation, label: albumGan.wall?.label });

  // A name typed on stage is printed on its cover.
  const largeUrl = (cover) => albumGan.coverUrl({ ...cover, ...settings() }, "webp", { size: 512, title: cover.onStage && !cover.plain ? cover.typed : "" });

  async function deal() {
    const answer = await fetch("deal.json?count=16").catch(() => null);
    if (!answer?.ok) return;
    for (const [seed, name] of await answer.json()) covers.push({ seed, name, typed: "" });
  }

  function load(cover) {
    if (cover.small) return;
    cover.small = Object.assign(new Image(), { src: albumGan.coverUrl({ ...cover, ...settings() }) });
    cover.large = Object.assign(new Image(), { src: largeUrl(cover) });
  }

  // Prefetch the cover, its enlargement and the film to the next one.
  async function prepare(i) {
    if (i + AHEAD >= covers.length) await deal();
    for (let at = i; at < Math.min(i + AHEAD, covers.length); at++) {
      load(covers[at]);
    }
    clearTimeout(resting);
    resting = setTimeout(async () => (await film(i), film(i + 1)), 700); // not for covers that are skipped quickly
  }

  async function film(i) {
    const [cover, next] = [covers[i], covers[i + 1]];
    if (!cover || !next || cover.film) return;
    cover.film = "loading";
    const answer = await fetch(albumGan.filmUrl(cover.seed, next.seed, settings())).catch(() => null);
    const bytes = answer?.ok ? await answer.blob().catch(() => null) : null;
    if (covers[i + 1] !== next) return void (cover.film = undefined); // a typed name was inserted between them
    cover.film = bytes && URL.createObjectURL(bytes);
  }

  function show(i) {
    const [at, list] = [Math.max(0, i), covers];
    const cover = covers[at];
    if (!cover) return void deal().then(() => isOpen() && covers === list && covers[at] && show(at));
    index = at;
    load(cover);
    unveil();
    caption(cover);
    dissolve(cover.small.src, `Album cover ${albumGan.nameOf(cover)}`);
    sharpen(cover);
    mark();
    invite(cover.onStage ? cover.typed : "");
    if (covers[index - 3]?.film?.startsWith?.("blob:")) {
      URL.revokeObjectURL(covers[index - 3].film); // keep only nearby covers, since a presentation may be long
      Object.assign(covers[index - 3], { film: undefined, small: undefined, large: undefined });
    }
    prepare(index);
  }

  async function sharpen(cover) {
    const isShown = () => isOpen() && covers[index] === cover && extra === "";
    let reason = "";
    const isThere = await cover.large.decode().then(() => true, () => false);
    const image = isThere ? cover.large : await albumGan.fetchImage(largeUrl(cover), isShown, (text) => (reason = text));
    if (image) return void ((cover.large = image), isShown() && dissolve(image.src, picture.alt));
    if (!isShown() || !cover.onStage || !cover.typed || cover.plain) return;
    cover.plain = true; // refused: the name cannot be typeset
    cover.large = Object.assign(new Image(), { src: largeUrl(cover) });
    part(".pin").textContent = reason;
    sharpen(cover);
  }

  let extra = ""; // shown in place of a cover: "sheet", "sum", "mean"
  function headline(name, beneath = "") {
    extra = "";
    part(".labels").replaceChildren();
    part("h2").textContent = name;
    part(".seed").textContent = beneath;
  }

  const caption = (cover) => headline(albumGan.nameOf(cover), cover.typed && cover.name !== cover.typed ? cover.name : "");
  const mark = () => (part(".pin").textContent = covers[index] && albumGan.pins.includes(albumGan.nameOf(covers[index])) ? "Pinned" : "");

  // A new picture ends the morph, which would hide it.
  function unveil() {
    turn++;
    morphing = false;
    video.pause();
    dialog.classList.remove("film");
  }

  // The old picture stays below while the new one fades in.
  function dissolve(src, alt) {
    part("img.below").src = picture.src || src;
    picture.alt = alt;
    picture.src = src;
    if (!still) picture.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 450, easing: "ease-out" });
  }

  // The audience's address; after a name has been typed, the address of its cover, to take home.
  async function invite(words) {
    const { url, qr } = albumGan.setup.invitation;
    part(".qr").hidden = !url;
    part(".url").textContent = url && words ? "Take it home" : url;
    part(".qr").innerHTML = qr;
    if (!url || !words) return;
    const answer = await fetch(`qr.svg?${albumGan.queryOf(settings(), { seeds: words })}`).catch(() => null);
    if (answer?.ok && covers[index]?.typed === words) part(".qr").innerHTML = await answer.text();
  }

  function type() {
    form.hidden = false;
    field.value = "";
    field.focus();
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    form.hidden = true;
    dialog.focus();
    const words = field.value.trim();
    if (!words) return;
    const list = covers;
    const answer = await fetch(`view.json?${new URLSearchParams({ tab: "generate", seeds: words })}`).catch(() => null);
    const text = answer ? await answer.text() : "The page's computer is not responding.";
    if (!isOpen() || covers !== list) return; // left meanwhile
    if (!answer?.ok) return void (part(".pin").textContent = text);
    const { wall, notice } = JSON.parse(text);
    if (notice) return void (part(".pin").innerHTML = notice);
    covers.splice(index + 1, 0, ...wall.seeds.map((seed, i) => ({ seed, name: wall.names[i], typed: wall.typed[i], onStage: Boolean(wall.typed[i]) })));
    if (covers[index]) covers[index].film = undefined; // it ended on another cover
    show(index + 1);
  });

  // Attributes by strength, A - B + C of the pins, and the mean cover: shown in place of the cover until the next key.
  async function replace(kind, url, name, beneath, labels = []) {
    const image = Object.assign(new Image(), { src: url });
    unveil();
    const mine = turn;
    part(".pin").textContent = "Drawing …";
    await image.decode().catch(() => {});
    if (turn !== mine || !isOpen()) return;
    part(".pin").textContent = "";
    if (!image.naturalWidth) {
      const answer = await fetch(url).catch(() => null);
      if (turn === mine && isOpen() && !answer?.ok) part(".pin").textContent = answer ? await answer.text() : "The page's computer is not responding.";
      return;
    }
    headline(name, beneath);
    extra = kind;
    dissolve(url, name);
    part(".labels").replaceChildren(...labels.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  }
  function sheet() {
    const cover = covers[index];
    replace("sheet", `sheet/${cover.seed}.webp?${albumGan.queryOf(settings())}`, albumGan.nameOf(cover), "Five directions, from less to more", albumGan.setup.directions);
  }
  function sum() {
    const [a, b, c] = albumGan.pins;
    if (!c) return void (part(".pin").textContent = "Pin three covers for A − B + C.");
    replace("sum", `sum.webp?${albumGan.queryOf(settings(), { a, b, c })}`, "A − B + C", `${a} − ${b} + ${c}`);
  }
  const mean = () => replace("mean", albumGan.coverUrl({ ...covers[index], ...settings(), typed: "", truncation: 0 }, "webp", { size: 512 }), "The mean cover", "Truncation 0: where all covers meet");

  async function morph() {
    if (morphing) return;
    morphing = true;
    const mine = ++turn;
    mark();
    const isDropped = () => turn !== mine || !isOpen();
    await film(index);
    if (isDropped()) return;
    const cover = covers[index];
    if (!cover?.film?.startsWith("blob:")) {
      const wait = cover?.film === "loading" ? 400 : 3000; // the queue is full, or the server is down
      return void setTimeout(() => isDropped() || ((morphing = false), morph()), wait);
    }
    video.src = cover.film;
    await video.play().catch(() => {});
    if (isDropped()) return video.pause();
    if (extra) caption(cover);
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
      if (!isOpen() || dialog.matches(".blank, .invite")) return;
      dialog.dataset.idle = "yes";
      morph();
    }, albumGan.idleAfter);
  }

  const actions = {
    next: () => show(index + 1),
    back: () => show(index - 1),
    morph,
    pin() {
      albumGan.chosen = albumGan.nameOf(covers[index]);
      const refusal = albumGan.pinRefusal(albumGan.chosen);
      if (refusal) return void (part(".pin").textContent = refusal);
      albumGan.onWall.pin();
      setTimeout(() => extra || mark(), 300);
    },
    type,
    sheet,
    sum,
    mean,
    blank: () => dialog.classList.toggle("blank"),
    address: () => dialog.classList.toggle("invite"),
    leave,
  };
  function act(name) {
    if (name !== "address") dialog.classList.remove("invite");
    if (name !== "blank") dialog.classList.remove("blank");
    actions[name]();
    awake();
  }
  const KEYS = {
    ArrowRight: "next", ArrowDown: "next", PageDown: "next", " ": "next", Enter: "next", n: "next",
    ArrowLeft: "back", ArrowUp: "back", PageUp: "back",
    m: "morph", p: "pin", t: "type", x: "sheet", a: "sum", 0: "mean", b: "blank", ".": "blank", q: "address", Escape: "leave", F5: "next",
  };

  // All else is inert: Tab goes to the way out while that is shown, and back.
  function tab() {
    const [home, out] = [form.hidden ? dialog : field, part(".out")];
    const isOut = document.activeElement === out;
    home.focus();
    if (!isOut) out.focus();
  }

  // Wherever the focus is: the way out loses it when it is hidden.
  document.addEventListener("keydown", (event) => {
    if (!isOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Tab") return void (event.preventDefault(), tab());
    if (event.target === field) {
      if (event.key === "Escape") (event.preventDefault(), event.stopPropagation(), (form.hidden = true), dialog.focus());
      return awake();
    }
    if (event.target.closest(".out") && ["Enter", " "].includes(event.key)) return; // pressed
    const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    event.stopPropagation();
    act(action);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target.closest(".out")) return leave();
    if (event.target.closest("form")) return;
    act("next");
  });
  // For the speaker: keys, hints and the exit, shown for some seconds after the mouse moves.
  dialog.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || Math.abs(event.movementX) + Math.abs(event.movementY) < 2) return;
    dialog.classList.add("speaker");
    clearTimeout(hiding);
    hiding = setTimeout(() => dialog.classList.remove("speaker"), SPEAKER_FOR);
  });
  dialog.addEventListener("touchstart", (event) => (touched = event.target === field ? null : event.touches[0]), { passive: true });
  dialog.addEventListener("touchend", (event) => {
    const { clientX = 0, clientY = 0 } = event.changedTouches[0] ?? {};
    const [across, down] = touched ? [clientX - touched.clientX, clientY - touched.clientY] : [0, 0];
    if (Math.abs(across) < 50 || Math.abs(across) < 2 * Math.abs(down)) return;
    event.preventDefault(); // no click follows it
    act(across < 0 ? "next" : "back");
  });
  // Back closes the presentation, not the site.
  addEventListener("popstate", () => leave(false));
  function leave(back = true) {
    if (!isOpen()) return;
    if (back && history.state?.presenting) history.back();
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
    if (isOpen()) return;
    const { seeds = [], names = [] } = albumGan.wall ?? {};
    covers = seeds.map((seed, i) => ({ seed, name: names[i], typed: albumGan.wall.typed?.[i] ?? "" }));
    const { url, text } = albumGan.setup.invitation;
    part(".help").textContent = url ? HELP : `${HELP} — ${text}`;
    form.hidden = true;
    dialog.className = "present";
    history.pushState({ presenting: true }, "");
    for (const other of document.body.children) other.inert = true;
    document.body.append(dialog);
    dialog.focus();
    dialog.requestFullscreen?.().catch(() => {}); // if refused, fill the window
    show(0);
    awake();
  };
  addEventListener("keydown", (event) => {
    if (event.key === "F5" && event.shiftKey) (event.preventDefault(), albumGan.present());
  });
})();
