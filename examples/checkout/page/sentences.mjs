/** The messages to the customer: the status of the payment, or why it failed and what to do. */

import { BRANDS } from "./brands.mjs";

const ASK_THE_BANK = "Your bank declined this payment and did not say why. Use another card, or ask your bank.";
const SEAL_AGAIN =
  "Your card’s details did not arrive as they were sent, and you were not charged. Reload this page and try again.";
const CODE_AGAIN = "This took too long to be sent, and you were not charged. Enter the security code again, and pay.";
const OUR_FAULT = "The shop asked for something that can’t be paid. You were not charged. Tell the shop, please.";

/** The messages by field and mistake. Functions get the card number's `digits`, and its brand's `name`, `lengths` and `code_length`. */
export const COMPLAINTS = {
  card_number: {
    blank: "Enter the card number.",
    no_digits: "Enter the digits of the card number, and nothing else.",
    too_short: "This card number is not complete.",
    no_brand: "No card’s number begins like this. Check it against your card.",
    not_taken: ({ name }) => `This shop does not take ${name}. Use another card.`,
    wrong_length: ({ name, lengths, digits }) =>
      `${name} numbers have ${either(lengths)} digits, and this has ${digits.length}. Check it against your card.`,
    wrong_digit: "A digit of this card number is wrong. Check it against your card.",
  },
  expiry_date: {
    blank: "Enter month and year.",
    no_month: "The month is one from 01 to 12.",
    no_date: "Enter month and year, like 09 / 29.",
    too_late: "Enter month and year as they are on your card.",
    expired: "This card has expired. Use another card.",
  },
  security_code: {
    blank: "Enter the security code.",
    no_digits: "Enter the digits of the security code.",
    wrong_length: ({ name, code_length }) => `${name} security codes have ${code_length} digits.`,
  },
  card_holder: {
    blank: "Enter the name on the card.",
    too_long: "This name is too long. Leave out what your card does not show of it.",
    refused: "Enter the name as it is on your card, in letters.",
    card_number: "This looks like a card number. Enter the name as it is on your card.",
  },
};

/** Where the security code is, by how many digits it has. */
export const CODE_HINTS = { 3: "3 digits on the back", 4: "4 digits on the front" };

/** The bank declined the card: messages by `decline_code`. */
export const DECLINED = {
  do_not_honor: ASK_THE_BANK,
  insufficient_funds: "There is not enough money on this card. Use another card, or ask your bank.",
  expired_card: "Your bank says that this card has expired. Use another card.",
  processing_error: "Your bank could not process the payment. Try again in a moment, or use another card.",
  // The person with the card may not be its owner, so this message doesn't say why.
  lost_card: ASK_THE_BANK,
  stolen_card: ASK_THE_BANK,
  authentication_required: "Your bank wants to ask you first, and this shop did not let it. Use another card.",
  authentication_failed: "Your bank could not confirm that it is you who pays. Try again, or use another card.",
  authentication_expired: "You did not confirm this payment in time, so it was canceled. Try again, or use another card.",
  incorrect_cvc: "The security code is not this card’s. Check it against your card.",
};

/** The card was never charged: messages by `error`. */
export const REJECTED = {
  invalid_card_number: "This card number is not valid. Check it against your card.",
  brand_not_accepted: "This shop does not take cards of this brand. Use another card.",
  test_card_not_accepted: "This is a card for tests, and pays nothing here. Use another card.",
  expired_card: "This card has expired. Check the date, or use another card.",
  invalid_input: "Something in your card’s details is not valid. Check them against your card.",
  card_data_must_be_sealed: SEAL_AGAIN,
  card_number_in_text: SEAL_AGAIN,
  invalid_sealed_card: SEAL_AGAIN,
  sealed_card_tampered: SEAL_AGAIN,
  sealed_for_another_payment: SEAL_AGAIN,
  sealed_with_the_wrong_kind: SEAL_AGAIN,
  sealing_key_expired: CODE_AGAIN,
  sealing_key_used: CODE_AGAIN,
  sealing_not_supported: SEAL_AGAIN,
  unknown_sealing_key: SEAL_AGAIN,
  sensitive_authentication_data: SEAL_AGAIN,
  return_url_not_allowed: OUR_FAULT,
  authentication_not_supported: OUR_FAULT,
  unknown_currency: OUR_FAULT,
  unknown_token: "This saved card is not there any more. Use another card.",
};

/** The request failed: messages by the shop's own error code. */
export const TROUBLE = {
  no_answer: "The payment service can’t be reached. Try again: you can’t be charged twice for this order.",
  nothing_done: "The payment service did not accept this, and you were not charged. Try again in a moment.",
  attempt_over: "This order was changed in another window. Try again: you can’t be charged twice for it.",
  no_sealing: "This browser can’t encrypt your card, so it was not sent. Use another browser.",
  order_not_found: "This order is not here any more. Go back to the shop, and start again.",
};

function either(numbers) {
  return new Intl.ListFormat("en", { type: "disjunction" }).format(numbers.map(String));
}

export const NO_REFUND = "The refund could not be started. Try again: it can’t be paid out twice.";

const REVERSED =
  "Something went wrong on the way, and the payment was undone. What your account may show of it goes away by itself. " +
  "You can try again.";

/** Explain why a payment failed. */
export function failure({ status, decline_code, error }) {
  if (status === "reversed") return REVERSED;
  const sentence = status === "declined" ? DECLINED[decline_code] : REJECTED[error];
  return sentence ?? "This payment was declined, and you were not charged. Use another card, or ask the shop.";
}

/** Explain a failed request by the shop's own error code. */
export function trouble(code) {
  return TROUBLE[code] ?? TROUBLE.no_answer;
}

/** Describe a payment that has not failed. */
export function conclusion({ status, card, refund }, amount, slow) {
  const by = card ? ` with your ${BRANDS[card.brand]?.name ?? "card"} ending in ${card.last4}` : "";
  if (refund === "processing") {
    return { tone: "wait", title: "Refunding …", sentence: `${amount} is on its way back to you.` };
  }
  if (refund === "in_doubt") {
    const sentence = `The bank has not said whether you got ${amount} back. We keep asking.`;
    return { tone: "doubt", title: "We are finding out", sentence };
  }
  switch (status) {
    case "processing":
      return {
        tone: "wait",
        title: "Paying …",
        sentence: slow
          ? "This takes longer than usual. Leave this page open; you can’t be charged twice."
          : "We are asking your bank. This takes a few seconds.",
      };
    case "action_required":
      return {
        tone: "ask",
        title: "Confirm this payment",
        sentence:
          `Your bank wants to confirm that it is you who pays ${amount}. If you have just done so, the result will ` +
          "appear here in a moment.",
      };
    case "in_doubt":
      return {
        tone: "doubt",
        title: "We are finding out",
        sentence:
          `Your bank has not said whether you paid ${amount}. Please don’t pay again: we keep asking, and this page will ` +
          "show the result. If the payment fails after all, your money comes back by itself.",
      };
    case "captured":
    case "authorized":
      return {
        tone: "good",
        title: "Thank you!",
        sentence: `You paid ${amount}${by}.${refund ? " It could not be refunded." : ""}`,
        refundable: !refund,
      };
    case "refunded":
      return { tone: "good", title: "Refunded", sentence: `${amount} went back to your card.` };
    default:
      return { tone: "good", title: "All done", sentence: "Nothing more is to be paid for this order." };
  }
}
