/** The card's fields: formats the input, shows mistakes, and reads the card. */

import { BRANDS, brandOf, codeLength, rangeOf } from "./brands.mjs";
import { byId, element } from "./dom.mjs";
import { digitsIn, expiryIn } from "./reading.mjs";
import { brokenRules, hasExpired, numberMistake, plain } from "./rules.mjs";
import { CODE_HINTS, COMPLAINTS } from "./sentences.mjs";

const number = byId("number");
const expiry = byId("expiry");
const code = byId("code");
const holder = byId("holder");
// A formatted expiry date that has both a month and a year.
const COMPLETE_DATE = /^\d\d \/ (\d\d|\d{4})$/;
const FIELDS = { card_number: number, expiry_date: expiry, security_code: code, card_holder: holder };

const AS_IT_IS = (text) => text;
for (const [field, tidy] of [[number, grouped], [expiry, withSlash], [code, AS_IT_IS], [holder, AS_IT_IS]]) {
  field.addEventListener("input", (event) => {
    setError(field, "");
    // Leave text alone while an input method composes it, and after the customer deletes or undoes something.
    if (!event.isComposing && /^insert/.test(event.inputType ?? "insert")) rewrite(field, tidy(field.value));
  });
  field.addEventListener("compositionend", () => rewrite(field, tidy(field.value)));
}
// Report an expired card at once. Any other mistake may be the beginning of correct input.
expiry.addEventListener("input", () => {
  if (COMPLETE_DATE.test(expiry.value)) setError(expiry, errors().expiry_date ?? "");
});
number.addEventListener("input", showBrand);
number.addEventListener("compositionend", showBrand);
for (const [name, field] of Object.entries(FIELDS)) {
  field.addEventListener("change", () => finish(field));
  field.addEventListener("blur", ({ relatedTarget }) => {
    finish(field);
    // If the button took the focus, `read` reports the mistakes. A message shown now would move the button away.
    if (field.value.trim() && relatedTarget !== byId("submit")) setError(field, errors()[name] ?? "");
  });
}

// A browser may keep a page that is left, with its fields.
addEventListener("pagehide", forgetCode);
showBrand();

let acceptedBrands = [];

/** Show the brands that the shop accepts, by their codes. */
export function showBrands(codes) {
  acceptedBrands = codes;
  byId("brands").replaceChildren(...codes.map((code) => element("li", { id: `brand-${code}` }, BRANDS[code].name)));
}

/** Return the card as the API expects it, or null if a field is wrong. The first wrong field then gets the focus. */
export function read() {
  const sentences = errors();
  for (const [name, field] of Object.entries(FIELDS)) setError(field, sentences[name] ?? "");
  const [wrong] = Object.keys(sentences);
  if (wrong) FIELDS[wrong].focus();
  return wrong ? null : fieldValues();
}

/** Empty the field of the security code, which is entered for one payment only. */
export function forgetCode() {
  code.value = "";
}

/** Put a card into the fields, as if it had been typed. */
export function fill(card) {
  for (const [name, field] of Object.entries(FIELDS)) {
    field.value = card[name];
    field.dispatchEvent(new Event("input"));
  }
}

function fieldValues() {
  return {
    card_number: digitsIn(number.value) ?? "",
    expiry_date: expiryIn(expiry.value) ?? "",
    security_code: digitsIn(code.value) ?? "",
    card_holder: holder.value.trim(),
  };
}

/** The error messages by field. */
function errors() {
  const card = fieldValues();
  const digits = digitsIn(number.value);
  const { expiry_date, card_holder } = brokenRules(card);
  const range = rangeOf(digits ?? "");
  const mistakes = {
    card_number: numberMistake(digits, acceptedBrands),
    expiry_date: hasExpired(card.expiry_date) ? "expired" : expiry_date === "no_date" ? dateMistake() : expiry_date,
    security_code: codeMistake(range),
    card_holder,
  };
  const name = BRANDS[range?.brand]?.name;
  const details = { digits, name, lengths: range?.lengths, code_length: codeLength(range?.brand) };
  const entries = Object.entries(mistakes).filter(([, mistake]) => mistake);
  return Object.fromEntries(entries.map(([name, mistake]) => {
    const sentence = COMPLAINTS[name][mistake];
    return [name, typeof sentence === "string" ? sentence : sentence(details)];
  }));
}

function dateMistake() {
  const text = plain(expiry.value).trim();
  if (!text) return "blank";
  return /^(00?|1[3-9]|[2-9]\d)\D+(\d\d|20\d\d)$/.test(text) ? "no_month" : "no_date";
}

/** The mistake in the security code. How long it is, depends on the brand; a number of no brand has its own mistake. */
function codeMistake(range) {
  const digits = digitsIn(code.value);
  if (digits === "") return "blank";
  if (digits === null) return "no_digits";
  return range && digits.length !== codeLength(range.brand) ? "wrong_length" : undefined;
}

/** Format a finished field as on the card. Text that can't be parsed stays unchanged. */
function finish(field) {
  if (field === number) rewrite(number, grouped(number.value));
  if (field === expiry) rewrite(expiry, expiryIn(expiry.value)?.replace("/", " / ") ?? expiry.value);
  showBrand();
}

/** Group digits as 4-4-4-4, or as 4-6-5 for American Express and Diners Club. Other text stays unchanged. */
function grouped(text) {
  const digits = digitsIn(text);
  if (digits === null) return text;
  const long = ["amex", "diners"].includes(brandOf(digits));
  return (digits.match(long ? /^\d{1,4}|(?<=^\d{4})\d{1,6}|\d+/g : /\d{1,4}/g) ?? []).join(" ");
}

/** Add a slash after the month once a year follows. */
function withSlash(text) {
  return plain(text).replace(/^(0[1-9]|1[0-2])[\s/]*([0-9]{1,4})$/, "$1 / $2");
}

function showBrand() {
  const brand = brandOf(digitsIn(number.value) ?? "");
  byId("brand").textContent = BRANDS[brand]?.name ?? "";
  byId("code-hint").textContent = CODE_HINTS[codeLength(brand)];
  for (const each of byId("brands").children) each.className = !brand ? "" : each.id === `brand-${brand}` ? "this" : "other";
}

/** Replace a field's text, and keep the caret after the same digit. */
function rewrite(field, text) {
  if (text === field.value) return;
  let before = countDigits(field.value.slice(0, field.selectionStart));
  field.value = text;
  let caret = 0;
  while (before > 0 && caret < text.length) before -= countDigits(text[caret++]);
  if (document.activeElement === field) field.setSelectionRange(caret, caret);
}

function countDigits(text) {
  return plain(text).replace(/[^0-9]/g, "").length;
}

function setError(field, sentence) {
  field.setAttribute("aria-invalid", sentence !== "");
  byId(`${field.id}-error`).textContent = sentence;
}
