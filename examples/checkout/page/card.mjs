/** The card's fields: formats what is typed, says what is wrong, and reads the card. */

import { BRANDS, brandOf, isOfABrand } from "./brands.mjs";
import { byId } from "./dom.mjs";

const number = byId("number");
const expiry = byId("expiry");
const holder = byId("holder");

number.addEventListener("input", () => {
  format(number, grouped);
  byId("brand").textContent = BRANDS[brandOf(digits(number))]?.name ?? "";
});
expiry.addEventListener("input", () => format(expiry, monthAndYear));
for (const field of [number, expiry, holder]) field.addEventListener("input", () => complain(field, ""));

/** The card as the API wants it, or null where a field is not as it should be: that one says so and has the focus. */
export function read() {
  const [, month, year] = expiry.value.match(/^(0[1-9]|1[0-2]) \/ (?:20)?(\d\d)$/) ?? [];
  const name = holder.value.trim();
  const seen = /[^\s\p{Cf}\p{M}\u115f\u1160\u3164\uffa0]/u.test(name);
  const complaints = [
    [number, isCardNumber(digits(number)) ? "" : "Enter the card number as it is on your card."],
    [expiry, complaintOfExpiry(month, year)],
    [holder, seen && !/\d{4}/.test(name) ? "" : "Enter the name as it is on your card."],
  ];
  for (const [field, sentence] of complaints) complain(field, sentence);
  const wrong = complaints.find(([, sentence]) => sentence);
  wrong?.[0].focus();
  return wrong ? null : { card_number: digits(number), expiry_date: `${month}/${year}`, card_holder: name };
}

/** Put a card into the fields, as if it had been typed. */
export function fill({ card_number, expiry_date, card_holder }) {
  for (const [field, value] of [[number, card_number], [expiry, expiry_date], [holder, card_holder]]) {
    field.value = value;
    field.dispatchEvent(new Event("input"));
  }
}

/** 4-4-4-4, or 4-6-5 as American Express and Diners Club print it. */
function grouped(digits) {
  const long = ["amex", "diners"].includes(brandOf(digits));
  return (digits.slice(0, 19).match(long ? /^\d{1,4}|(?<=^\d{4})\d{1,6}|\d+/g : /\d{1,4}/g) ?? []).join(" ");
}

/** The year in two digits or in four. */
function monthAndYear(digits) {
  const [month, year] = [digits.slice(0, 2), digits.slice(2, 6)];
  return year ? `${month} / ${year}` : month;
}

/** A card is good until its month has ended everywhere (UTC−12), and for no more than 20 years. */
function complaintOfExpiry(month, year) {
  if (!month) return "Enter month and year, like 09 / 29.";
  const here = new Date(Date.now() - 12 * 3_600_000);
  const left = 12 * (2000 + Number(year) - here.getUTCFullYear()) + Number(month) - (here.getUTCMonth() + 1);
  if (left < 0) return "This card has expired. Use another card.";
  return left <= 12 * 20 ? "" : "Enter month and year as they are on your card.";
}

/** A brand's number, the last digit of which is the Luhn check digit (ISO/IEC 7812-1). */
function isCardNumber(digits) {
  const sum = [...digits].reverse().reduce((sum, digit, place) => {
    const value = digit * (1 + (place % 2));
    return sum + (value > 9 ? value - 9 : value);
  }, 0);
  return isOfABrand(digits) && sum % 10 === 0;
}

function digits(field) {
  return field.value.replace(/\D/g, "");
}

/** Format a field's digits, and leave the caret behind the digit that it was behind. */
function format(field, formatted) {
  let before = field.value.slice(0, field.selectionStart).replace(/\D/g, "").length;
  field.value = formatted(digits(field));
  let caret = 0;
  while (before > 0 && caret < field.value.length) before -= /\d/.test(field.value[caret++]);
  field.setSelectionRange(caret, caret);
}

function complain(field, sentence) {
  field.setAttribute("aria-invalid", sentence !== "");
  byId(`${field.id}-error`).textContent = sentence;
}
