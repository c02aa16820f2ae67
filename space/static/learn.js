// The Learn tab loads when it is opened.
import(new URL("learn/files/learn.js", document.baseURI)).then(({ start }) => start(element.querySelector(".learn")));
