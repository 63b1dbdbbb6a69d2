import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkFiles, fetchFile } from "../../../src/backup/check-files.ts";
import { createDecryption, createEncryption } from "../../../src/backup/encryption.ts";
import {
  type Manifest,
  manifestName,
  marksName,
  newBackupId,
  readManifest,
} from "../../../src/backup/manifest.ts";
import { mark, readMarks } from "../../../src/backup/marks.ts";
import type { BackupStore } from "../../../src/backup/store.ts";
import { openFolderStore } from "../../../src/backup/store-folder.ts";
import { bytesOf, refusal } from "../../support/backup-store-contract.ts";
import { storeBackup } from "../../support/backups.ts";

const size = 300_000;
let root: string;
let store: BackupStore;
let manifest: Manifest;
let files: Map<string, Buffer>;
const id = newBackupId(new Date("2026-11-25T03:00:00Z"));
const at = (name: string) => path.join(root, id, name);

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "backup-check-"));
  store = openFolderStore({ kind: "folder", directory: root });
  files = new Map(["data/toc.dat", "data/1.dat", "data/2.dat"].map((name) => [name, randomBytes(size)]));
  files.set("data/empty.dat", Buffer.alloc(0));
  manifest = await storeBackup(store, id, files);
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function flip(name: string, position: number): Promise<void> {
  const bytes = await readFile(at(name));
  bytes.writeUInt8(bytes.readUInt8(position) ^ 0x10, position);
  await writeFile(at(name), bytes);
}

/** Every way a backup's files can be wrong, and what each is called. */
const damages: [string, () => Promise<void>, string, RegExp][] = [
  ["a bit flipped at the start", async () => await flip("data/1.dat", 0), "data/1.dat", /SHA-256/],
  ["a bit flipped in the middle", async () => await flip("data/1.dat", size / 2), "data/1.dat", /SHA-256/],
  ["a bit flipped at the end", async () => await flip("data/1.dat", size - 1), "data/1.dat", /SHA-256/],
  [
    "truncated by one byte",
    async () => await truncate(at("data/1.dat"), size - 1),
    "data/1.dat",
    /299999 bytes/,
  ],
  ["truncated to nothing", async () => await truncate(at("data/1.dat"), 0), "data/1.dat", /has 0 bytes/],
  [
    "grown by one byte",
    async () => await writeFile(at("data/1.dat"), "x", { flag: "a" }),
    "data/1.dat",
    /300001 bytes/,
  ],
  ["missing", async () => await rm(at("data/1.dat")), "data/1.dat", /is missing/],
  ["an empty file missing", async () => await rm(at("data/empty.dat")), "data/empty.dat", /is missing/],
];

describe("checkFiles", () => {
  test("a sound backup passes, and progress adds up to its size", async () => {
    let seen = 0;
    await mark(store, id, { checkedAt: "2026-11-25T04:00:00Z" });
    await checkFiles(store, manifest, { onProgress: (bytes) => (seen += bytes) });
    expect(seen).toBe(manifest.bytes);
  });

  test.each(damages)("%s is found", async (_what, damage, name, detail) => {
    await damage();
    const error = await refusal(checkFiles(store, manifest));
    expect(error.code).toBe("conflict");
    expect(error.message).toContain(`Backup ${id} is damaged: ${name}`);
    expect(error.errors).toEqual([{ pointer: name, detail: expect.stringMatching(detail) }]);
  });

  test("an extra file is found", async () => {
    await writeFile(at("data/extra.dat"), "x");
    const error = await refusal(checkFiles(store, manifest));
    expect(error.errors).toEqual([{ pointer: "data/extra.dat", detail: "is no file of this backup" }]);
  });

  test("two files that changed places are both found", async () => {
    await rename(at("data/1.dat"), at("swap"));
    await rename(at("data/2.dat"), at("data/1.dat"));
    await rename(at("swap"), at("data/2.dat"));
    const error = await refusal(checkFiles(store, manifest));
    expect(error.errors.map((fault) => fault.pointer)).toEqual(["data/1.dat", "data/2.dat"]);
  });

  test("every fault is told at once", async () => {
    await flip("data/toc.dat", 5);
    await truncate(at("data/1.dat"), 7);
    await rm(at("data/2.dat"));
    await writeFile(at("extra"), "x");
    const error = await refusal(checkFiles(store, manifest));
    expect(error.errors.map((fault) => fault.pointer)).toEqual([
      "data/toc.dat",
      "data/1.dat",
      "data/2.dat",
      "extra",
    ]);
    expect(error.message).toContain("and 1 more");
  });

  test("the files of another backup are found", async () => {
    const other = newBackupId(new Date("2026-11-26T03:00:00Z"));
    await storeBackup(store, other, new Map([...files.keys()].map((name) => [name, randomBytes(size)])));
    await rename(path.join(root, id, "data"), path.join(root, "aside"));
    await rename(path.join(root, other, "data"), path.join(root, id, "data"));
    expect((await refusal(checkFiles(store, manifest))).errors).toHaveLength(4);
  });

  test("the manifest of another backup, and one that was edited, are found before", async () => {
    const other = newBackupId(new Date("2026-11-26T03:00:00Z"));
    await storeBackup(store, other, files);
    const text = (await store.readText(other, manifestName)) ?? "";
    expect(() => readManifest(text, id)).toThrow(`This manifest is of backup ${other}, not ${id}`);
    expect(() => readManifest(text.replace("300000", "300001"), other)).toThrow("changed since");
  });

  test("a folder that is gone is not taken for damage", async () => {
    await rm(root, { recursive: true });
    await expect(checkFiles(store, manifest)).rejects.toMatchObject({ code: "conflict" });
    const vanished = { ...store, files: async () => await Promise.reject(new Error("outage")) };
    await expect(checkFiles(vanished, manifest)).rejects.toThrow("outage");
  });

  test("an abort ends it", async () => {
    const abort = new AbortController();
    const checking = checkFiles(store, manifest, { onProgress: () => abort.abort(), signal: abort.signal });
    await expect(checking).rejects.toThrow(/abort/i);
  });
});

describe("fetchFile", () => {
  const fileOf = (name: string) => {
    const file = manifest.files.find((each) => each.name === name);
    if (file === undefined) throw new Error(`no ${name}`);
    return file;
  };
  const target = () => path.join(root, "scratch", "deep", "file");
  const gone = async () => await expect(stat(target())).rejects.toThrow("ENOENT");

  test("brings the bytes", async () => {
    let seen = 0;
    for (const name of ["data/1.dat", "data/empty.dat"]) {
      await fetchFile(store, manifest, fileOf(name), target(), null, {
        onProgress: (bytes) => (seen += bytes),
      });
      expect((await readFile(target())).equals(files.get(name) ?? Buffer.from("?"))).toBe(true);
    }
    expect(seen).toBe(size);
    expect((await stat(target())).mode & 0o777).toBe(0o600);
  });

  test.each(damages)("%s is refused, and nothing is left", async (_what, damage, name, detail) => {
    await damage();
    const error = await refusal(fetchFile(store, manifest, fileOf(name), target(), null));
    expect(error.code).toBe("conflict");
    expect(error.errors).toEqual([{ pointer: name, detail: expect.stringMatching(detail) }]);
    await gone();
  });

  test("a target that cannot be written is named", async () => {
    await writeFile(path.join(root, "scratch"), "a file");
    const error = await refusal(fetchFile(store, manifest, fileOf("data/1.dat"), target(), null));
    expect(error.message).toContain("no folder");
  });

  test("an abort ends it, and leaves nothing", async () => {
    const abort = new AbortController();
    const options = { onProgress: () => abort.abort(), signal: abort.signal };
    await expect(fetchFile(store, manifest, fileOf("data/1.dat"), target(), null, options)).rejects.toThrow(
      /abort/i,
    );
    await gone();
  });

  describe("encrypted", () => {
    let key: string;
    beforeEach(async () => {
      key = await generateX25519Identity();
      const encryption = createEncryption([await identityToRecipient(key)]);
      const secret = await bytesOf(
        await encryption.encrypt(Readable.from([randomBytes(size)], { objectMode: false })),
      );
      await store.remove(id);
      files = new Map([["data/1.dat", secret]]);
      manifest = await storeBackup(store, id, files);
    });

    test("is decrypted on the way, and only the right key does", async () => {
      await fetchFile(store, manifest, fileOf("data/1.dat"), target(), createDecryption([key]));
      expect((await readFile(target())).length).toBe(size);
      const wrong = createDecryption([await generateX25519Identity()]);
      const error = await refusal(fetchFile(store, manifest, fileOf("data/1.dat"), target(), wrong));
      expect(error.message).toContain("None of the given keys");
      await gone();
    });

    test("damage is called damage, in the header, the data and the end, never a wrong key", async () => {
      const secret = await readFile(at("data/1.dat"));
      for (const position of [3, 30, 60, 120, 200, 400, size / 2, secret.length - 1]) {
        await writeFile(at("data/1.dat"), secret);
        await flip("data/1.dat", position);
        const error = await refusal(
          fetchFile(store, manifest, fileOf("data/1.dat"), target(), createDecryption([key])),
        );
        expect(error.errors, `byte ${position}`).toEqual([
          { pointer: "data/1.dat", detail: expect.stringContaining("SHA-256") },
        ]);
        await gone();
      }
      await writeFile(at("data/1.dat"), secret.subarray(0, 1000));
      const error = await refusal(
        fetchFile(store, manifest, fileOf("data/1.dat"), target(), createDecryption([key])),
      );
      expect(error.errors[0]?.detail).toContain("1000 bytes");
    });
  });
});

describe("marks", () => {
  test("start as never, and change one by one", async () => {
    expect(await readMarks(store, id)).toEqual({ checkedAt: null, restoredAt: null, rtoSeconds: null });
    await mark(store, id, { checkedAt: "2026-11-25T04:00:00.5Z" });
    await mark(store, id, { restoredAt: "2026-11-25T05:00:00Z", rtoSeconds: 12.5 });
    expect(await readMarks(store, id)).toEqual({
      checkedAt: "2026-11-25T04:00:00.5Z",
      restoredAt: "2026-11-25T05:00:00Z",
      rtoSeconds: 12.5,
    });
  });

  test("that cannot be read are said, and written anew", async () => {
    for (const text of ["", "{", "{}", '{"checkedAt":1,"restoredAt":null,"rtoSeconds":null}']) {
      await store.writeText(id, marksName, text);
      const error = await refusal(readMarks(store, id));
      expect(error.code).toBe("conflict");
      expect(error.message).toContain(`backup verify ${id}`);
    }
    await mark(store, id, { checkedAt: "2026-11-25T04:00:00Z" });
    expect((await readMarks(store, id)).checkedAt).toBe("2026-11-25T04:00:00Z");
  });

  test("are not made for a backup that is gone", async () => {
    await store.remove(id);
    expect((await refusal(mark(store, id, { checkedAt: "2026-11-25T04:00:00Z" }))).code).toBe("not_found");
    expect(await store.listIncomplete()).toEqual([]);
  });
});
