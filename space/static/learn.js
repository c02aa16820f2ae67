// The Learn tab loads when it is opened.
const place = element.querySelector(".learn");
import(new URL("learn/files/learn.js", document.baseURI)).then(
  ({ start }) => start(place),
  () => (place.textContent = "This tab could not be loaded; reload the page."),
);
