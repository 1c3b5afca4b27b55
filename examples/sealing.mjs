/**
 * Seal a card for one payment, in a browser. Copy this file into your checkout page; it needs nothing but WebCrypto.
 *
 *     import { seal } from "./sealing.mjs";
 *     const cardData = await seal({ card_number: "…", expiry_date: "MM/YY", card_holder: "…" }, paymentId, key);
 *
 * `paymentId` and `key` come from your back end, which alone may call the API (calls are signed): the key is one of
 * `GET /keys`, and the payment id is the Idempotency-Key with which it will send `card_data: cardData` to POST /payments.
 *
 * The result is a compact JWE (RFC 7516), `alg` RSA-OAEP-256 and `enc` A256GCM (RFC 7518), as sealing.py makes it for
 * back ends. It is good for the one payment whose id is in its header. Never seal a security code: a card with one is
 * refused.
 */

const ALG = "RSA-OAEP-256";
const ENC = "A256GCM";
const TAG_BYTES = 16;

/**
 * Seal `{card_number, expiry_date, card_holder}` with a key as `GET /keys` has it, for this payment alone.
 *
 * Rejects with a TypeError where the card or the payment id is not one, and with an Error where the key is not one that
 * this can seal with, or the page has no WebCrypto. No message repeats card data.
 *
 * @param {{card_number: string, expiry_date: string, card_holder: string}} cardData
 * @param {string} paymentId
 * @param {{kid: string, alg: string, enc: string, pem: string}} key
 * @returns {Promise<string>}
 */
export async function seal(cardData, paymentId, key) {
  if (typeof cardData !== "object" || cardData === null || Array.isArray(cardData)) {
    throw new TypeError("The card must be an object.");
  }
  if (typeof paymentId !== "string" || paymentId === "") {
    throw new TypeError("The payment id must be a string that is not empty.");
  }
  if (key?.alg !== ALG || key.enc !== ENC) {
    throw new Error(`The sealing key must be for ${ALG} and ${ENC}.`);
  }
  // Browsers offer it to pages that came over https, or from localhost, only.
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new Error("This page has no WebCrypto. Serve it over https.");
  }
  const publicKey = await imported(subtle, key.pem);
  const header = encoded(JSON.stringify({ alg: ALG, enc: ENC, kid: key.kid, payment_id: paymentId }));
  const contentKey = await subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
  const encryptedKey = await subtle.wrapKey("raw", contentKey, publicKey, { name: "RSA-OAEP" });
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: utf8(header), tagLength: 8 * TAG_BYTES },
    contentKey,
    utf8(JSON.stringify(cardData)),
  );
  const [ciphertext, tag] = [sealed.slice(0, -TAG_BYTES), sealed.slice(-TAG_BYTES)];
  return [header, ...[encryptedKey, iv, ciphertext, tag].map(base64url)].join(".");
}

/** The RSA public key of a PEM file (SubjectPublicKeyInfo, RFC 7468 section 13). */
async function imported(subtle, pem) {
  try {
    const der = Uint8Array.from(atob(pem.replace(/-----[A-Z ]+-----/g, "")), (character) => character.charCodeAt(0));
    return await subtle.importKey("spki", der, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["wrapKey"]);
  } catch {
    throw new Error("The sealing key is not an RSA public key in PEM.");
  }
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function encoded(text) {
  return base64url(utf8(text));
}

/** base64url without padding (RFC 7515, section 2). */
function base64url(bytes) {
  const base64 = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
