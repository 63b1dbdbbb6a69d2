import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { manifestName, marksName, newBackupId } from "../../src/backup/manifest.ts";
import type { BackupStore } from "../../src/backup/store.ts";
import { AppError, type ErrorCode } from "../../src/core/errors.ts";

export interface TestStore {
  /** Opens the same place once more. */
  again(): BackupStore;
  store: BackupStore;
  close(): Promise<void>;
}

/** The AppError that a promise rejects with; anything else fails the test. */
export async function refusal(promise: Promise<unknown>): Promise<AppError> {
  const outcome = await promise.then(
    () => "resolved",
    (error: unknown) => error,
  );
  if (outcome instanceof AppError) return outcome;
  throw new Error(`expected an AppError, and it ${outcome === "resolved" ? "resolved" : "rejected"}`, {
    cause: outcome,
  });
}

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode> {
  return (await refusal(promise)).code;
}

export async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const sha256 = (bytes: Buffer | string): string => createHash("sha256").update(bytes).digest("hex");

/** Yields a few bytes, and then fails or waits for ever. */
export function brokenBody(bytes: number, end: Error | "hangs"): Readable {
  return Readable.from(
    (async function* () {
      for (let sent = 0; sent < bytes; sent += 65_536) yield Buffer.alloc(Math.min(65_536, bytes - sent), 1);
      if (end === "hangs") await sleep(3_600_000, undefined, { ref: false });
      else throw end;
    })(),
    { objectMode: false },
  );
}

/** What every place for backups has to keep. */
export function backupStoreContract(name: string, open: () => Promise<TestStore>): void {
  describe(name, () => {
    let opened: TestStore;
    let store: BackupStore;
    let second = 0;
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
      await store.check();
    });
    afterAll(async () => {
      await opened.close();
    });

    /** A new id, later than all before. */
    const newId = () => newBackupId(new Date(Date.UTC(2026, 10, 25) + 1000 * second++));
    const write = async (id: string, file: string, bytes: Buffer) =>
      await store.write(id, file, Readable.from([bytes], { objectMode: false }));
    const names = async (id: string) => (await store.files(id)).map((file) => file.name);

    test("a body comes back byte for byte, empty ones too", async () => {
      const id = newId();
      for (const size of [0, 1, 65_536, 1_000_003]) {
        const bytes = randomBytes(size);
        await write(id, `data/${size}.dat`, bytes);
        expect((await bytesOf(await store.read(id, `data/${size}.dat`))).equals(bytes), `${size}`).toBe(true);
      }
      expect(await store.files(id)).toEqual([
        { name: "data/0.dat", bytes: 0 },
        { name: "data/1.dat", bytes: 1 },
        { name: "data/1000003.dat", bytes: 1_000_003 },
        { name: "data/65536.dat", bytes: 65_536 },
      ]);
    });

    test("a backup is listed once it has its manifest, and is incomplete until then", async () => {
      const [first, other] = [newId(), newId()];
      await write(other, "data/1.dat", Buffer.from("x"));
      await write(first, "data/1.dat", Buffer.from("x"));
      expect(await store.list()).not.toContain(first);
      expect((await store.listIncomplete()).map((found) => found.id)).toEqual(
        expect.arrayContaining([first, other]),
      );
      const before = (await store.listIncomplete()).find((found) => found.id === first);
      expect(before?.startedAt.toISOString().replace(/[-:]|\.000/g, "")).toBe(first.slice(0, 16));
      await store.writeText(other, manifestName, "{}");
      await store.writeText(first, manifestName, "{}");
      const listed = await store.list();
      expect(listed.filter((id) => id === first || id === other)).toEqual([first, other]);
      expect(listed).toEqual([...listed].sort());
      expect((await store.listIncomplete()).map((found) => found.id)).not.toContain(first);
    });

    test("a file called as the manifest in a folder below makes no backup", async () => {
      const id = newId();
      await write(id, `data/${manifestName}`, Buffer.from("{}"));
      expect(await store.list()).not.toContain(id);
    });

    test("text is replaced whole, and absent text is undefined", async () => {
      const id = newId();
      expect(await store.readText(id, marksName)).toBeUndefined();
      await store.writeText(id, marksName, "a long text\n");
      await store.writeText(id, marksName, "ü\n");
      expect(await store.readText(id, marksName)).toBe("ü\n");
      expect(await names(id)).toEqual([marksName]);
      expect(await store.readRoot("report.json")).toBeUndefined();
      await store.writeRoot("metrics.prom", "backup_up 1\n");
      await store.writeRoot("metrics.prom", "backup_up 2\n");
      expect(await store.readRoot("metrics.prom")).toBe("backup_up 2\n");
    });

    test("text above 16 MiB is refused, not read", async () => {
      const id = newId();
      await write(id, marksName, Buffer.alloc(16 * 1024 * 1024 + 1, 32));
      expect(await codeOf(store.readText(id, marksName))).toBe("too_large");
    });

    test("two writers that replace the same text at once leave one of the two", async () => {
      const id = newId();
      const texts = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(10_000));
      await Promise.all(texts.map((text) => store.writeText(id, marksName, text)));
      expect(texts).toContain(await store.readText(id, marksName));
      expect(await names(id)).toEqual([marksName]);
    });

    test("a removed backup is gone, and removing it again does nothing", async () => {
      const id = newId();
      await write(id, "data/deep/er/1.dat", Buffer.from("x"));
      await store.writeText(id, manifestName, "{}");
      await store.remove(id);
      await store.remove(id);
      expect(await store.files(id)).toEqual([]);
      expect(await store.list()).not.toContain(id);
      expect((await store.listIncomplete()).map((found) => found.id)).not.toContain(id);
    });

    test("removing one leaves its neighbours", async () => {
      const [gone, kept] = [newId(), newId()];
      for (const id of [gone, kept]) await store.writeText(id, manifestName, "{}");
      await store.remove(gone);
      expect(await store.list()).toContain(kept);
      expect(await store.readRoot("metrics.prom")).toBe("backup_up 2\n");
    });

    test("a body that fails leaves nothing under its name, and its own error", async () => {
      for (const bytes of [0, 100_000, 20_000_000]) {
        const id = newId();
        await store.writeText(id, marksName, "{}");
        const broken = new Error("pg_dump was killed");
        await expect(store.write(id, "data/1.dat", brokenBody(bytes, broken))).rejects.toBe(broken);
        expect(await names(id), `${bytes}`).toEqual([marksName]);
      }
    });

    test("a body that was destroyed before is refused, and leaves nothing", async () => {
      const id = newId();
      await store.writeText(id, marksName, "{}");
      const body = Readable.from([Buffer.from("x")]);
      body.destroy();
      await expect(store.write(id, "data/1.dat", body)).rejects.toThrow();
      expect(await names(id)).toEqual([marksName]);
    });

    test("an aborted write ends at once with the reason, even of a body that hangs", async () => {
      const id = newId();
      await store.writeText(id, marksName, "{}");
      const body = brokenBody(100_000, "hangs");
      const abort = new AbortController();
      const reason = new Error("Ctrl+C");
      const writing = store.write(id, "data/1.dat", body, abort.signal);
      await sleep(100);
      abort.abort(reason);
      await expect(writing).rejects.toBe(reason);
      expect(body.destroyed).toBe(true);
      expect(await names(id)).toEqual([marksName]);
      const late = Readable.from([Buffer.from("x")]);
      await expect(store.write(id, "data/2.dat", late, abort.signal)).rejects.toBe(reason);
      expect(late.destroyed).toBe(true);
      await expect(store.read(id, marksName, abort.signal)).rejects.toBe(reason);
    });

    test("an aborted read ends", async () => {
      const id = newId();
      await write(id, "data/1.dat", randomBytes(4_000_000));
      const abort = new AbortController();
      const stream = await store.read(id, "data/1.dat", abort.signal);
      stream.once("data", () => abort.abort());
      await expect(bytesOf(stream)).rejects.toThrow(/abort/i);
    });

    test("a reader that goes away early leaves the store usable", async () => {
      const id = newId();
      const bytes = randomBytes(4_000_000);
      await write(id, "data/1.dat", bytes);
      for (let i = 0; i < 60; i++) (await store.read(id, "data/1.dat")).destroy();
      expect((await bytesOf(await store.read(id, "data/1.dat"))).equals(bytes)).toBe(true);
    });

    test("a file is written once", async () => {
      const id = newId();
      await write(id, "data/1.dat", Buffer.from("first"));
      expect(await codeOf(write(id, "data/1.dat", Buffer.from("other")))).toBe("conflict");
      expect(`${await bytesOf(await store.read(id, "data/1.dat"))}`).toBe("first");
    });

    test("what is not there is not found, by name", async () => {
      const id = newId();
      expect(await store.files(id)).toEqual([]);
      const error = await refusal(store.read(id, "data/1.dat"));
      expect(error.code).toBe("not_found");
      expect(error.message).toContain(`${id}/data/1.dat`);
    });

    test("names that lead out are refused before anything is touched", async () => {
      const id = newId();
      for (const file of ["../x", "/etc/passwd", "a/../../x", "a\\b", "", "a//b", "./a", ".hidden", "a\nb"]) {
        const body = Readable.from([Buffer.from("x")]);
        expect(await codeOf(store.write(id, file, body)), file).toBe("invalid_input");
        expect(body.destroyed).toBe(true);
        expect(await codeOf(store.read(id, file)), file).toBe("invalid_input");
        expect(await codeOf(store.readText(id, file)), file).toBe("invalid_input");
        expect(await codeOf(store.writeText(id, file, "x")), file).toBe("invalid_input");
        expect(await codeOf(store.writeRoot(file, "x")), file).toBe("invalid_input");
      }
      for (const wrong of ["..", "", "20261125T030000Z", "20261325T030000Z-000000", `../${id}`, `${id}/`]) {
        expect(await codeOf(store.remove(wrong)), wrong).toBe("invalid_input");
        expect(await codeOf(store.files(wrong)), wrong).toBe("invalid_input");
        expect(await codeOf(store.writeText(wrong, marksName, "x")), wrong).toBe("invalid_input");
      }
      expect(await codeOf(store.writeRoot(`${id}/x`, "x"))).toBe("invalid_input");
      expect(await codeOf(store.writeRoot(id, "x"))).toBe("invalid_input");
      expect(await store.files(id)).toEqual([]);
    });

    test("what was stored is there for the next process", async () => {
      const id = newId();
      const bytes = randomBytes(300_000);
      await write(id, "data/1.dat", bytes);
      await store.writeText(id, manifestName, "{}");
      const next = opened.again();
      expect(await next.list()).toContain(id);
      expect(sha256(await bytesOf(await next.read(id, "data/1.dat")))).toBe(sha256(bytes));
      await next.close();
    });
  });
}
