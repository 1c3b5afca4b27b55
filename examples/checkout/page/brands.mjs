/** Card brands, by the code that the API has for them, and how their numbers begin. */

export const BRANDS = {
  visa: { name: "Visa", begins: /^4/ },
  mastercard: { name: "Mastercard", begins: /^(5[1-5]|2[2-7])/ },
  amex: { name: "Amex", begins: /^3[47]/ },
  discover: { name: "Discover", begins: /^6(011|4[4-9]|5)/ },
  jcb: { name: "JCB", begins: /^35/ },
  diners: { name: "Diners Club", begins: /^3(0[0-5]|[689])/ },
  unionpay: { name: "UnionPay", begins: /^(62|81)/ },
  maestro: { name: "Maestro", begins: /^(50|5[6-9]|6)/ },
};

/** The code of the brand whose numbers begin like this, if there is one. */
export function brandOf(digits) {
  return Object.keys(BRANDS).find((code) => BRANDS[code].begins.test(digits));
}
