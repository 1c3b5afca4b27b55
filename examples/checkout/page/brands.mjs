/** Card brands by the API's codes, and how their numbers begin, from the product's own table. */

import table from "../../../client/card_brands.json" with { type: "json" };

export const BRANDS = Object.fromEntries(table.brands.map(({ brand, name }) => [brand, { name }]));

/** Return the brand whose numbers begin like this, with their `lengths`; undefined if there is none. */
export function rangeOf(digits) {
  return table.brands.find((each) => begins(each, digits));
}

/** Return that brand's code. */
export function brandOf(digits) {
  return rangeOf(digits)?.brand;
}

/** Return how many digits the security code of the brand's cards has. */
export function codeLength(brand) {
  return brand === "amex" ? 4 : 3;
}

/** Whether the number has the beginning and the length of some brand. */
export function isOfABrand(digits) {
  return table.brands.some((each) => each.lengths.includes(digits.length) && begins(each, digits));
}

function begins(brand, digits) {
  return brand.begins.some((prefixes) => {
    const [first, last = first] = prefixes.split("-");
    const prefix = digits.slice(0, first.length);
    return prefix.length === first.length && first <= prefix && prefix <= last;
  });
}
