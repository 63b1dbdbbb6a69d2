import { randomBytes } from "node:crypto";
import pg from "pg";
import { AppError } from "../core/errors.ts";
import { readInstallation } from "../migrate/ledger.ts";
import { connectForBackup } from "./snapshot.ts";

/** A database that a backup is to be restored into, as it is now. */
export interface Target {
  name: string;
  major: number;
  /** Null when nothing of this program is in it. */
  installation: string | null;
  /** Nothing that anybody made is in it. */
  empty: boolean;
  /** Some things that are in it, for the message. */
  holds: string[];
  /** Whether its user can make a database beside it. */
  canCreate: boolean;
  /** Whether its user can exchange it with such a one. */
  canSwap: boolean;
  /** The roles of the server. */
  roles: Set<string>;
}

export async function inspectTarget(connectionString: string): Promise<Target> {
  const client = await connectForBackup(connectionString);
  try {
    const { rows } = await client.query<{
      name: string;
      number: number;
      creates: boolean;
      owns: boolean;
      roles: string[];
    }>(
      `SELECT current_database() AS name, current_setting('server_version_num')::int AS number,
              r.rolsuper OR r.rolcreatedb AS creates, pg_has_role(d.datdba, 'USAGE') AS owns,
              array(SELECT rolname::text FROM pg_roles) AS roles
       FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`,
    );
    const found = await client.query<{ what: string }>(
      `SELECT what FROM (
         SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' ELSE 'table ' END || c.oid::regclass AS what
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'S', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
         UNION ALL SELECT 'schema ' || nspname FROM pg_namespace
         WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('public', 'information_schema')
         UNION ALL SELECT 'function ' || f.proname FROM pg_proc f
         WHERE f.pronamespace = 'public'::regnamespace
           AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = f.oid AND e.deptype = 'e')) everything
       ORDER BY 1 DESC`,
    );
    const holds = found.rows.map(({ what }) => what);
    const canCreate = rows[0]?.creates === true && (await canReachMaintenance(connectionString));
    return {
      name: rows[0]?.name ?? "",
      major: Math.floor((rows[0]?.number ?? 0) / 10_000),
      installation: await readInstallation(client),
      empty: holds.length === 0,
      holds,
      canCreate,
      canSwap: canCreate && rows[0]?.owns === true,
      roles: new Set(rows[0]?.roles ?? []),
    };
  } finally {
    await client.end();
  }
}

/** The same server's database of another name. */
export function databaseUrl(connectionString: string, name: string): string {
  const url = new URL(connectionString);
  url.pathname = `/${encodeURIComponent(name)}`;
  return url.href;
}

/** A database of the server that is there for such work: the one to be exchanged must not be the one connected to. */
const maintenance = "postgres";

async function canReachMaintenance(connectionString: string): Promise<boolean> {
  const client = await connectForBackup(databaseUrl(connectionString, maintenance)).catch(() => undefined);
  await client?.end();
  return client !== undefined;
}

async function onServer<T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connectForBackup(databaseUrl(connectionString, maintenance));
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => {});
  }
}

/** A database beside the real one. */
export interface Aside {
  name: string;
  connectionString: string;
  drop(): Promise<void>;
  /** Gives the name up to be kept: it is the real database now. */
  keep(): Promise<void>;
}

/**
 * Makes an empty database beside the one of the connection string, alike in encoding and collation. While it is in use
 * its name is locked, so that what a killed run left behind is told from what another run works on, and removed.
 */
export async function makeAside(
  connectionString: string,
  original: string,
  purpose: "restore" | "drill" | "check",
): Promise<Aside> {
  const server = await connectForBackup(databaseUrl(connectionString, maintenance));
  try {
    const stem = `${original.slice(0, 36)}_${purpose}_`;
    await removeLeftovers(server, stem);
    const name = `${stem}${randomBytes(5).toString("hex")}`;
    await server.query("SELECT pg_advisory_lock(hashtextextended($1, 0))", [name]);
    await server.query(
      `CREATE DATABASE ${pg.escapeIdentifier(name)} TEMPLATE template0 ${await likeness(server, original)}`,
    );
    return {
      name,
      connectionString: databaseUrl(connectionString, name),
      async drop() {
        await server.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
        await server.end();
      },
      keep: async () => await server.end(),
    };
  } catch (error) {
    await server.end().catch(() => {});
    throw error;
  }
}

async function removeLeftovers(server: pg.Client, stem: string): Promise<void> {
  const { rows } = await server.query<{ name: string }>(
    "SELECT datname AS name FROM pg_database WHERE left(datname, length($1)) = $1 AND substr(datname, length($1) + 1) ~ '^[0-9a-f]{10}$'",
    [stem],
  );
  for (const { name } of rows) {
    const lock = await server.query<{ free: boolean }>(
      "SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS free",
      [name],
    );
    if (lock.rows[0]?.free !== true) continue;
    await server.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`).catch(() => {});
    await server.query("SELECT pg_advisory_unlock(hashtextextended($1, 0))", [name]);
  }
}

/** The clauses that make a new database sort and encode as another does; a column that came with PostgreSQL 17 has two names. */
async function likeness(server: pg.Client, name: string): Promise<string> {
  const { rows } = await server.query<{ row: Record<string, string | null> }>(
    `SELECT to_jsonb(d) || jsonb_build_object('encoding', pg_encoding_to_char(d.encoding)) AS row
     FROM pg_database d WHERE datname = $1`,
    [name],
  );
  const row = rows[0]?.row;
  if (row === undefined) return "";
  const text = (value: string | null | undefined) => pg.escapeLiteral(value ?? "");
  const locale = row.datlocale ?? row.daticulocale;
  const provider =
    row.datlocprovider === "i"
      ? ` LOCALE_PROVIDER icu ICU_LOCALE ${text(locale)}`
      : row.datlocprovider === "b"
        ? ` LOCALE_PROVIDER builtin BUILTIN_LOCALE ${text(locale)}`
        : "";
  return `ENCODING ${text(row.encoding)} LC_COLLATE ${text(row.datcollate)} LC_CTYPE ${text(row.datctype)}${provider}`;
}

/**
 * Puts the aside database in the place of the real one, in one transaction: whoever connects finds the one or the
 * other, whole. Sessions on the real one are ended, and can come back at once. Returns the name under which what was
 * there is kept.
 */
export async function swap(connectionString: string, original: string, aside: string): Promise<string> {
  const stamp = new Date().toISOString().replace(/\D/g, "").slice(0, 14);
  const kept = `${original.slice(0, 38)}_replaced_${stamp}`;
  return await onServer(connectionString, async (client) => {
    await client.query("BEGIN");
    try {
      await copySettings(client, original, aside);
      // The first rename locks the name: nobody new comes in, and those who are in are asked to leave.
      const rename = client.query(
        `ALTER DATABASE ${pg.escapeIdentifier(original)} RENAME TO ${pg.escapeIdentifier(kept)}`,
      );
      await endSessions(connectionString, original, rename);
      await client.query(
        `ALTER DATABASE ${pg.escapeIdentifier(aside)} RENAME TO ${pg.escapeIdentifier(original)}`,
      );
      await client.query("COMMIT");
      return kept;
    } catch (error) {
      await client.query("ROLLBACK").catch(() => {});
      if (!(error instanceof Error && "code" in error && error.code === "55006")) throw error;
      throw new AppError(
        "conflict",
        `Sessions of other roles hold the database ${original}, and this one may not end them. Stop what uses it, then run this again. Nothing was changed.`,
        { cause: error },
      );
    }
  });
}

async function endSessions(connectionString: string, name: string, until: Promise<unknown>): Promise<void> {
  let over = false;
  const settled = until.finally(() => {
    over = true;
  });
  settled.catch(() => {});
  await onServer(connectionString, async (client) => {
    while (!over) {
      await client
        .query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = $1 AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
          [name],
        )
        // Sessions of a superuser cannot be ended by anybody else; the rename then says that they are there.
        .catch(() => {});
      await Promise.race([settled.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 100))]);
    }
  });
  await settled;
}

/** Settings whose value is a list, kept with each of its words quoted where need be; quoted once more it were one word. */
const lists =
  "'search_path', 'temp_tablespaces', 'local_preload_libraries', 'session_preload_libraries', 'unix_socket_directories'";

/** What belongs to a database itself and not to what is in it: its settings, its rights, its limit. */
async function copySettings(client: pg.Client, from: string, to: string): Promise<void> {
  const { rows } = await client.query<{ statement: string }>(
    `SELECT format(CASE WHEN split_part(o, '=', 1) IN (${lists}) THEN 'ALTER %s SET %I = %s' ELSE 'ALTER %s SET %I = %L' END,
                   CASE WHEN s.setrole = 0 THEN format('DATABASE %I', $2::text)
                        ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), $2::text) END,
                   split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)) AS statement
     FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) o WHERE d.datname = $1
     UNION ALL
     SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', $2::text) FROM pg_database
     WHERE datname = $1 AND datacl IS NOT NULL
     UNION ALL
     SELECT format('GRANT %s ON DATABASE %I TO %s', g.privilege_type, $2::text,
                   CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END)
     FROM pg_database d, aclexplode(d.datacl) g WHERE d.datname = $1
     UNION ALL
     SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', $2::text, datconnlimit) FROM pg_database
     WHERE datname = $1 AND datconnlimit <> -1`,
    [from, to],
  );
  for (const { statement } of rows) await client.query(statement);
}

export async function dropDatabase(connectionString: string, name: string): Promise<void> {
  await onServer(connectionString, async (client) => {
    await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
  });
}
