const encoder = new TextEncoder();

/** SHA-256 of the text's UTF-8 bytes, in hex. */
export async function sha256(text: string): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text))));
}

/** A new token of 256 random bits. Its hash needs no salt or stretching: there is nothing to guess. */
export function newToken(): string {
  return `tmp_${hex(crypto.getRandomValues(new Uint8Array(32)))}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
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
      const [iv, data] = sealed
        .split(".")
        .map((part) => Uint8Array.from(part.match(/../g) ?? [], (h) => parseInt(h, 16)));
      if (iv === undefined || data === undefined) throw new Error("not a sealed text");
      return new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, data));
    },
  };
}
