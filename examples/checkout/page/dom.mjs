/** The page's elements: finding, making and changing them, always as text and never as HTML. */

export function byId(id) {
  return document.getElementById(id);
}

export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Only what is new, since a screen reader reads it out. */
export function setText(shown, text) {
  if (shown.textContent !== text) shown.textContent = text;
}
