/** The rules for cards: card_rules.py and card_number.py in JavaScript, with the same tables. */

import rules from "../../../client/card_rules.json" with { type: "json" };
import { isOfABrand, rangeOf } from "./brands.mjs";

const INVISIBLE = /^[\p{Cf}\p{M}\u115f\u1160]$/u;
const GROUP = /[0-9]+/g;
const HOUR_MS = 3_600_000;

// Digits of scripts without a zero, which Unicode does not count as decimal digits: the first digit and their number.
const FROM_ONE = [
  [0x1369, 9], [0x19da, 1], [0x24f5, 9], [0x2776, 9], [0x2780, 9], [0x278a, 9],
  [0x10a40, 4], [0x10e60, 9], [0x11052, 9],
];
const NEGATIVE_CIRCLED_ZERO = 0x24ff;

/** The rules that `{card_number, expiry_date, card_holder}` breaks, by field. Expiry is not checked here. */
export function brokenRules({ card_number, expiry_date, card_holder }, now = new Date()) {
  const broken = {};
  if (!isCardNumber(card_number)) broken.card_number = "no_card_number";
  const expiry = expiryOf(expiry_date);
  if (!expiry) broken.expiry_date = "no_date";
  else if (monthsUntil(expiry, now) > 12 * rules.expiry_date.longest_years) broken.expiry_date = "too_late";
  if (isBlank(card_holder)) broken.card_holder = "blank";
  else if ([...card_holder].length > rules.card_holder.longest) broken.card_holder = "too_long";
  else if (new RegExp(rules.card_holder.refused).test(card_holder)) broken.card_holder = "refused";
  else if (looksLikeACardNumber(card_holder)) broken.card_holder = "card_number";
  return broken;
}

/** Whether the month of `MM/YY` has ended in every time zone. */
export function hasExpired(expiry_date, now = new Date()) {
  const expiry = expiryOf(expiry_date);
  return expiry !== null && monthsUntil(expiry, now) < 0;
}

/** The text's visible characters, with digits of any script converted to ASCII. */
export function plain(text) {
  const characters = [...text].flatMap((character) => [...character.normalize("NFKC")]);
  const visible = characters.filter((character) => !INVISIBLE.test(character));
  return visible.map((character) => digitOf(character) ?? character).join("");
}

/** Whether these are only digits, of a brand's number, and pass the Luhn check (ISO/IEC 7812-1). */
export function isCardNumber(digits) {
  const sum = [...digits].reverse().reduce((sum, digit, place) => {
    const value = digit * (1 + (place % 2));
    return sum + (value > 9 ? value - 9 : value);
  }, 0);
  return /^[0-9]+$/.test(digits) && isOfABrand(digits) && sum % 10 === 0;
}

/** The mistake in a card number's digits (null if the text was not only digits); undefined if there is none. */
export function numberMistake(digits, brands) {
  if (digits === "") return "blank";
  if (digits === null) return "no_digits";
  const range = rangeOf(digits);
  if (range && brands.length && !brands.includes(range.brand)) return "not_taken";
  if (isCardNumber(digits)) return undefined;
  if (range && !range.lengths.includes(digits.length)) return "wrong_length";
  if (range) return "wrong_digit";
  return digits.length < rules.card_number.shortest ? "too_short" : "no_brand";
}

/** Whether the text contains a card number: whole groups of digits, at most three characters apart and no letters. */
export function looksLikeACardNumber(text) {
  const remaining = withoutOtherNumbers(plain(text));
  const groups = [...remaining.matchAll(GROUP)];
  return groups.some((_, first) => {
    let number = "";
    for (let last = first; last < groups.length; last++) {
      const [digits] = groups[last];
      const end = last > first ? groups[last - 1].index + groups[last - 1][0].length : groups[last].index;
      const between = remaining.slice(end, groups[last].index);
      number += digits;
      if ([...between].length > rules.text.between_groups || /\p{L}/u.test(between)) return false;
      if (number.length > rules.card_number.longest) return false;
      if (isCardNumber(number)) return true;
    }
    return false;
  });
}

/** The text with its UUIDs, times and IBANs replaced. */
function withoutOtherNumbers(text) {
  const { uuid, time } = rules.text;
  const masked = [uuid, time].reduce((rest, pattern) => rest.replace(new RegExp(pattern, "g"), crossedOut), text);
  return ibansIn(masked).reduce((rest, iban) => rest.replaceAll(iban, crossedOut), masked);
}

function ibansIn(text) {
  const { iban_start, iban_lengths } = rules.text;
  const starts = [...text.matchAll(new RegExp(iban_start, "g"))];
  return starts.map(({ 0: start, index }) => ibanAt(text, index, iban_lengths[start.slice(0, 2)])).filter(Boolean);
}

/** The IBAN that begins here, perhaps with spaces, or null. Checks its length and check digits (ISO 13616-1). */
function ibanAt(text, index, length) {
  const [iban] = (length && text.slice(index).match(new RegExp(`^(?: ?[0-9A-Z]){${length}}(?![0-9A-Za-z])`))) || [];
  if (!iban) return null;
  const characters = iban.replaceAll(" ", "");
  const checked = [...characters.slice(4), ...characters.slice(0, 4)];
  return BigInt(checked.map((character) => parseInt(character, 36)).join("")) % 97n === 1n ? iban : null;
}

function crossedOut(number) {
  return "x".repeat(number.length);
}

function isBlank(text) {
  return [...text.normalize("NFKC")].every((character) => /^\s$/.test(character) || INVISIBLE.test(character));
}

function digitOf(character) {
  const code = character.codePointAt(0);
  // A script's decimal digits are consecutive, beginning with zero.
  if (/^\p{Nd}$/u.test(character)) {
    let before = 0;
    while (/^\p{Nd}$/u.test(String.fromCodePoint(code - before - 1))) before++;
    return String(before % 10);
  }
  if (code === NEGATIVE_CIRCLED_ZERO) return "0";
  const run = FROM_ONE.find(([first, count]) => first <= code && code < first + count);
  return run && String(code - run[0] + 1);
}

function expiryOf(expiry_date) {
  const written = expiry_date.match(new RegExp(`^(?:${rules.expiry_date.pattern})$`));
  return written && { year: 2000 + Number(written[2]), month: Number(written[1]) };
}

/** The months from now, in the time zone furthest behind, to the month in which a card expires. */
function monthsUntil({ year, month }, now) {
  const here = new Date(now.getTime() + rules.expiry_date.last_place_hours * HOUR_MS);
  return 12 * (year - here.getUTCFullYear()) + month - (here.getUTCMonth() + 1);
}
