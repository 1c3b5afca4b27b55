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
 * back ends. It is good for the one payment whose id is in its header.
 *
 * Whoever could put a key of his own in the place of yours could read what is sealed with it. Write the fingerprint of
 * yours into the page, as the fourth argument, and no other is sealed with; `fingerprint` in sealing.py makes it.
 */

const ALG = "RSA-OAEP-256";
const ENC = "A256GCM";
const FIELDS = ["card_number", "expiry_date", "card_holder"];
const LEAST_KEY_BITS = 2048;
const TAG_BYTES = 16;

/**
 * Seal `{card_number, expiry_date, card_holder}` with a key as `GET /keys` has it, for this payment alone.
 *
 * Rejects with a TypeError where the card or the payment id is not one (a security code is not taken, nor any other
 * field), and with an Error where the key is not one that this can seal with, an RSA key of less than 2048 bits, or not
 * the one with the fingerprint, or where the page has no WebCrypto. No message repeats card data.
 *
 * @param {{card_number: string, expiry_date: string, card_holder: string}} cardData
 * @param {string} paymentId
 * @param {{kid: string, alg: string, enc: string, pem: string}} key
 * @param {string} [fingerprint] the SHA-256 of the key's SubjectPublicKeyInfo in DER, in hex
 * @returns {Promise<string>}
 */
export async function seal(cardData, paymentId, key, fingerprint) {
  if (typeof cardData !== "object" || cardData === null || Array.isArray(cardData)) {
    throw new TypeError("The card must be an object.");
  }
  if (!Object.keys(cardData).every((name) => FIELDS.includes(name))) {
    throw new TypeError("A card has a card_number, an expiry_date and a card_holder. No security code is taken.");
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
  const publicKey = await imported(subtle, key.pem, fingerprint);
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

/** The RSA public key of a PEM file (SubjectPublicKeyInfo, RFC 7468 section 13), if it is fit to seal with. */
async function imported(subtle, pem, fingerprint) {
  let der, publicKey;
  try {
    der = Uint8Array.from(atob(pem.replace(/-----[A-Z ]+-----/g, "")), (character) => character.charCodeAt(0));
    publicKey = await subtle.importKey("spki", der, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["wrapKey"]);
  } catch {
    throw new Error("The sealing key is not an RSA public key in PEM.");
  }
  if (publicKey.algorithm.modulusLength < LEAST_KEY_BITS) {
    throw new Error(`The sealing key is an RSA key of less than ${LEAST_KEY_BITS} bits.`);
  }
  if (fingerprint !== undefined && hex(await subtle.digest("SHA-256", der)) !== fingerprint) {
    throw new Error("The sealing key is not the one whose fingerprint is pinned.");
  }
  return publicKey;
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function encoded(text) {
  return base64url(utf8(text));
}

function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** base64url without padding (RFC 7515, section 2). */
function base64url(bytes) {
  const base64 = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
