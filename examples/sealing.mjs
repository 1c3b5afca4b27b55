/**
 * Seal a card for one payment, in a browser. Copy this file into your checkout page; it needs nothing but WebCrypto.
 *
 *     import { seal } from "./sealing.mjs";
 *     const card = { card_number: "…", expiry_date: "MM/YY", card_holder: "…", security_code: "…" };
 *     const cardData = await seal(card, paymentId, key);
 *
 * `paymentId` and `key` come from your back end, which alone may call the API (calls are signed): the payment id is the
 * Idempotency-Key with which it will send `card_data: cardData` to POST /payments, and the key is what POST /keys answers
 * under the same Idempotency-Key.
 *
 * The result is a compact JWE (RFC 7516) with the `enc` A256GCM (RFC 7518), as sealing.py makes it for back ends. It is
 * good for the one payment whose id is in its header. There are two kinds of keys:
 *
 * - A single-use key, of POST /keys, has the `alg` ECDH-ES. Its private half is deleted when the payment has ended, and
 *   then nobody can open what was sealed. Only with such a key may the card have a security code, which is optional.
 * - A static key, of GET /keys, has the `alg` RSA-OAEP-256. It is for those who can't ask before each payment, and not
 *   every deployment has one.
 *
 * An attacker who could replace your static key by his own could read what is sealed with it. To prevent that, write
 * your key's fingerprint into the page and pass it as the fourth argument. `fingerprint` in sealing.py computes it.
 */

const ENC = "A256GCM";
const FIELDS = ["card_number", "expiry_date", "card_holder", "security_code"];
const LEAST_KEY_BITS = 2048;
const KEY_BITS = 256;
const TAG_BYTES = 16;
const P256 = { name: "ECDH", namedCurve: "P-256" };
const AES = { name: "AES-GCM", length: KEY_BITS };

const SINGLE_USE = "ECDH-ES";
/** By the key's `alg`: makes the content's key, the same encrypted, and what else the header says. */
const KINDS = { [SINGLE_USE]: agreed, "RSA-OAEP-256": wrapped };

/**
 * Seal `{card_number, expiry_date, card_holder}`, and the `security_code` if there is one, for this payment alone, with
 * the key that POST /keys has for it; or without a security code, with one of GET /keys.
 *
 * Rejects with a TypeError where the card or the payment id is not one (of other fields none is taken, and no security
 * code with a static key), and with an Error where the key is not one that this can seal with, an RSA key of less than
 * 2048 bits, or not the one with the fingerprint (a single-use key has none), or where the page has no WebCrypto. No
 * message repeats card data.
 *
 * @param {{card_number: string, expiry_date: string, card_holder: string, security_code?: string}} cardData
 * @param {string} paymentId
 * @param {{kid: string, alg: string, enc: string, jwk?: JsonWebKey, pem?: string}} key
 * @param {string} [fingerprint] the SHA-256 of the static key's SubjectPublicKeyInfo in DER, in hex
 * @returns {Promise<string>}
 */
export async function seal(cardData, paymentId, key, fingerprint) {
  if (typeof cardData !== "object" || cardData === null || Array.isArray(cardData)) {
    throw new TypeError("The card must be an object.");
  }
  if (typeof paymentId !== "string" || paymentId === "") {
    throw new TypeError("The payment id must be a string that is not empty.");
  }
  if (!Object.hasOwn(KINDS, key?.alg) || key.enc !== ENC) {
    throw new Error(`The sealing key must be for ${Object.keys(KINDS).join(" or ")}, and ${ENC}.`);
  }
  if (!Object.keys(cardData).every((name) => FIELDS.includes(name))) {
    throw new TypeError("A card has a card_number, an expiry_date, a card_holder and perhaps a security_code.");
  }
  if ("security_code" in cardData && key.alg !== SINGLE_USE) {
    throw new TypeError("Only a single-use key, of POST /keys, may seal a security code.");
  }
  // Browsers offer WebCrypto only to pages from https or localhost.
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new Error("This page has no WebCrypto. Serve it over https.");
  }
  const { contentKey, encryptedKey, ...agreement } = await KINDS[key.alg](subtle, key, fingerprint);
  const header = base64url(utf8(JSON.stringify({
    alg: key.alg, enc: ENC, kid: key.kid, payment_id: paymentId, ...agreement,
  })));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const sealed = await subtle.encrypt(
    { name: "AES-GCM", iv, additionalData: utf8(header), tagLength: 8 * TAG_BYTES },
    contentKey,
    utf8(JSON.stringify(cardData)),
  );
  const [ciphertext, tag] = [sealed.slice(0, -TAG_BYTES), sealed.slice(-TAG_BYTES)];
  return [header, ...[encryptedKey, iv, ciphertext, tag].map(base64url)].join(".");
}

/** A content key agreed on with the key's owner (RFC 7518, 4.6). Nothing is encrypted: the header has our half. */
async function agreed(subtle, { jwk }, fingerprint) {
  if (fingerprint !== undefined) throw new Error("The sealing key is not the one whose fingerprint is pinned.");
  let publicKey;
  try {
      const { kty, crv, x, y } = jwk;
    publicKey = await subtle.importKey("jwk", { kty, crv, x, y }, P256, false, []);
  } catch {
    throw new Error("The sealing key is not a P-256 public key in JWK.");
  }
  const ephemeral = await subtle.generateKey(P256, true, ["deriveBits"]);
  const secret = await subtle.deriveBits({ name: "ECDH", public: publicKey }, ephemeral.privateKey, KEY_BITS);
  // The Concat KDF (RFC 7518, 4.6.2) in its first round, which fills the key: the secret, then the `enc`, neither `apu`
  // nor `apv`, and the key's length; each text with its length in front.
  const otherInfo = [...uint32(ENC.length), ...utf8(ENC), ...uint32(0), ...uint32(0), ...uint32(KEY_BITS)];
  const round = Uint8Array.from([...uint32(1), ...new Uint8Array(secret), ...otherInfo]);
  const derived = await subtle.digest("SHA-256", round);
  const contentKey = await subtle.importKey("raw", derived, AES, false, ["encrypt"]);
  const { kty, crv, x, y } = await subtle.exportKey("jwk", ephemeral.publicKey);
  return { contentKey, encryptedKey: new Uint8Array(), epk: { kty, crv, x, y } };
}

/** A content key of our own, encrypted with the key (RFC 7518, 4.3). */
async function wrapped(subtle, { pem }, fingerprint) {
  const publicKey = await imported(subtle, pem, fingerprint);
  const contentKey = await subtle.generateKey(AES, true, ["encrypt"]);
  return { contentKey, encryptedKey: await subtle.wrapKey("raw", contentKey, publicKey, { name: "RSA-OAEP" }) };
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

/** The number's four bytes, the highest first. */
function uint32(number) {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff);
}

function hex(bytes) {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** base64url without padding (RFC 7515, section 2). */
function base64url(bytes) {
  const base64 = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
