"use strict";

const run = JSON.parse(document.getElementById("data").textContent);

/** An element with text and other elements inside; text is never markup. */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** The text of a compressed part of this file. */
async function unpack(id) {
  const packed = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(packed, (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function trouble(error) {
  const place = document.getElementById("trouble");
  place.textContent = `The pictures could not be drawn (${error.message}); use a newer browser.`;
  place.hidden = false;
}

/** What is known of a candidate that is an elite or an ancestor of one. */
function candidate(index) {
  const [task, parents, scores] = run.candidates[index];
  return { index, task, parents, scores };
}

function parentsOf(each) {
  return each.parents.length ? each.parents.join(" and ") : "none: an expert";
}
