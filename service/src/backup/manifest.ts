import { createHash, randomBytes } from "node:crypto";
import { type Static, Type } from "typebox";
import { Compile } from "typebox/compile";
import { AppError } from "../core/errors.ts";

/** Written last: a folder without it is no backup. */
export const manifestName = "manifest.json";
/** What is known of a backup beside its manifest, which never changes. */
export const marksName = "verification.json";

const closed = { additionalProperties: false };
const Instant = Type.String({ pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?Z$" });
const Count = Type.Integer({ minimum: 0 });
const Name = Type.String({ minLength: 1 });
const Sha256 = Type.String({ pattern: "^[0-9a-f]{64}$" });
const idPattern = "^\\d{8}T\\d{6}Z-[0-9a-f]{6}$";

export const ManifestFile = Type.Object({ name: Name, bytes: Count, sha256: Sha256 }, closed);
export type ManifestFile = Static<typeof ManifestFile>;

/** What a backup holds. Instants are ISO 8601 in UTC; sizes and sums are of the files as stored, so after encryption. */
export const Manifest = Type.Object(
  {
    format: Type.Literal(1),
    id: Type.String({ pattern: idPattern }),
    createdAt: Instant,
    finishedAt: Instant,
    durationMs: Count,
    program: Type.Object({ version: Name }, closed),
    server: Type.Object({ version: Name, major: Count }, closed),
    database: Type.Object(
      {
        name: Name,
        installation: Type.String({ pattern: "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" }),
        /** The roles that something was granted to: a server without them cannot take the grants. */
        grantees: Type.Array(Name),
      },
      closed,
    ),
    snapshot: Type.Object({ lsn: Name, at: Instant }, closed),
    schema: Type.Object({ head: Type.Union([Name, Type.Null()]), migrations: Type.Array(Name) }, closed),
    data: Type.Object(
      {
        form: Type.Enum(["pg_dump", "copy"], { type: "string" }),
        client: Type.Union([Name, Type.Null()]),
      },
      closed,
    ),
    encryption: Type.Union([
      Type.Null(),
      Type.Object({ scheme: Type.Literal("age"), recipients: Type.Array(Name, { minItems: 1 }) }, closed),
    ]),
    files: Type.Array(ManifestFile),
    tables: Type.Array(Type.Object({ schema: Name, name: Name, rows: Count, hash: Type.String() }, closed)),
    sequences: Type.Array(
      Type.Object({ schema: Name, name: Name, value: Type.String(), called: Type.Boolean() }, closed),
    ),
    bytes: Count,
  },
  closed,
);
export type Manifest = Static<typeof Manifest>;

const manifests = Compile(Manifest);
const envelopes = Compile(
  Type.Object({ manifest: Type.Object({ format: Type.Integer() }), sha256: Sha256 }, closed),
);

/** `YYYYMMDDTHHMMSSZ-xxxxxx`: UTC, so that names sort by age, and six random digits for two at the same second. */
export function newBackupId(now: Date): string {
  const stamp = now.toISOString().replace(/\.\d+Z$/, "Z");
  return `${stamp.replace(/[-:]/g, "")}-${randomBytes(3).toString("hex")}`;
}

/** Whether a folder's name is one of ours; whatever else lies beside the backups is left alone. */
export function isBackupId(text: string): boolean {
  return new RegExp(idPattern).test(text) && !Number.isNaN(startOf(text).getTime());
}

/** When the backup of this id was started, to the second. */
export function startOf(id: string): Date {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(id) ?? [];
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}

/**
 * Throws for an id that is none: it comes from a command line, and becomes a folder's name or a key's beginning.
 */
export function assertBackupId(id: string): void {
  if (isBackupId(id)) return;
  throw new AppError(
    "invalid_input",
    `${JSON.stringify(id)} is no backup's name; they look like 20261125T030000Z-1a2b3c, and "backup list" shows them.`,
  );
}

/**
 * What is wrong with a file's name inside a backup; undefined when nothing is. A manifest comes from outside: a name such
 * as ../../etc/passwd would be written to. The letters allowed are those that every file system and object store takes
 * as they are; a first dot is kept for half-written files.
 */
export function nameFault(name: string): string | undefined {
  if (name.startsWith("/")) return "is absolute";
  if (name.includes("\\")) return "has a backslash";
  const segments = name.split("/");
  if (segments.includes("..")) return 'climbs out of its folder with ".."';
  if (!segments.every((segment) => /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/.test(segment)))
    return 'is not made of letters, digits, "_", "-" and "." alone, with "/" between folders';
  return name.length > 512 ? "is longer than 512 characters" : undefined;
}

/** Throws for a name that nameFault finds wrong. */
export function assertFileName(name: string): void {
  const fault = nameFault(name);
  if (fault !== undefined)
    throw new AppError(
      "invalid_input",
      `The file name ${JSON.stringify(name)} ${fault}; no backup has such a file.`,
    );
}

/** The text to store: the manifest with the SHA-256 of its JSON text, so that one flipped bit in it is found. */
export function writeManifest(manifest: Manifest): string {
  return `${JSON.stringify({ manifest, sha256: digest(manifest) }, null, 2)}\n`;
}

/**
 * Reads what writeManifest wrote, found in the folder of the backup `id`. Throws AppError (conflict for a damaged or
 * foreign manifest, invalid_input for one of a newer program) that names what is wrong.
 */
export function readManifest(text: string, id: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(id, "it is no JSON", error);
  }
  if (!envelopes.Check(value)) {
    const broken = envelopes.Errors(value).map((error) => `${error.instancePath || "/"} ${error.message}`);
    throw damaged(id, `it lacks its outer form (${broken.join("; ")})`);
  }
  if (digest(value.manifest) !== value.sha256)
    throw damaged(id, "it does not have the SHA-256 that it was written with, so it was changed since");
  const manifest: unknown = value.manifest;
  if (value.manifest.format !== 1) {
    throw new AppError(
      "invalid_input",
      `The manifest of backup ${id} has the format ${value.manifest.format}, and this program reads the format 1; use the newer release that wrote it.`,
    );
  }
  if (!manifests.Check(manifest)) {
    const faults = manifests.Errors(manifest).map((error) => `${error.instancePath || "/"} ${error.message}`);
    throw damaged(id, `it is not as it must be (${faults.join("; ")})`);
  }
  if (manifest.id !== id) {
    throw new AppError(
      "conflict",
      `This manifest is of backup ${manifest.id}, not ${id}; put each backup back into the folder of its own name.`,
    );
  }
  const fault = fileFault(manifest);
  if (fault !== undefined) throw damaged(id, fault);
  return manifest;
}

function fileFault(manifest: Manifest): string | undefined {
  const seen = new Set<string>();
  for (const [index, file] of manifest.files.entries()) {
    const at = `/files/${index}/name ${JSON.stringify(file.name)}`;
    const fault = nameFault(file.name);
    if (fault !== undefined) return `${at} ${fault}`;
    if (file.name === manifestName || file.name === marksName) return `${at} is no file of data`;
    if (seen.has(file.name)) return `${at} is there twice`;
    seen.add(file.name);
  }
  const sum = manifest.files.reduce((total, file) => total + file.bytes, 0);
  return sum === manifest.bytes ? undefined : `/bytes is ${manifest.bytes}, and its files have ${sum}`;
}

function digest(manifest: unknown): string {
  return createHash("sha256").update(JSON.stringify(manifest)).digest("hex");
}

function damaged(id: string, what: string, cause?: unknown): AppError {
  return new AppError(
    "conflict",
    `The manifest of backup ${id} is damaged: ${what}. Use another backup, or bring ${manifestName} back from a copy.`,
    cause === undefined ? {} : { cause },
  );
}
