import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { type Manifest, manifestName, writeManifest } from "../../src/backup/manifest.ts";
import type { BackupStore } from "../../src/backup/store.ts";

/** A manifest of these files, in every part well-formed. */
export function manifestOf(id: string, files: ReadonlyMap<string, Buffer>): Manifest {
  const listed = [...files].map(([name, bytes]) => ({
    name,
    bytes: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
  }));
  return {
    format: 1,
    id,
    createdAt: "2026-11-25T03:00:00.123Z",
    finishedAt: "2026-11-25T03:00:09.456Z",
    durationMs: 9333,
    program: { version: "0.1.0" },
    server: { version: "18.4", major: 18 },
    database: { name: "täsk", installation: "0198f7a2-5e0b-7c3d-8a55-0123456789ab", grantees: ["reader"] },
    snapshot: { lsn: "0/16B3748", at: "2026-11-25T03:00:00.2Z" },
    schema: { head: "20261123000000_init", migrations: ["20261123000000_init"] },
    data: { form: "pg_dump", client: "18.4" },
    encryption: null,
    files: listed,
    tables: [{ schema: "public", name: "tasks", rows: 3, hash: "f00d" }],
    sequences: [{ schema: "public", name: "events_id_seq", value: "9223372036854775807", called: true }],
    bytes: listed.reduce((sum, file) => sum + file.bytes, 0),
  };
}

/** Stores a whole backup. */
export async function storeBackup(
  store: BackupStore,
  id: string,
  files: ReadonlyMap<string, Buffer>,
): Promise<Manifest> {
  const manifest = manifestOf(id, files);
  for (const [name, bytes] of files)
    await store.write(id, name, Readable.from([bytes], { objectMode: false }));
  await store.writeText(id, manifestName, writeManifest(manifest));
  return manifest;
}
