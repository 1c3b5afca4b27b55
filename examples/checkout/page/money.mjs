/** Money as customers read it, with the decimals of ISO 4217: a browser has its own, and of some currencies others. */

import table from "../../../client/decimals.json" with { type: "json" };

/** What writes amounts in a currency's minor unit. */
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
