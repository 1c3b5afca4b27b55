/** Parses what people, keyboards and password managers write into the card's fields into the API's formats. */

import { plain } from "./rules.mjs";

// Includes the Japanese long vowel mark and middle dot, which share keys with the dash and the slash.
const BETWEEN_DIGITS = /[\s\p{Pd}\u2212\u30fc\u30fb._·]/gu;
const MONTHS = [
  "january", "february", "march", "april", "may", "june",
  "july", "august", "september", "october", "november", "december",
];
const DATES = [
  /^(?<month>\d\d?)\/(?<year>\d\d|20\d\d)$/, // 12/30, 1/30, 12/2030
  /^(?<month>\d\d?)(?<year>\d\d|20\d\d)$/, // 1230, 130, 122030
  /^(?<year>20\d\d)\/?(?<month>\d\d?)(\/\d\d?)?$/, // 2030-12, as HTML has months; 203012, 2030-12-31
  /^(?<year>1[3-9]|[2-9]\d)\/(?<month>\d\d?)$/, // 30/12, if it is unambiguous
];

/**
 * The digits of a card number or a security code in any script, without separators; null if the text contains anything
 * else.
 */
export function digitsIn(text) {
  const digits = plain(text).replace(BETWEEN_DIGITS, "");
  return /^[0-9]*$/.test(digits) ? digits : null;
}

/** The expiry date as `MM/YY`, from any common spelling (12/30, 1-2030, 1230, 2030-12, Dec 2030, 2030年12月), or null. */
export function expiryIn(text) {
  const numbers = plain(text).replace(/[年月년월]/gu, " ").replace(/\p{L}+/gu, numberOfMonth);
  const written = numbers.split(/[^0-9\p{L}]+/u).filter(Boolean).join("/");
  for (const date of DATES) {
    const { month, year } = written.match(date)?.groups ?? {};
    if (1 <= month && month <= 12) return `${month.padStart(2, "0")}/${year.slice(-2)}`;
  }
  return null;
}

function numberOfMonth(word) {
  const index = MONTHS.findIndex((name) => word.length >= 3 && name.startsWith(word.toLowerCase()));
  return index < 0 ? word : String(index + 1).padStart(2, "0");
}
