/** Finds, creates and changes the page's elements. Content is always text, never HTML. */

export function byId(id) {
  return document.getElementById(id);
}

export function element(tag, properties, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

/** Change the text only if it is new, since a screen reader reads every change aloud. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
