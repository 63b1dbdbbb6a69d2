import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isBackupId,
  type Manifest,
  nameFault,
  newBackupId,
  readManifest,
  startOf,
  writeManifest,
} from "../../../src/backup/manifest.ts";
import { AppError } from "../../../src/core/errors.ts";
import { manifestOf } from "../../support/backups.ts";

const id = "20261125T030000Z-1a2b3c";
const files = new Map([
  ["data/toc.dat", Buffer.from("toc")],
  ["data/3401.dat.gz", Buffer.from("rows")],
]);
const manifest = manifestOf(id, files);

function refusalOf(text: string, of = id): AppError {
  try {
    readManifest(text, of);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("it was read");
}

/** As a program with other ideas of a manifest would write it: a right digest over anything. */
function seal(value: unknown): string {
  const sha256 = createHash("sha256").update(JSON.stringify(value)).digest("hex");
  return JSON.stringify({ manifest: value, sha256 });
}

describe("manifest", () => {
  test("comes back as it was written, and is fit to be read by people", () => {
    const text = writeManifest(manifest);
    expect(readManifest(text, id)).toEqual(manifest);
    expect(text).toContain('\n      "name": "täsk"'.replace("      ", "      "));
    expect(text.endsWith("}\n")).toBe(true);
    const encrypted: Manifest = {
      ...manifest,
      schema: { head: null, migrations: [] },
      data: { form: "copy", client: null },
      encryption: { scheme: "age", recipients: ["age1xyz"] },
      tables: [],
      sequences: [],
    };
    expect(readManifest(writeManifest(encrypted), id)).toEqual(encrypted);
  });

  test("one flipped bit, wherever it is, is found", () => {
    const bytes = Buffer.from(writeManifest(manifest));
    let read = 0;
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const flipped = Buffer.from(bytes);
        flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << bit), at);
        try {
          // Blank space may become other blank space; what is read is then what was written.
          expect(readManifest(flipped.toString("utf8"), id)).toEqual(manifest);
          read++;
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }
    }
    expect(read).toBeLessThan(bytes.length / 10);
  });

  test("one that was cut off at any place is found", () => {
    const text = writeManifest(manifest);
    for (let length = 0; length < text.trimEnd().length; length++)
      expect(refusalOf(text.slice(0, length)).message).toContain("it is no JSON");
  });

  test("an edited manifest is found by its digest", () => {
    const text = writeManifest(manifest).replace('"rows": 3', '"rows": 4');
    const error = refusalOf(text);
    expect(error.code).toBe("conflict");
    expect(error.message).toContain("changed since");
  });

  test("one without its outer form is named so", () => {
    for (const text of ["null", "[]", "{}", JSON.stringify(manifest), '{"manifest":{},"sha256":"x"}'])
      expect(refusalOf(text).message).toContain("outer form");
  });

  test("one of a newer program asks for a newer release", () => {
    const error = refusalOf(seal({ ...manifest, format: 2, more: true }));
    expect(error.code).toBe("invalid_input");
    expect(error.message).toMatch(/format 2.*newer release/);
  });

  test("what is not as it must be is named by its pointer", () => {
    const [first] = manifest.tables;
    for (const [pointer, value] of [
      ["/tables/0/rows", { ...manifest, tables: [{ ...first, rows: -1 }] }],
      ["/createdAt", { ...manifest, createdAt: "yesterday" }],
      ["/files/0/sha256", { ...manifest, files: [{ name: "a", bytes: 1, sha256: "AB" }] }],
      ["/data/form", { ...manifest, data: { form: "tar", client: null } }],
      ["/database/installation", { ...manifest, database: { name: "x", installation: "y", grantees: [] } }],
      ["extra", { ...manifest, extra: 1 }],
    ] as const)
      expect(refusalOf(seal(value)).message).toContain(pointer);
  });

  test("a manifest of another backup is refused, by both names", () => {
    const other = "20261124T030000Z-ffffff";
    const error = refusalOf(writeManifest(manifest), other);
    expect(error.code).toBe("conflict");
    expect(error.message).toContain(`This manifest is of backup ${id}, not ${other}`);
  });

  test("file names that lead out, are no data, or are there twice are refused", () => {
    const withNames = (...names: string[]) =>
      seal({
        ...manifest,
        files: names.map((name) => ({ name, bytes: 0, sha256: "0".repeat(64) })),
        bytes: 0,
      });
    for (const [name, why] of [
      ["/etc/passwd", "is absolute"],
      ["../x", "climbs out"],
      ["data/../../x", "climbs out"],
      ["data\\x", "backslash"],
      ["data//x", "is not made of"],
      ["data/.x", "is not made of"],
      ["C:/x", "is not made of"],
      ["manifest.json", "is no file of data"],
      ["verification.json", "is no file of data"],
    ] as const)
      expect(refusalOf(withNames("data/ok", name)).message).toContain(why);
    expect(refusalOf(withNames("data/1", "data/2", "data/1")).message).toMatch(/files\/2.*twice/);
    expect(refusalOf(seal({ ...manifest, bytes: manifest.bytes + 1 })).message).toContain("/bytes");
  });
});

describe("names", () => {
  test("an id says when it was made, is unlike others, and sorts by age", () => {
    const at = new Date("2026-11-25T03:04:05.678Z");
    const made = newBackupId(at);
    expect(made).toMatch(/^20261125T030405Z-[0-9a-f]{6}$/);
    expect(isBackupId(made)).toBe(true);
    expect(startOf(made).toISOString()).toBe("2026-11-25T03:04:05.000Z");
    expect(new Set(Array.from({ length: 50 }, () => newBackupId(at))).size).toBeGreaterThan(45);
    const dates = fc.date({ min: new Date("1970-01-01"), max: new Date("9999-01-01"), noInvalidDate: true });
    fc.assert(
      fc.property(dates, dates, (a, b) => {
        if (Math.floor(a.getTime() / 1000) === Math.floor(b.getTime() / 1000)) return;
        expect(newBackupId(a) < newBackupId(b)).toBe(a < b);
      }),
    );
  });

  test("what is no id is none", () => {
    for (const text of ["", "..", "20261325T030000Z-000000", "20261125T030000Z-00000G", `${id}/`, `${id}\n`])
      expect(isBackupId(text), text).toBe(false);
  });

  test("whatever passes stays in its folder", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom("..", ".", "/", "\\", "a", "-", "\0", "é"), { maxLength: 8 }),
        (parts) => {
          const name = parts.join("");
          if (nameFault(name) !== undefined) return;
          expect(new URL(name, "file:///root/").pathname).toBe(`/root/${name}`);
        },
      ),
      { numRuns: 2000 },
    );
    expect(nameFault("data/toc.dat")).toBeUndefined();
    expect(nameFault(`data/${"x".repeat(600)}`)).toContain("512");
  });
});
