/**
 * The checkout: shows the order, seals the card, and follows the payment to its end.
 *
 * The shop's back end decides the payment's id and amount. So nothing that happens on this page, not even a double
 * click, a reload or a second window, can pay an order twice.
 */

import { BRANDS } from "./brands.mjs";
import * as card from "./card.mjs";
import { byId, element, setText } from "./dom.mjs";
import { moneyIn } from "./money.mjs";
import { seal } from "./sealing.mjs";
import { conclusion, failure, NO_REFUND, trouble } from "./sentences.mjs";
import { showTestCards } from "./test-cards.mjs";

const SLOW_MS = 8_000;
const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5_000;
const FAILED = ["declined", "rejected", "reversed"];
const UNSETTLED = ["processing", "action_required", "in_doubt"];

let amount = "";
let order_id = "";

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const cardData = card.read();
  if (cardData) doOnce(byId("submit"), () => pay(cardData), ({ code }) => showForm(trouble(code ?? "no_sealing")));
});
byId("refund").addEventListener("click", ({ currentTarget }) => {
  doOnce(currentTarget, refund, () => setText(byId("outcome-text"), NO_REFUND));
});
byId("print").addEventListener("click", () => print());
// After the back button, a browser may show the page as it was left.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
start();

async function start() {
  try {
    const { order, payment, test_cards, brands = [] } = await call("GET");
    showOrder(order);
    card.showBrands(brands);
    showTestCards(test_cards);
    if (payment) await follow(payment);
    else showForm();
  } catch ({ code }) {
    conclude({ tone: "bad", title: "This can’t be paid here", sentence: trouble(code) });
  }
}

/**
 * Seal the card for the attempt that the back end names, send it, and follow the payment, also to the bank if that asks
 * the customer. The payment's key is valid for an hour, so it is asked for now: the customer may have left the page open
 * for longer.
 */
async function pay(cardData) {
  show({ status: "processing" });
  const { payment_id, key, payment } = await call("POST", "/attempts", {});
  card.forgetCode();
  if (payment) return follow(payment);
  const card_data = await seal(cardData, payment_id, key);
  return follow((await call("POST", "/payment", { payment_id, card_data })).payment, (url) => location.assign(url));
}

async function refund() {
  return follow((await call("POST", "/refund", {})).payment);
}

/** Run a button's action, and disable the button meanwhile. */
async function doOnce(button, action, failed) {
  button.disabled = true;
  try {
    await action();
  } catch (error) {
    failed(error);
  } finally {
    button.disabled = false;
  }
}

/**
 * Show the payment until its status is final. The back end answers a request as soon as the payment has ended. If the
 * bank asks the customer, `go` gets its page's URL. Only the window in which the customer has just paid goes there by
 * itself: who comes back, reloads, or has a second window, is not sent away again.
 */
async function follow(payment, go) {
  let slow = false;
  const timer = setTimeout(() => show(payment, (slow = true)), SLOW_MS);
  for (let pause = 0; ; pause = Math.min(1.5 * pause + FIRST_PAUSE_MS, LONGEST_PAUSE_MS)) {
    show(payment, slow);
    if (!UNSETTLED.includes(payment.status) && !UNSETTLED.includes(payment.refund)) return clearTimeout(timer);
    if (payment.next_url && go) {
      go(payment.next_url);
      go = null;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    // If the shop can't be reached now, the next request may succeed.
    payment = (await call("GET", "/payment").catch(() => ({}))).payment ?? payment;
  }
}

/** Call the shop's back end about this order. Throws an Error with the `code` of what went wrong. */
async function call(method, path = "", body) {
  let code = "no_answer";
  try {
    const request = { method, body: JSON.stringify(body), headers: body ? { "Content-Type": "application/json" } : {} };
    const answer = await fetch(`/api${location.pathname}${path}`, request);
    const json = await answer.json();
    if (answer.ok) return json;
    code = json.error.code;
  } catch {
    // There was no answer, or it was not the shop's.
  }
  throw Object.assign(new Error(code), { code });
}

function show(payment, slow = false) {
  if (FAILED.includes(payment.status)) showForm(failure(payment));
  else conclude(conclusion(payment, amount, slow), payment);
}

function conclude({ tone, title, sentence, refundable = false }, payment) {
  byId("pay").hidden = true;
  byId("mark").className = tone;
  setText(byId("outcome-heading"), title);
  setText(byId("outcome-text"), sentence);
  byId("demo").hidden = !refundable;
  byId("receipt").hidden = byId("print").hidden = !(tone === "good" && payment);
  if (!byId("receipt").hidden) byId("receipt").replaceChildren(...receipt(payment));
  byId("continue").hidden = tone !== "ask";
  byId("continue").href = payment?.next_url ?? "";
  byId("again").hidden = !["good", "bad"].includes(tone);
  if (tone === "good") byId("form").reset();
  reveal(byId("outcome"), byId("outcome-heading"));
}

function receipt({ payment_id, paid_at, card, status }) {
  const lines = {
    Order: order_id,
    [status === "refunded" ? "Refunded" : "Paid"]: amount,
    On: paid_at && new Date(paid_at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" }),
    Card: card && `${BRANDS[card.brand]?.name ?? card.brand} •••• ${card.last4}`,
    Payment: payment_id,
  };
  const filled = Object.entries(lines).filter(([, value]) => value);
  return filled.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

function showForm(sentence = "") {
  byId("outcome").hidden = true;
  byId("alert").hidden = sentence === "";
  setText(byId("alert"), sentence);
  reveal(byId("pay"), sentence ? byId("alert") : null);
}

/** Show a hidden part of the page, and move the focus to its beginning, for screen readers. */
function reveal(part, focus) {
  if (!part.hidden) return;
  part.hidden = false;
  focus?.focus();
}

function showOrder(order) {
  const price = moneyIn(order.currency);
  amount = price(order.amount_minor);
  order_id = order.order_id;
  byId("items").replaceChildren(...order.items.map(({ name, quantity, price_minor }) => element("tr", {},
    element("th", { scope: "row" }, quantity > 1 ? `${quantity} × ${name}` : name),
    element("td", {}, price(quantity * price_minor)),
  )));
  byId("total").textContent = amount;
  byId("price").textContent = amount;
  byId("order").hidden = false;
}
