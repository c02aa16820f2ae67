// The Learn tab loads when somebody opens it.
import(new URL("learn/files/learn.js", document.baseURI)).then(({ start }) => start(element.querySelector(".learn")));
