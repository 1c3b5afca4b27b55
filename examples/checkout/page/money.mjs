/** Formats money with ISO 4217's decimals. A browser's own differ for some currencies. */

import table from "../../../client/decimals.json" with { type: "json" };

/** Return a function that formats amounts given in the currency's minor unit. */
export function moneyIn(currency) {
  const digits = table.decimals[currency];
  const format = new Intl.NumberFormat("en", {
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  return (minor) => format.format(minor / 10 ** digits);
}
