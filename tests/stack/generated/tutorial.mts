// The tutorial's calls by what openapi-typescript made of docs/openapi.yaml, with openapi-fetch: `tutorial.mts <the API's URL>`.
// Its types are checked by tsc, and signing is done on the way.

import createClient from "openapi-fetch";
import type { components, paths } from "./payments_api.d.ts";

type Payment = components["schemas"]["Payment"];
type PaymentRequest = components["schemas"]["PaymentRequest"];

declare const process: { argv: string[] };
const client = createClient<paths>({ baseUrl: process.argv[2] ?? "" });
const card = { card_number: "4242424242424242", expiry_date: "12/30", card_holder: "John Doe" } as const;
const order = { amount_minor: 1999, currency: "USD", merchant_reference: "order-1001" };

// @ts-expect-error A payment is by a card or by a token.
export const neither: PaymentRequest = order;
// @ts-expect-error An amount is a number.
export const text: PaymentRequest = { ...order, card_data: card, amount_minor: "1999" };

function equal(actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${String(actual)} is not ${String(expected)}`);
}

function keyed(key: string) {
  return { header: { "Idempotency-Key": key } };
}

async function ended(payment_id: string, operation_id?: string): Promise<Payment> {
  for (;;) {
    const { data, error } = await client.GET("/payments/{payment_id}", { params: { path: { payment_id } } });
    if (data === undefined) throw new Error(error.error.code);
    const operation = data.operations.find((each) => each.operation_id === operation_id);
    const operationEnded = operation_id === undefined || (operation !== undefined && operation.status !== "processing");
    if (operationEnded && data.status !== "processing") return data;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function pay(body: PaymentRequest): Promise<Payment> {
  const key = crypto.randomUUID();
  const { data, response } = await client.POST("/payments", { params: keyed(key), body });
  equal(data?.payment_id, key);
  equal(new URL(response.headers.get("Location") ?? "", response.url).href, `${response.url}/${key}`);
  return ended(key);
}

const paid = await pay({ ...order, card_data: card });
equal(paid.status, "captured");
equal(paid.captured_minor, 1999);

const again = await client.POST("/payments", { params: keyed(paid.payment_id), body: { ...order, card_data: card } });
equal(again.error?.error.code, "payment_exists");
equal(again.error?.payment_id, paid.payment_id);

const declined = await pay({ ...order, card_data: { ...card, card_number: "4000000000009995" } });
equal(declined.decline_code, "insufficient_funds");

const refund = crypto.randomUUID();
const path = { payment_id: paid.payment_id };
await client.POST("/payments/{payment_id}/refunds", { params: { path, ...keyed(refund) }, body: { amount_minor: 500 } });
equal((await ended(paid.payment_id, refund)).refunded_minor, 500);

const saved = await pay({ ...order, card_data: card, save_card: true });
const token = saved.card?.token ?? "";
equal((await pay({ ...order, token })).card?.token, token);
equal((await client.DELETE("/cards/{token}", { params: { path: { token } } })).response.status, 204);
equal((await client.POST("/keys", { params: keyed(crypto.randomUUID()) })).data?.jwk.crv, "P-256");
equal((await client.GET("/keys")).data?.keys[0]?.alg, "RSA-OAEP-256");
