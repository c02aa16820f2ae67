// What the page keeps in its address, so that a link shows the same covers, and seeking in the loop.
window.albumGan = {
  truncation: null,
  model: null,

  settle(truncation, model) {
    this.truncation = truncation;
    this.model = model;
  },

  // seeds: numbers, or text with names; both are what the page reads back.
  remember(tab, seeds) {
    const query = new URLSearchParams({ tab, seeds: String(seeds).replaceAll(" ", "") });
    if (this.truncation !== null) query.set("truncation", this.truncation);
    if (this.model) query.set("model", this.model);
    history.replaceState(null, "", `?${query.toString().replaceAll("%2C", ",")}`);
  },

  seek(frame, fps) {
    const video = document.querySelector("#loop video");
    if (!video) return;
    video.pause();
    video.currentTime = (frame - 0.5) / fps;
  },
};
