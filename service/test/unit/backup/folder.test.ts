import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { manifestName, newBackupId } from "../../../src/backup/manifest.ts";
import { openStore } from "../../../src/backup/open-store.ts";
import { fileFault, openFolderStore } from "../../../src/backup/store-folder.ts";
import { AppError } from "../../../src/core/errors.ts";
import { backupStoreContract, bytesOf, refusal } from "../../support/backup-store-contract.ts";

backupStoreContract("folder", async () => {
  const parent = await mkdtemp(path.join(tmpdir(), "backup-folder-"));
  const directory = path.join(parent, "a", "b");
  const again = () => openFolderStore({ kind: "folder", directory });
  return {
    store: await openStore({ kind: "folder", directory }),
    again,
    close: async () => await rm(parent, { recursive: true, force: true }),
  };
});

describe("a folder", () => {
  let parent: string;
  let root: string;
  beforeAll(async () => {
    parent = await mkdtemp(path.join(tmpdir(), "backup-folder-"));
  });
  afterAll(async () => {
    await rm(parent, { recursive: true, force: true });
  });
  beforeEach(async () => {
    root = await mkdtemp(path.join(parent, "root-"));
  });
  const id = newBackupId(new Date("2026-11-25T03:00:00Z"));
  const openRoot = () => openFolderStore({ kind: "folder", directory: root });
  const body = (text: string) => Readable.from([Buffer.from(text)], { objectMode: false });

  test("folders are 0700 and files 0600, whatever the umask", async () => {
    root = path.join(root, "new");
    const store = openRoot();
    await store.check();
    await store.write(id, "data/1.dat", body("x"));
    await store.writeText(id, manifestName, "{}");
    await store.writeRoot("metrics.prom", "x");
    const modeOf = async (...at: string[]) => (await stat(path.join(root, ...at))).mode & 0o777;
    for (const folder of [[], [id], [id, "data"]]) expect(await modeOf(...folder)).toBe(0o700);
    for (const file of [[id, "data", "1.dat"], [id, manifestName], ["metrics.prom"]])
      expect(await modeOf(...file)).toBe(0o600);
  });

  test("foreign entries are left alone", async () => {
    const store = openRoot();
    await store.writeText(id, manifestName, "{}");
    await mkdir(path.join(root, "lost+found"));
    await writeFile(path.join(root, "20261125T040000Z-aaaaaa"), "a file");
    await symlink("/etc", path.join(root, "20261125T050000Z-aaaaaa"));
    expect(await store.list()).toEqual([id]);
    expect(await store.listIncomplete()).toEqual([]);
  });

  test("a half-written file that a kill left is not listed", async () => {
    const store = openRoot();
    await store.write(id, "data/1.dat", body("x"));
    await writeFile(path.join(root, id, "data", ".2.dat.0123456789ab.partial"), "half");
    expect(await store.files(id)).toEqual([{ name: "data/1.dat", bytes: 1 }]);
    await store.remove(id);
    expect(await readdir(root)).toEqual([]);
  });

  test("links are not followed", async () => {
    const outside = await mkdtemp(path.join(parent, "outside-"));
    await writeFile(path.join(outside, "secret"), "secret");
    const store = openRoot();
    await store.writeText(id, manifestName, "{}");
    await symlink(path.join(outside, "secret"), path.join(root, id, "link"));
    await symlink(outside, path.join(root, id, "data"));
    expect((await refusal(store.read(id, "link"))).message).toContain("is a link");
    expect((await refusal(store.readText(id, "link"))).message).toContain("is a link");
    expect((await refusal(store.read(id, "data/secret"))).message).toContain("is a link");
    expect((await refusal(store.write(id, "data/new", body("x")))).message).toContain("is a link");
    expect((await refusal(store.writeText(id, "data/secret", "x"))).message).toContain("is a link");
    // They are listed, so that a check finds them.
    expect((await store.files(id)).map((file) => file.name)).toEqual(["data", "link", manifestName]);
    await store.writeText(id, "link", "new");
    await store.remove(id);
    expect(await readFile(path.join(outside, "secret"), "utf8")).toBe("secret");
    const linked = newBackupId(new Date("2026-11-26T03:00:00Z"));
    await symlink(outside, path.join(root, linked));
    expect((await refusal(store.files(linked))).message).toContain("is a link");
    await store.remove(linked);
    expect(await readdir(outside)).toEqual(["secret"]);
    expect(await readdir(root)).toEqual([]);
  });

  test("a root that is a link is used", async () => {
    const link = path.join(parent, "link");
    await symlink(root, link);
    const store = openFolderStore({ kind: "folder", directory: link });
    await store.write(id, "data/1.dat", body("x"));
    expect(`${await bytesOf(await store.read(id, "data/1.dat"))}`).toBe("x");
  });

  test("a folder that is not there is named, and only check makes it", async () => {
    root = path.join(root, "not", "there");
    const error = await refusal(openRoot().list());
    expect(error.code).toBe("not_found");
    expect(error.message).toContain(root);
    await openRoot().check();
    expect(await openRoot().list()).toEqual([]);
    expect(await readdir(root)).toEqual([]);
  });

  test("a file in the folder's place is named", async () => {
    const file = path.join(root, "file");
    await writeFile(file, "");
    for (const directory of [file, path.join(file, "below")]) {
      const store = openFolderStore({ kind: "folder", directory });
      for (const outcome of [
        () => store.check(),
        () => store.list(),
        () => store.writeText(id, manifestName, "{}"),
      ]) {
        const error = await refusal(outcome());
        expect(error.code).toBe("invalid_input");
        expect(error.message).toContain("no folder");
      }
    }
  });

  test("no file stays open, of whatever end a read came to", async () => {
    const store = openRoot();
    await store.write(id, "data/1.dat", Readable.from([Buffer.alloc(2_000_000)], { objectMode: false }));
    const open = async () => (await readdir("/dev/fd")).length;
    const before = await open();
    for (let i = 0; i < 30; i++) {
      (await store.read(id, "data/1.dat")).destroy();
      const begun = await store.read(id, "data/1.dat");
      begun.once("data", () => begun.destroy());
      await bytesOf(await store.read(id, "data/1.dat"));
      await refusal(store.read(id, "data/none.dat"));
    }
    await expect.poll(open).toBeLessThan(before + 5);
  });

  test("every expected fault has a sentence with the place; others stay as they are", () => {
    for (const code of [
      "ENOSPC",
      "EDQUOT",
      "EFBIG",
      "EACCES",
      "EPERM",
      "EROFS",
      "ENOENT",
      "ENOTDIR",
      "EISDIR",
      "EIO",
    ]) {
      const fault = fileFault(Object.assign(new Error(code), { code }), "/backups");
      expect(fault).toBeInstanceOf(AppError);
      expect(String(fault)).toMatch(/\/backups.*[;,].*\.$/);
    }
    const other = new Error("a defect");
    expect(fileFault(other, "/backups")).toBe(other);
    const known = new AppError("conflict", "x");
    expect(fileFault(known, "/backups")).toBe(known);
  });

  test("a body that fails with a file's error keeps it", async () => {
    const broken = Object.assign(new Error("no such dump"), { code: "ENOENT" });
    const failing = new Readable({
      read() {
        this.destroy(broken);
      },
    });
    await expect(openRoot().write(id, "data/1.dat", failing)).rejects.toBe(broken);
    // Nor is there a half-written file, which no listing would show.
    expect(await readdir(path.join(root, id, "data"))).toEqual([]);
  });
});
