import { sha256 as digest } from "@noble/hashes/sha2.js";

const encoder = new TextEncoder();

/**
 * SHA-256 of the text's UTF-8 bytes, in hex. Not by Web Crypto, which hands each text to another thread: for the few bytes of
 * a token or a key that takes ten times as long.
 */
export function sha256(text: string): string {
  return hex(digest(encoder.encode(text)));
}

/** 256 random bits, in hex. */
export function newSecret(): string {
  return hex(crypto.getRandomValues(new Uint8Array(32)));
}

/** Whether `signature`, in hex, is the HMAC-SHA-256 of the bytes; compared in constant time. */
export async function verifyHmac(secret: string, bytes: Uint8Array, signature: string): Promise<boolean> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["verify"]);
  return crypto.subtle.verify(algorithm, key, unhex(signature), new Uint8Array(bytes));
}

/** A new token of 256 random bits. Its hash needs no salt or stretching: there is nothing to guess. */
export function newToken(): string {
  return `tmp_${newSecret()}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function unhex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Keeps a text readable to this server only. */
export interface Sealer {
  seal(text: string): Promise<string>;
  /** Throws when the text was sealed under another secret or was changed. */
  open(sealed: string): Promise<string>;
}

/** AES-256-GCM under a key that HKDF-SHA-256 (RFC 5869) draws from the server's secret. */
export async function createSealer(secret: string): Promise<Sealer> {
  const material = await crypto.subtle.importKey("raw", encoder.encode(secret), "HKDF", false, ["deriveKey"]);
  const key = await crypto.subtle.deriveKey(
    {
      name: "HKDF",
      hash: "SHA-256",
      salt: new Uint8Array(),
      info: encoder.encode("task-master-pro sealed result"),
    },
    material,
    { name: "AES-GCM", length: 256 },
    false,
    ["encrypt", "decrypt"],
  );
  return {
    async seal(text) {
      const iv = crypto.getRandomValues(new Uint8Array(12));
      const data = new Uint8Array(
        await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, encoder.encode(text)),
      );
      return `${hex(iv)}.${hex(data)}`;
    },
    async open(sealed) {
      const [iv, data] = sealed.split(".").map(unhex);
      if (iv === undefined || data === undefined) throw new Error("not a sealed text");
      return new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, data));
    },
  };
}
