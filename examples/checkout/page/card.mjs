/** The card's fields: tidies up what is written there, says what is wrong, and reads the card. */

import { BRANDS, brandOf, rangeOf } from "./brands.mjs";
import { byId, element } from "./dom.mjs";
import { cardNumberIn, expiryIn } from "./reading.mjs";
import { brokenRules, hasExpired, numberMistake, plain } from "./rules.mjs";
import { COMPLAINTS } from "./sentences.mjs";

const number = byId("number");
const expiry = byId("expiry");
const holder = byId("holder");
// What is tidied up to this says a month and a year, whole.
const WHOLE_DATE = /^\d\d \/ (\d\d|\d{4})$/;
const FIELDS = { card_number: number, expiry_date: expiry, card_holder: holder };

for (const [field, tidy] of [[number, grouped], [expiry, withSlash], [holder, (text) => text]]) {
  field.addEventListener("input", (event) => {
    complain(field, "");
    // What is being composed belongs to the keyboard, and what was deleted or undone is not put back.
    if (!event.isComposing && /^insert/.test(event.inputType ?? "insert")) rewrite(field, tidy(field.value));
  });
  field.addEventListener("compositionend", () => rewrite(field, tidy(field.value)));
}
// At once, for that is known as soon as it is written; other mistakes may be half of what is right.
expiry.addEventListener("input", () => {
  if (WHOLE_DATE.test(expiry.value)) complain(expiry, complaints().expiry_date ?? "");
});
number.addEventListener("input", showBrand);
number.addEventListener("compositionend", showBrand);
for (const [name, field] of Object.entries(FIELDS)) {
  field.addEventListener("change", () => finish(field));
  field.addEventListener("blur", ({ relatedTarget }) => {
    finish(field);
    // Whoever presses the button is told by `read`: a sentence that comes now would move the button away.
    if (field.value.trim() && relatedTarget !== byId("submit")) complain(field, complaints()[name] ?? "");
  });
}

let taken = [];

/** Show the brands that the shop takes, by their codes. */
export function showBrands(codes) {
  taken = codes;
  byId("brands").replaceChildren(...codes.map((code) => element("li", { id: `brand-${code}` }, BRANDS[code].name)));
}

/** The card as the API wants it, or null where a field is not as it should be: that one says so and has the focus. */
export function read() {
  const found = complaints();
  for (const [name, field] of Object.entries(FIELDS)) complain(field, found[name] ?? "");
  const [wrong] = Object.keys(found);
  if (wrong) FIELDS[wrong].focus();
  return wrong ? null : written();
}

/** Put a card into the fields, as if it had been typed. */
export function fill(card) {
  for (const [name, field] of Object.entries(FIELDS)) {
    field.value = card[name];
    field.dispatchEvent(new Event("input"));
  }
}

function written() {
  return {
    card_number: cardNumberIn(number.value) ?? "",
    expiry_date: expiryIn(expiry.value) ?? "",
    card_holder: holder.value.trim(),
  };
}

/** What is wrong with the card, by its fields. */
function complaints() {
  const card = written();
  const digits = cardNumberIn(number.value);
  const { expiry_date, card_holder } = brokenRules(card);
  const mistakes = {
    card_number: numberMistake(digits, taken),
    expiry_date: hasExpired(card.expiry_date) ? "expired" : expiry_date === "no_date" ? dateMistake() : expiry_date,
    card_holder,
  };
  const range = rangeOf(digits ?? "");
  const said = { digits, name: BRANDS[range?.brand]?.name, lengths: range?.lengths };
  const found = Object.entries(mistakes).filter(([, mistake]) => mistake);
  return Object.fromEntries(found.map(([name, mistake]) => {
    const sentence = COMPLAINTS[name][mistake];
    return [name, typeof sentence === "string" ? sentence : sentence(said)];
  }));
}

function dateMistake() {
  const text = plain(expiry.value).trim();
  if (!text) return "blank";
  return /^(00?|1[3-9]|[2-9]\d)\D+(\d\d|20\d\d)$/.test(text) ? "no_month" : "no_date";
}

/** What was written into a field, as the card shows it; what can't be understood stays. */
function finish(field) {
  if (field === number) rewrite(number, grouped(number.value));
  if (field === expiry) rewrite(expiry, expiryIn(expiry.value)?.replace("/", " / ") ?? expiry.value);
  showBrand();
}

/** 4-4-4-4, or 4-6-5 as American Express and Diners Club print it; what has anything but digits stays as it is. */
function grouped(text) {
  const digits = cardNumberIn(text);
  if (digits === null) return text;
  const long = ["amex", "diners"].includes(brandOf(digits));
  return (digits.match(long ? /^\d{1,4}|(?<=^\d{4})\d{1,6}|\d+/g : /\d{1,4}/g) ?? []).join(" ");
}

/** A slash after the month, once there is more than the month. */
function withSlash(text) {
  return plain(text).replace(/^(0[1-9]|1[0-2])[\s/]*([0-9]{1,4})$/, "$1 / $2");
}

function showBrand() {
  const brand = brandOf(cardNumberIn(number.value) ?? "");
  byId("brand").textContent = BRANDS[brand]?.name ?? "";
  for (const each of byId("brands").children) each.className = !brand ? "" : each.id === `brand-${brand}` ? "this" : "other";
}

/** Put a text into a field, and leave the caret behind the digit that it was behind. */
function rewrite(field, text) {
  if (text === field.value) return;
  let before = digitsIn(field.value.slice(0, field.selectionStart));
  field.value = text;
  let caret = 0;
  while (before > 0 && caret < text.length) before -= digitsIn(text[caret++]);
  if (document.activeElement === field) field.setSelectionRange(caret, caret);
}

function digitsIn(text) {
  return plain(text).replace(/[^0-9]/g, "").length;
}

function complain(field, sentence) {
  field.setAttribute("aria-invalid", sentence !== "");
  byId(`${field.id}-error`).textContent = sentence;
}
