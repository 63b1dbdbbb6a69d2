import pg from "pg";
import { AppError } from "../core/errors.ts";
import { defaultWaitMs, type MigrateProgress, takeLock } from "../migrate/connection.ts";
import { readInstallation, readRecorded } from "../migrate/ledger.ts";
import { listTables, plainText, type Table } from "./contents.ts";

/** One moment of a database, held still for as long as it is open, however many connections read it. */
export interface Snapshot {
  connectionString: string;
  /** What other transactions name to see the same moment. */
  id: string;
  lsn: string;
  at: Date;
  server: { version: string; major: number };
  database: { name: string; installation: string; grantees: string[] };
  migrations: string[];
  tables: Table[];
  client: pg.Client;
  /** A further connection that sees the same moment. */
  connect(): Promise<pg.Client>;
  close(): Promise<void>;
}

/** A connection for long work: whatever a role or database limits for its applications is off. */
export async function connectForBackup(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString,
    application_name: "task-master-pro backup",
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  // A connection that breaks while idle fails the next query, which says so; unheard, it would end the process.
  client.on("error", () => {});
  await client.connect();
  await client.query(
    `SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; ${plainText}`,
  );
  return client;
}

const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

export async function openSnapshot(
  connectionString: string,
  progress: (event: MigrateProgress) => void,
): Promise<Snapshot> {
  const client = await connectForBackup(connectionString);
  try {
    // A migration in the middle of a backup would change what half of it has read; and it would wait for the backup's
    // locks all the same, but without a word.
    await takeLock(client, "shared", { waitMs: defaultWaitMs, progress });
    await client.query(begin);
    const { rows } = await client.query<{
      id: string;
      lsn: string;
      at: Date;
      version: string;
      number: number;
      name: string;
      grantees: string[];
    }>(
      `SELECT pg_export_snapshot() AS id, current_setting('server_version') AS version,
              current_setting('server_version_num')::int AS number, current_database() AS name, clock_timestamp() AS at,
              (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END)::text AS lsn,
              array(SELECT DISTINCT pg_get_userbyid(g.grantee)::text
                    FROM (SELECT relacl AS acl FROM pg_class UNION ALL SELECT nspacl FROM pg_namespace UNION ALL SELECT proacl FROM pg_proc) a,
                         aclexplode(a.acl) g
                    WHERE g.grantee NOT IN (0, 10) AND pg_get_userbyid(g.grantee) NOT LIKE 'pg\\_%' ORDER BY 1) AS grantees`,
    );
    const info = rows[0];
    if (info === undefined) throw new Error("the database said nothing of itself");
    const installation = await readInstallation(client);
    if (installation === null) {
      throw new AppError(
        "conflict",
        `The database ${info.name} has no schema of this program, so there is nothing to back up. ` +
          "Is it the right DATABASE_URL? If so: task-master-pro migrate up",
      );
    }
    const recorded = await readRecorded(client);
    const half = recorded.find(
      ({ finished, ledger }) => !finished || (ledger !== null && ledger.state !== "applied"),
    );
    if (half !== undefined) {
      throw new AppError(
        "conflict",
        `The migration ${half.name} is half done, and so would a backup be. Finish it first: task-master-pro migrate up`,
      );
    }
    return {
      connectionString,
      id: info.id,
      lsn: info.lsn,
      at: info.at,
      server: { version: info.version, major: Math.floor(info.number / 10_000) },
      database: { name: info.name, installation, grantees: info.grantees },
      migrations: recorded.map(({ name }) => name),
      tables: await listTables(client),
      client,
      async connect() {
        const other = await connectForBackup(connectionString);
        try {
          await other.query(begin);
          await other.query(`SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(info.id)}`);
          return other;
        } catch (error) {
          await other.end();
          throw error;
        }
      },
      close: async () => await client.end().catch(() => {}),
    };
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
}
