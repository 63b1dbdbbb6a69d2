import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import {
  Decrypter,
  Encrypter,
  generateHybridIdentity,
  generateX25519Identity,
  identityToRecipient,
} from "age-encryption";
import { beforeAll, describe, expect, test } from "vitest";
import { createDecryption, createEncryption, readIdentities } from "../../../src/backup/encryption.ts";
import { AppError } from "../../../src/core/errors.ts";
import { brokenBody, bytesOf, refusal } from "../../support/backup-store-contract.ts";

const stream = (bytes: Buffer, size = 10_007) =>
  Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
    })(),
    { objectMode: false },
  );

function refused(run: () => unknown): AppError {
  try {
    run();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

describe("encryption", () => {
  let key: string;
  let other: string;
  let hybrid: string;
  let recipient: string;
  beforeAll(async () => {
    [key, other, hybrid] = await Promise.all([
      generateX25519Identity(),
      generateX25519Identity(),
      generateHybridIdentity(),
    ]);
    recipient = await identityToRecipient(key);
  });
  const encrypted = async (bytes: Buffer) =>
    await bytesOf(await createEncryption([recipient]).encrypt(stream(bytes)));
  const opened = async (bytes: Buffer, keys = [key]) =>
    await bytesOf(await createDecryption(keys).decrypt(stream(bytes)));

  test("what was encrypted is decrypted, of any size around a chunk's 64 KiB", async () => {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 131_072, 500_000]) {
      const bytes = randomBytes(size);
      const secret = await encrypted(bytes);
      if (size > 32) expect(secret.includes(bytes.subarray(0, 32))).toBe(false);
      expect((await opened(secret)).equals(bytes), `${size}`).toBe(true);
    }
  });

  test("it is the age format: the library's own whole-file calls read it, and are read", async () => {
    const bytes = randomBytes(200_000);
    const decrypter = new Decrypter();
    decrypter.addIdentity(key);
    expect(Buffer.from(await decrypter.decrypt(await encrypted(bytes))).equals(bytes)).toBe(true);
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    expect((await opened(Buffer.from(await encrypter.encrypt(bytes)))).equals(bytes)).toBe(true);
  });

  test("each of several recipients opens it, also with a key for after quantum computers", async () => {
    const encryption = createEncryption([` ${recipient}\n`, await identityToRecipient(hybrid)]);
    expect(encryption.recipients[0]).toBe(recipient);
    const secret = await bytesOf(await encryption.encrypt(stream(Buffer.from("rows"))));
    for (const keys of [[key], [hybrid], [other, key]]) expect(`${await opened(secret, keys)}`).toBe("rows");
  });

  test("a wrong key is said, and not shown", async () => {
    const secret = await encrypted(randomBytes(100_000));
    const error = await refusal(createDecryption([other]).decrypt(stream(secret)));
    expect(error.code).toBe("invalid_input");
    expect(error.message).toContain("None of the given keys opens this backup");
    expect(JSON.stringify(error) + String(error.stack)).not.toContain(other);
  });

  test("a flipped bit anywhere in the header is found", async () => {
    const secret = await encrypted(Buffer.from("rows"));
    for (let at = 0; at < secret.length; at++) {
      const flipped = Buffer.from(secret);
      flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (at % 8)), at);
      const error = await refusal(opened(flipped));
      expect(["conflict", "invalid_input"], `byte ${at}`).toContain(error.code);
    }
  });

  test("a flipped bit at the start, in the middle and at the end of the data is found", async () => {
    const secret = await encrypted(randomBytes(300_000));
    for (const at of [250, 150_000, secret.length - 1]) {
      const flipped = Buffer.from(secret);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      expect((await refusal(opened(flipped))).code).toBe("conflict");
    }
  });

  test("one that was cut off is found: in the header, between chunks, and in one", async () => {
    const secret = await encrypted(randomBytes(200_000));
    const header = secret.length - (200_000 + 4 * 16);
    for (const length of [0, 10, 22, 100, header, header + 65_552, header + 2 * 65_552, secret.length - 1]) {
      const error = await refusal(opened(secret.subarray(0, length)));
      expect(error.code, `${length}`).toBe("conflict");
      expect(error.message).toContain("damaged");
    }
    expect((await refusal(opened(Buffer.concat([secret, Buffer.from("x")])))).code).toBe("conflict");
  });

  test("what is no age file is refused after its first bytes", async () => {
    let read = 0;
    const zeros = new Readable({
      read() {
        read += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    expect((await refusal(createDecryption([key]).decrypt(zeros))).message).toContain("no age file");
    expect(read).toBeLessThan(1_000_000);
    expect(zeros.destroyed).toBe(true);
  });

  test("the readable's own error comes out, of both directions and wherever it comes", async () => {
    const broken = new Error("the network went away");
    for (const bytes of [0, 65_536 * 5]) {
      const secret = await createEncryption([recipient]).encrypt(brokenBody(bytes, broken));
      await expect(bytesOf(secret)).rejects.toBe(broken);
    }
    const secret = await encrypted(randomBytes(300_000));
    for (const length of [0, 50, 150_000]) {
      const failing = Readable.from(
        (async function* () {
          yield* stream(secret.subarray(0, length));
          throw broken;
        })(),
        { objectMode: false },
      );
      await expect(createDecryption([key]).decrypt(failing).then(bytesOf), `${length}`).rejects.toBe(broken);
    }
  });

  test("a reader that goes away ends the source", async () => {
    const source = brokenBody(65_536 * 100, "hangs");
    const secret = await createEncryption([recipient]).encrypt(source);
    secret.once("data", () => secret.destroy());
    await sleep(50);
    expect(source.destroyed).toBe(true);
  });

  test("memory stays where it is for 300 MB, also with a slow reader", async () => {
    const chunk = randomBytes(65_536);
    const chunks = 4800;
    let made = 0;
    const source = new Readable({
      read() {
        made++;
        this.push(made > chunks ? null : chunk);
      },
    });
    const secret = await createEncryption([recipient]).encrypt(source);
    await sleep(300);
    // Nobody has read yet.
    expect(made).toBeLessThan(10);
    const plain = await createDecryption([key]).decrypt(secret);
    const before = process.memoryUsage().rss;
    let most = before;
    let bytes = 0;
    for await (const part of plain) {
      bytes += part.length;
      if (bytes < 1_000_000) {
        await sleep(5);
        expect(made * 65_536 - bytes).toBeLessThan(1_500_000);
      }
      most = Math.max(most, process.memoryUsage().rss);
    }
    expect(bytes).toBe(chunks * 65_536);
    console.log(
      `encrypted and decrypted ${Math.round(bytes / 1e6)} MB; RSS grew ${Math.round((most - before) / 1e6)} MB`,
    );
    expect(most - before).toBeLessThan(120_000_000);
  }, 120_000);

  test("a wrong recipient is named, with the way out; a secret key is never shown", () => {
    const bad = refused(() => createEncryption([recipient, "age1nonsense"]));
    expect(bad.code).toBe("invalid_input");
    expect(bad.message).toMatch(/"age1nonsense".*age-keygen/);
    expect(refused(() => createEncryption(["ssh-ed25519 AAAA"])).message).toContain("ssh-ed25519 AAAA");
    for (const given of [key, hybrid, key.toLowerCase()])
      expect(refused(() => createEncryption([given])).message).not.toContain(given);
    expect(refused(() => createEncryption([" "])).message).toContain("nobody");
  });

  test("a key file has a key a line, with comments", () => {
    expect(readIdentities(`# created: 2026\n# public key: ${recipient}\n\n${key}\r\n  ${hybrid}\n`)).toEqual([
      key,
      hybrid,
    ]);
    const typo = key.replace(/.$/, (last) => (last === "Q" ? "P" : "Q"));
    const error = refused(() => readIdentities(`# a comment\n${key}\n${typo}\n`));
    expect(error.message).toContain("Line 3 of the key file");
    expect(`${error.stack}${String(error.cause)}`).not.toContain(typo);
    expect(refused(() => readIdentities("# nothing\n")).message).toContain("no age key");
    expect(refused(() => readIdentities("-----BEGIN AGE ENCRYPTED FILE-----\n")).message).toContain(
      "passphrase",
    );
    expect(refused(() => createDecryption([])).code).toBe("invalid_input");
    expect(refused(() => createDecryption([key, "AGE-SECRET-KEY-1X"])).message).toContain("Key 2");
  });
});
