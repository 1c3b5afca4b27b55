/** The published test cards: a click fills in the form. A shop that accepts real cards leaves this out. */

import { BRANDS, codeLength } from "./brands.mjs";
import { fill } from "./card.mjs";
import { byId, element } from "./dom.mjs";

const year = String((new Date().getFullYear() + 4) % 100).padStart(2, "0");
const rest = { expiry_date: `12/${year}`, card_holder: "Test Customer" };

/** Show the cards `{card_number, brand, outcome, decline_code}`. If there are none, the style sheet hides the section. */
export function showTestCards(cards) {
  const approved = cards.filter(({ outcome }) => outcome === "approved");
  const declined = cards.filter(({ outcome }) => outcome === "declined");
  const challenged = cards.filter(({ outcome }) => outcome === "challenged");
  byId("test-cards").append(
    ...group("Approved", approved.map((card) => [BRANDS[card.brand].name, card])),
    ...group("Confirmed by you, at the bank", challenged.map((card) => [
      card.decline_code ? `then ${card.decline_code.replaceAll("_", " ")}` : BRANDS[card.brand].name, card,
    ])),
    ...group("Declined by the bank", [
      ...declined.map((card) => [card.decline_code.replaceAll("_", " "), card]),
      ...approved.slice(0, 1).map((card) => ["incorrect cvc", { ...card, security_code: "000" }]),
    ]),
    ...group("Refused by this page", approved.slice(0, 1).map((card) => [
      "expired in 2020", { ...card, expiry_date: "01/20" },
    ])),
  );
}

function group(title, cards) {
  const items = cards.map(([name, card]) => element("li", {}, button(name, card)));
  return [element("h3", {}, title), element("ul", {}, ...items)];
}

function button(name, card) {
  const number = element("span", { className: "hint" }, `…${card.card_number.slice(-4)}`);
  const created = element("button", { type: "button" }, name, number);
  created.addEventListener("click", () => {
    fill({ ...rest, security_code: "1".repeat(codeLength(card.brand)), ...card });
    byId("submit").focus();
  });
  return created;
}
