import type pg from "pg";
import { connect } from "./connection.ts";
import { readRecorded } from "./ledger.ts";
import { type MigrationFolder, readMigrations } from "./migrations.ts";

export interface MigrationState {
  name: string;
  state: "applied" | "pending" | "half applied" | "half reverted";
  kind: "expand" | "contract" | null;
  /** Whether the database keeps a script that takes it back; null while it is pending. */
  revertible: boolean | null;
  /** Whether this program has it. One that it does not have was applied by another release. */
  known: boolean;
  /** It was applied in another form than this program has. */
  edited: boolean;
}

export interface MigrationStatus {
  migrations: MigrationState[];
  applied: number;
  pending: number;
  /** Indexes that a killed or failed build left behind: maintained at every write and used by nobody. */
  invalidIndexes: string[];
}

/** Where a database stands, read without a lock. The folder is the package's by default. */
export async function migrationStatus(
  connectionString: string,
  folder?: MigrationFolder,
): Promise<MigrationStatus> {
  const { migrations } = folder ?? (await readMigrations());
  const client = await connect(connectionString);
  try {
    const recorded = new Map((await readRecorded(client)).map((one) => [one.name, one]));
    const known = new Map(migrations.map((migration) => [migration.name, migration]));
    const names = [...new Set([...known.keys(), ...recorded.keys()])].sort();
    const states = names.map((name): MigrationState => {
      const own = known.get(name);
      const theirs = recorded.get(name);
      return {
        name,
        state:
          theirs === undefined
            ? "pending"
            : theirs.ledger?.state === "reverting"
              ? "half reverted"
              : theirs.finished
                ? "applied"
                : "half applied",
        kind: theirs?.ledger?.kind ?? own?.kind ?? null,
        revertible: theirs === undefined ? null : typeof theirs.ledger?.down === "string",
        known: own !== undefined,
        edited: own !== undefined && theirs !== undefined && own.checksum !== theirs.checksum,
      };
    });
    const applied = states.filter(({ state }) => state === "applied").length;
    // Half done counts, also of a migration that another release has: somebody has to finish it.
    const pending = states.length - applied;
    return { migrations: states, applied, pending, invalidIndexes: await findInvalidIndexes(client) };
  } finally {
    await client.end();
  }
}

async function findInvalidIndexes(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT indexrelid::regclass::text AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     WHERE NOT indisvalid AND c.relnamespace = 'public'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
     ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}
