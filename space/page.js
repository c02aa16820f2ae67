// What the page keeps in its address, so that a link shows the same covers, and seeking in the loop.
window.albumGan = {
  wall: null, // as last shown; none until the address has been read, and so may be written

  // seeds: numbers, or text with names; both are what the page reads back.
  remember(tab, seeds) {
    if (!this.wall) return;
    const { truncation, model } = this.wall;
    const query = new URLSearchParams({ tab, seeds: String(seeds).replaceAll(" ", ""), truncation, model });
    history.replaceState(null, "", `?${query.toString().replaceAll("%2C", ",")}`);
  },

  seek(frame, fps) {
    const video = document.querySelector("#loop video");
    if (!video) return;
    video.pause();
    video.currentTime = (frame - 0.5) / fps;
  },
};
