/**
 * Seal a card for one payment, in a browser. Copy this file into your checkout page; it needs nothing but WebCrypto.
 *
 *     import { seal } from "./sealing.mjs";
 *     const cardData = await seal({ card_number: "…", expiry_date: "MM/YY", card_holder: "…" }, paymentId, key);
 *
 * `paymentId` and `key` come from your back end, which alone may call the API, since calls are signed. The key is one of
 * `GET /keys`. The payment id is the Idempotency-Key with which the back end sends `card_data: cardData` to POST /payments.
 *
 * The result is a compact JWE (RFC 7516) with `alg` RSA-OAEP-256 and `enc` A256GCM (RFC 7518), as sealing.py makes it for
 * back ends. It is valid only for the payment whose id is in its header.
 *
 * An attacker who could replace your key by his own could read what is sealed with it. To prevent that, write your key's
 * fingerprint into the page and pass it as the fourth argument. `fingerprint` in sealing.py computes it.
 */

const ALG = "RSA-OAEP-256";
const ENC = "A256GCM";
const FIELDS = ["card_number", "expiry_date", "card_holder"];
const LEAST_KEY_BITS = 2048;
const TAG_BYTES = 16;

/**
 * Seal `{card_number, expiry_date, card_holder}` for one payment, with a key as returned by `GET /keys`.
 *
 * Rejects with a TypeError if the card or the payment id is invalid; a card has no other fields, not even a security
 * code. Rejects with an Error if the key is for other algorithms, is an RSA key of less than 2048 bits, or does not have
 * the fingerprint, or if the page has no WebCrypto. No message repeats card data.
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
  // Browsers offer WebCrypto only to pages from https or localhost.
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

/** Import the RSA public key of a PEM file (SubjectPublicKeyInfo, RFC 7468 section 13), and check it. */
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
