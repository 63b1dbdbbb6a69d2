import { readFile, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { generateIdentity, identityToRecipient } from "age-encryption";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createBackup } from "../../src/backup/create.ts";
import { drillBackup, readDrills, type Smoke } from "../../src/backup/drill.ts";
import { createDecryption, createEncryption } from "../../src/backup/encryption.ts";
import { type Manifest, writeManifest } from "../../src/backup/manifest.ts";
import { writeMetrics } from "../../src/backup/metrics.ts";
import { pruneBackups } from "../../src/backup/prune.ts";
import { type RestoreOptions, restoreBackup } from "../../src/backup/restore.ts";
import { verifyBackup } from "../../src/backup/verify.ts";
import { applyMigrations } from "../../src/migrate/apply.ts";
import { openPostgres } from "../../src/storage/postgres/open.ts";
import {
  ask,
  contentsOf,
  copyFolder,
  databasesLike,
  dataFiles,
  dropDatabases,
  flip,
  nameOf,
  openTestRun,
  runNode,
  type TestRun,
} from "./backup.ts";
import type { ChildOrder } from "./backup-child.ts";
import { openTestCore, type TestCore } from "./core.ts";
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from "./database.ts";
import { fill } from "./migrations.ts";

const proven: Smoke = { ok: true, steps: [], ms: 1 };

/** What a backup of either form must do; `embedded` asks for the form without pg_dump. */
export function backupContract(embedded: boolean): void {
  let core: TestCore;
  let kept: TestRun;
  let made: Manifest;
  const source = () => ({ connectionString: core.connectionString, embedded });
  const restore = (run: TestRun, to: string, more: Partial<RestoreOptions> = {}) =>
    restoreBackup(run.run, {
      id: made.id,
      connectionString: to,
      embedded,
      replace: false,
      migrate: true,
      ...more,
    });
  /** Runs `work` with an empty database, which is dropped with all that was made beside it. */
  const withDatabase = async (
    create: () => Promise<TestDatabase>,
    work: (connectionString: string) => Promise<void>,
  ) => {
    const database = await create();
    try {
      await work(database.connectionString);
    } finally {
      await dropDatabases(await databasesLike(nameOf(database.connectionString)));
    }
  };

  beforeAll(async () => {
    core = await openTestCore();
    await fill(core);
    // What a text form may get wrong: ends of lines, the separators and the null of COPY, quotes, every plane of Unicode.
    await ask(
      core.connectionString,
      `UPDATE tasks SET details = E'tab\\t, line\\n, return\\r, \\\\N, \\\\., "quoted", ''single'', 한국어, 🥐, \\u0001',
              metadata = '{"a": [1.0, 1e400, null, "\\u00e9"]}', labels = ARRAY['a,b', '{c}', NULL, '']
       WHERE id = (SELECT id FROM tasks LIMIT 1)`,
    );
    kept = await openTestRun();
    made = await createBackup(kept.run, source());
  });
  afterAll(async () => {
    await kept.close();
    await core.close();
  });

  test("a backup comes back into an empty database with every row, hash, sequence and constraint, and serves", async () => {
    expect(made.data.form).toBe(embedded ? "copy" : "pg_dump");
    expect(made.tables.length).toBeGreaterThan(15);
    expect(made.tables.filter(({ rows }) => rows === 0)).toEqual([]);
    expect(made).toMatchObject({
      database: { name: nameOf(core.connectionString) },
      program: { version: "0.0.0-test" },
      encryption: null,
    });
    expect(made.snapshot.lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    await withDatabase(createEmptyDatabase, async (to) => {
      const report = await restore(kept, to);
      expect(report).toMatchObject({ migrated: [], safetyBackup: null, kept: null });
      const contents = await contentsOf(to);
      expect(contents).toEqual(await contentsOf(core.connectionString));
      for (const { schema, name, rows, hash } of made.tables) {
        expect(contents[`${schema}.${name}`]).toBe(`${rows} ${hash}`);
      }
      const storage = await openPostgres({ connectionString: to, poolSize: 2, statementTimeoutMs: 10_000 });
      expect(await storage.check()).toMatchObject({ database: { ok: true }, migrations: { ok: true } });
      expect(await storage.identity.countOrganizations()).toBe(1);
      await storage.close();
      // The sequence goes on behind the rows.
      await ask(
        to,
        "INSERT INTO events (organization_id, type, actor_kind, actor_name, request_id, data) SELECT organization_id, 'x', 'system', 'x', 'x', '{}' FROM events LIMIT 1",
      );
      expect(await databasesLike(`${nameOf(to)}_`)).toEqual([]);
    });
  });

  test("is of one moment, while others write", async () => {
    const { connectionString } = core;
    // Every transaction moves one unit between two rows, so that any moment has the same sum.
    await ask(
      connectionString,
      "INSERT INTO users (id, email, name, subject) SELECT gen_random_uuid(), 'unit' || g, 'unit', 100 FROM generate_series(1, 2) g",
    );
    const writer = new pg.Client({ connectionString });
    await writer.connect();
    let writes = 0;
    let over = false;
    const move = (email: string, by: number) =>
      `UPDATE users SET subject = subject::int + ${by} WHERE email = '${email}'`;
    const writing = (async () => {
      while (!over) {
        await writer.query(`BEGIN; ${move("unit1", -1)}; ${move("unit2", 1)}; COMMIT`);
        writes += 1;
      }
    })();
    const run = await openTestRun();
    try {
      const { id } = await createBackup(run.run, source());
      over = true;
      await writing;
      await withDatabase(createEmptyDatabase, async (to) => {
        await restore(run, to, { id });
        expect(await ask(to, "SELECT sum(subject::int)::int AS sum FROM users WHERE name = 'unit'")).toEqual([
          { sum: 200 },
        ]);
      });
      expect(writes).toBeGreaterThan(10);
    } finally {
      over = true;
      await writing;
      await writer.end();
      await run.close();
      await ask(connectionString, "DELETE FROM users WHERE name = 'unit'");
    }
  });

  test("what somebody made by hand is backed up as well, or refused at once where that cannot be", async () => {
    await ask(core.connectionString, "CREATE TABLE by_hand (id int); INSERT INTO by_hand VALUES (7)");
    const run = await openTestRun();
    try {
      if (embedded) {
        // That form builds its schema from the migrations, and no migration makes this table.
        await expect(createBackup(run.run, source())).rejects.toThrow(/there by hand: table by_hand/);
        expect(await run.run.store.listIncomplete()).toEqual([]);
        expect(await databasesLike(`${nameOf(core.connectionString)}_`)).toEqual([]);
      } else {
        const { id } = await createBackup(run.run, source());
        await withDatabase(createEmptyDatabase, async (to) => {
          await restore(run, to, { id });
          expect(await ask(to, "SELECT id FROM by_hand")).toEqual([{ id: 7 }]);
        });
      }
    } finally {
      await ask(core.connectionString, "DROP TABLE by_hand");
      await run.close();
    }
  });

  describe("a damaged backup is refused by verify, restore and drill, and the database stays as it is:", () => {
    const damages: [string, (backup: string, other: string) => Promise<void>, RegExp][] = [
      ["a flipped bit", async (backup) => flip((await dataFiles(backup))[0] ?? ""), /SHA-256/],
      [
        "a flipped bit in the smallest file",
        async (backup) => flip((await dataFiles(backup)).at(-1) ?? ""),
        /SHA-256/,
      ],
      [
        "a truncated file",
        async (backup) => {
          const file = (await dataFiles(backup))[0] ?? "";
          await truncate(file, Math.floor((await readFile(file)).length / 2));
        },
        /bytes instead of/,
      ],
      [
        "an emptied file",
        async (backup) => truncate((await dataFiles(backup))[0] ?? "", 0),
        /0 bytes instead of/,
      ],
      ["a missing file", async (backup) => rm((await dataFiles(backup))[1] ?? ""), /is missing/],
      [
        "an extra file",
        async (backup) => writeFile(path.join(backup, "data/extra"), "x"),
        /no file of this backup/,
      ],
      [
        "a flipped bit in the manifest",
        async (backup) => flip(path.join(backup, "manifest.json")),
        /manifest|JSON/,
      ],
      [
        "the manifest of another backup",
        async (backup, other) =>
          writeFile(path.join(backup, "manifest.json"), await readFile(path.join(other, "manifest.json"))),
        /is of backup/,
      ],
      [
        "two files exchanged",
        async (backup) => {
          const [a = "", b = ""] = await dataFiles(backup);
          const [first, second] = [await readFile(a), await readFile(b)];
          await writeFile(a, second);
          await writeFile(b, first);
        },
        /bytes instead of|SHA-256/,
      ],
    ];

    test.each(damages)("%s", async (_name, damage, message) => {
      const run = await openTestRun();
      const other = (await createBackup(kept.run, source())).id;
      try {
        const folder = path.join(run.directory, made.id);
        await copyFolder(path.join(kept.directory, made.id), folder);
        await damage(folder, path.join(kept.directory, other));
        await expect(verifyBackup(run.run, made.id)).rejects.toThrow(message);
        await withDatabase(createTestDatabase, async (to) => {
          const before = await contentsOf(to);
          await expect(restore(run, to, { replace: true })).rejects.toThrow(message);
          await expect(
            drillBackup(run.run, { id: made.id, connectionString: to, smoke: async () => proven }),
          ).rejects.toThrow(message);
          expect(await contentsOf(to)).toEqual(before);
          expect(await databasesLike(`${nameOf(to)}_`)).toEqual([]);
        });
        expect((await readDrills(run.run)).at(-1)).toMatchObject({
          ok: false,
          problem: expect.stringMatching(message),
        });
      } finally {
        await run.close();
        await kept.run.store.remove(other);
      }
    });
  });

  test("a restore or drill that ends with other rows than were counted, or other values, says which, and is undone", async () => {
    const run = await openTestRun();
    try {
      const folder = path.join(run.directory, made.id);
      await copyFolder(path.join(kept.directory, made.id), folder);
      const change = async (name: string, to: { rows?: number; hash?: string }) => {
        const tables = made.tables.map((table) => (table.name === name ? { ...table, ...to } : table));
        await writeFile(path.join(folder, "manifest.json"), writeManifest({ ...made, tables }));
      };
      await withDatabase(createTestDatabase, async (to) => {
        const before = await contentsOf(to);
        for (const [changed, message] of [
          [{ hash: "0".repeat(32) }, /public\.tasks has other values/],
          [{ rows: 1_000_000 }, /public\.tasks has \d+ rows instead of 1000000/],
        ] as const) {
          await change("tasks", changed);
          await expect(restore(run, to, { replace: true })).rejects.toThrow(message);
          await expect(
            drillBackup(run.run, { id: made.id, connectionString: to, smoke: async () => proven }),
          ).rejects.toThrow(message);
        }
        expect(await contentsOf(to)).toEqual(before);
        expect(await databasesLike(`${nameOf(to)}_`)).toEqual([]);
      });
    } finally {
      await run.close();
    }
  });

  test("encrypted, it opens with the right key only", async () => {
    const [right, wrong] = [await generateIdentity(), await generateIdentity()];
    const run = await openTestRun({ encryption: createEncryption([await identityToRecipient(right)]) });
    try {
      const manifest = await createBackup(run.run, source());
      expect(manifest.encryption?.recipients).toEqual([await identityToRecipient(right)]);
      for (const file of await dataFiles(path.join(run.directory, manifest.id))) {
        expect((await readFile(file)).subarray(0, 21).toString()).toBe("age-encryption.org/v1");
      }
      await verifyBackup(run.run, manifest.id);
      await withDatabase(createEmptyDatabase, async (to) => {
        await expect(restore(run, to, { id: manifest.id })).rejects.toThrow(
          /encrypted for age1.*TASKMASTER_BACKUP_AGE_IDENTITY_FILE/,
        );
        const keyed = (identity: string) => ({
          ...run,
          run: { ...run.run, decryption: createDecryption([identity]) },
        });
        await expect(restore(keyed(wrong), to, { id: manifest.id })).rejects.toThrow(
          /None of the given keys/,
        );
        expect(Object.keys(await contentsOf(to))).toEqual(["schema"]);
        await restore(keyed(right), to, { id: manifest.id });
        expect(await contentsOf(to)).toEqual(await contentsOf(core.connectionString));
      });
    } finally {
      await run.close();
    }
  });

  describe("restoring where something is", () => {
    test("is refused without --replace, naming what is there", async () => {
      await withDatabase(createTestDatabase, async (to) => {
        const before = await contentsOf(to);
        await expect(restore(kept, to)).rejects.toThrow(/is not empty: it holds .* --replace/);
        expect(await contentsOf(to)).toEqual(before);
      });
    });

    test("takes its place in one step, under clients at work, with its settings and rights, and keeps what was there", async () => {
      await withDatabase(createTestDatabase, async (to) => {
        const name = nameOf(to);
        const role = `r_${name}`;
        await ask(
          to,
          `CREATE ROLE ${role} NOLOGIN; GRANT CONNECT, CREATE ON DATABASE ${name} TO ${role}; ALTER DATABASE ${name} SET work_mem = '5MB';
           ALTER ROLE ${role} IN DATABASE ${name} SET search_path = public, extra; ALTER DATABASE ${name} CONNECTION LIMIT 77`,
        );
        const settings = `SELECT array(SELECT a::text FROM unnest(d.datacl) a ORDER BY 1) AS acl, d.datconnlimit AS connections, array(SELECT s.setconfig::text FROM pg_db_role_setting s WHERE s.setdatabase = d.oid ORDER BY s.setrole) AS settings
                          FROM pg_database d WHERE datname = current_database()`;
        const wanted = await ask(to, settings);
        await ask(to, "INSERT INTO organizations (id, slug, name) VALUES (gen_random_uuid(), 'old', 'old')");
        // A pool that never stops asking, as a server's does.
        const pool = new pg.Pool({ connectionString: to, max: 4 });
        pool.on("error", () => {});
        let over = false;
        const seen = new Set<string>();
        const clients = Array.from({ length: 4 }, async () => {
          while (!over) {
            const answer = await pool
              .query<{ slugs: string }>(
                "SELECT coalesce(string_agg(slug, ' ' ORDER BY slug), '') AS slugs FROM organizations",
              )
              .catch(() => undefined);
            if (answer !== undefined) seen.add(answer.rows[0]?.slugs ?? "");
          }
        });
        const report = await restore(kept, to, { replace: true });
        over = true;
        await Promise.all(clients);
        await pool.end();
        // Old or new, whole; nothing else was ever there.
        expect([...seen].every((slugs) => slugs === "old" || slugs === "first")).toBe(true);
        expect(seen.has("old")).toBe(true);
        expect(await contentsOf(to)).toEqual(await contentsOf(core.connectionString));
        expect(await ask(to, settings)).toEqual(wanted);
        expect(report.kept).toMatch(new RegExp(`^${name.slice(0, 38)}_replaced_\\d{14}$`));
        expect(await databasesLike(`${name}_`)).toEqual([report.kept]);
        const old = new URL(to);
        old.pathname = `/${report.kept}`;
        expect(await ask(old.href, "SELECT slug FROM organizations")).toEqual([{ slug: "old" }]);
        await verifyBackup(kept.run, report.safetyBackup ?? "");
        await dropDatabases([report.kept ?? ""]);
        await ask(to, `DROP OWNED BY ${role}; DROP ROLE ${role}`);
        await kept.run.store.remove(report.safetyBackup ?? "");
      });
    });

    test("of another installation, or of another program, is refused", async () => {
      await withDatabase(createTestDatabase, async (to) => {
        await ask(to, "UPDATE migrate.installation SET id = gen_random_uuid()");
        const before = await contentsOf(to);
        await expect(restore(kept, to, { replace: true })).rejects.toThrow(/is of another installation/);
        expect(await contentsOf(to)).toEqual(before);
      });
      await withDatabase(createEmptyDatabase, async (to) => {
        await ask(to, "CREATE TABLE somebody_elses (a int)");
        await expect(restore(kept, to, { replace: true })).rejects.toThrow(
          /holds what is not of this program/,
        );
      });
    });

    test("stays as it was when the safety backup fails", async () => {
      const run = await openTestRun();
      await withDatabase(createTestDatabase, async (to) => {
        await copyFolder(path.join(kept.directory, made.id), path.join(run.directory, made.id));
        const before = await contentsOf(to);
        const store = {
          ...run.run.store,
          writeText: async () => await Promise.reject(new Error("the store went away")),
        };
        await expect(restore({ ...run, run: { ...run.run, store } }, to, { replace: true })).rejects.toThrow(
          "the store went away",
        );
        expect(await contentsOf(to)).toEqual(before);
        expect(await databasesLike(`${nameOf(to)}_`)).toEqual([]);
      });
      await run.close();
    });
  });

  test("by a user who may not make databases, it goes into an empty one, and replaces none", async () => {
    await withDatabase(createEmptyDatabase, async (to) => {
      const name = nameOf(to);
      const role = `u_${name}`;
      await ask(
        to,
        `CREATE ROLE ${role} LOGIN PASSWORD 'p'; ALTER DATABASE ${name} OWNER TO ${role}; GRANT ALL ON SCHEMA public TO ${role}`,
      );
      const own = new URL(to);
      own.username = role;
      own.password = "p";
      await expect(
        drillBackup(kept.run, { id: made.id, connectionString: own.href, smoke: async () => proven }),
      ).rejects.toThrow(/ALTER ROLE … CREATEDB.*TASKMASTER_BACKUP_DRILL_DATABASE_URL/);
      await restore(kept, own.href);
      expect(await contentsOf(own.href)).toEqual(await contentsOf(core.connectionString));
      await expect(restore(kept, own.href, { replace: true })).rejects.toThrow(/ALTER ROLE … CREATEDB/);
      expect(await contentsOf(own.href)).toEqual(await contentsOf(core.connectionString));
      await ask(
        to,
        `ALTER DATABASE ${name} OWNER TO CURRENT_USER; REASSIGN OWNED BY ${role} TO CURRENT_USER; DROP OWNED BY ${role}; DROP ROLE ${role}`,
      );
    });
  });

  test("a drill proves the newest, measures it, leaves nothing, and says when it fails", async () => {
    const { url } = inject("database");
    const run = await openTestRun();
    try {
      const { id } = await createBackup(run.run, source());
      // What a killed drill left behind goes.
      const leftover = `${nameOf(url)}_drill_0123456789`;
      await ask(url, `CREATE DATABASE ${leftover}`);
      const seen: string[] = [];
      const report = await drillBackup(run.run, {
        id,
        connectionString: url,
        async smoke(connectionString) {
          seen.push(nameOf(connectionString));
          expect(await contentsOf(connectionString)).toEqual(await contentsOf(core.connectionString));
          return proven;
        },
      });
      expect(report).toMatchObject({ ok: true, problem: null, tables: made.tables.length });
      expect(report.rtoSeconds).toBeGreaterThan(0);
      expect(report.databaseBytes).toBeGreaterThan(report.backupBytes);
      expect(seen).toHaveLength(1);
      expect(await databasesLike(`${nameOf(url)}_drill_`)).toEqual([]);

      const metricsNow = async () => {
        await writeMetrics(run.run);
        return (await run.run.store.readRoot("metrics.prom")) ?? "";
      };
      const proud = await metricsNow();
      expect(proud).toMatch(/^taskmaster_backup_last_restored_timestamp_seconds \d{10}/m);
      expect(proud).toMatch(/^taskmaster_backup_drill_rto_seconds \d/m);

      const failing = { ok: false, steps: [{ name: "claim it", ok: false, ms: 1, detail: "503" }], ms: 1 };
      await expect(
        drillBackup(run.run, { id, connectionString: url, smoke: async () => failing }),
      ).rejects.toThrow(/does not serve: claim it: 503/);
      expect(await databasesLike(`${nameOf(url)}_drill_`)).toEqual([]);
      expect((await readDrills(run.run)).map(({ ok }) => ok)).toEqual([true, false]);

      // The one backup that there is, is proven no longer.
      const metrics = await metricsNow();
      expect(metrics).toMatch(/^taskmaster_backup_drill_success 0$/m);
      expect(metrics).toMatch(/^taskmaster_backup_backups 1$/m);
      expect(metrics).not.toMatch(/drill_rto|last_restored|newest_proven/);
    } finally {
      await run.close();
    }
  });

  test("a backup of an older schema is brought to the present one, or left as it was when asked to", async () => {
    const old = await createEmptyDatabase();
    const run = await openTestRun();
    try {
      // Two releases: this one, and one before it that lacked its newest migration, played by an emptier database.
      await applyMigrations(old.connectionString);
      await ask(old.connectionString, "ALTER TABLE organizations ADD COLUMN later text");
      await ask(
        old.connectionString,
        `INSERT INTO migrate.ledger (name, checksum, up_sql, down_sql, down_sha256, kind, in_transaction, loses_up, loses_down, state, program)
         VALUES ('20990101000000_later', 'c', 'ALTER TABLE organizations ADD COLUMN later text', NULL, NULL, 'expand', true, '{}', '{}', 'applied', 'x');
         INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count) VALUES ('later', 'c', '20990101000000_later', now(), 1)`,
      );
      const { id, schema } = await createBackup(run.run, {
        connectionString: old.connectionString,
        embedded,
      });
      expect(schema.head).toBe("20990101000000_later");
      await withDatabase(createEmptyDatabase, async (to) => {
        // This release does not know that migration, and restores it all the same.
        expect(await restore(run, to, { id })).toMatchObject({ migrated: [] });
        expect(await contentsOf(to)).toEqual(await contentsOf(old.connectionString));
      });
    } finally {
      await run.close();
      await old.drop();
    }
  });

  test("prune removes what the rule does not keep, and never the newest that is proven", async () => {
    const run = await openTestRun();
    try {
      const ids: string[] = [];
      for (let index = 0; index < 3; index += 1) {
        ids.push((await createBackup(run.run, source())).id);
        // Their names tell their age to the second.
        await sleep(1_050);
      }
      await drillBackup(run.run, {
        id: ids[0] ?? "",
        connectionString: inject("database").url,
        smoke: async () => proven,
      });
      const rule = { daily: 1, weekly: 0, monthly: 0 };
      const dry = await pruneBackups(run.run, rule, { dryRun: true });
      expect(dry.remove).toEqual([ids[1]]);
      expect((await run.run.store.list()).sort()).toEqual(ids);
      expect(await pruneBackups(run.run, rule, { dryRun: false })).toEqual(dry);
      expect((await run.run.store.list()).sort()).toEqual([ids[0], ids[2]]);
      expect(await pruneBackups(run.run, rule, { dryRun: false })).toMatchObject({ remove: [] });
      // One that is found damaged is proven no longer, so that an older one that is takes its place.
      await verifyBackup(run.run, ids[2] ?? "");
      await sleep(1_050);
      const { id } = await createBackup(run.run, source());
      expect((await pruneBackups(run.run, rule, { dryRun: true })).remove).toEqual([]);
      await flip((await dataFiles(path.join(run.directory, ids[2] ?? "")))[0] ?? "");
      await expect(verifyBackup(run.run, ids[2] ?? "")).rejects.toThrow(/SHA-256/);
      expect(await pruneBackups(run.run, rule, { dryRun: true })).toMatchObject({
        keep: [{ id }, { id: ids[0] }],
        remove: [ids[2]],
      });
    } finally {
      await run.close();
    }
  });

  describe("a kill at any moment", () => {
    test("while a backup is made leaves no backup, or a whole one", { timeout: 300_000 }, async () => {
      const run = await openTestRun();
      try {
        const order = { command: "create", ...source(), directory: run.directory, id: "" } as const;
        const points = await killEverywhere(order, async () => {
          for (const id of await run.run.store.list()) {
            await verifyBackup(run.run, id);
            await run.run.store.remove(id);
          }
        });
        // What was cut off is seen as such, and goes once it is old enough.
        expect((await run.run.store.listIncomplete()).length).toBeGreaterThan(0);
        expect(
          await pruneBackups(run.run, { daily: 1, weekly: 1, monthly: 1 }, { dryRun: true }),
        ).toMatchObject({
          incomplete: [],
        });
        console.log(`[backup] ${points} kill points of create`);
      } finally {
        await run.close();
      }
    });

    test("while one takes the place of a live database leaves the old one or the new one, whole", {
      timeout: 600_000,
    }, async () => {
      const run = await openTestRun();
      const to = await createTestDatabase();
      try {
        await copyFolder(path.join(kept.directory, made.id), path.join(run.directory, made.id));
        await ask(
          to.connectionString,
          "INSERT INTO users (id, email, name) VALUES (gen_random_uuid(), 'old', 'old')",
        );
        const before = await contentsOf(to.connectionString);
        const after = await contentsOf(core.connectionString);
        let swapped = 0;
        const order = {
          command: "restore",
          connectionString: to.connectionString,
          embedded,
          directory: run.directory,
          id: made.id,
        } as const;
        const points = await killEverywhere(order, async () => {
          const now = await contentsOf(to.connectionString);
          if (now["public.users"] !== before["public.users"]) {
            expect(now).toEqual(after);
            swapped += 1;
            // Back to the start for the next kill.
            await ask(
              to.connectionString,
              "DELETE FROM users; INSERT INTO users (id, email, name) VALUES (gen_random_uuid(), 'old', 'old')",
            );
          } else if (swapped === 0) {
            expect(now).toEqual(before);
          }
        });
        // The run that was not killed took away what the killed ones had left beside it.
        expect((await databasesLike(`${nameOf(to.connectionString)}_restore_`)).length).toBe(0);
        console.log(`[backup] ${points} kill points of restore`);
      } finally {
        await dropDatabases(await databasesLike(nameOf(to.connectionString)));
        await run.close();
      }
    });
  });
}

const child = new URL("./backup-child.ts", import.meta.url).pathname;

/**
 * Runs a command once for every moment, killed there, with `look` after each, until a run comes through. TEST_KILL_EVERY
 * tries each nth moment only, from another first one every time, since each takes a process of its own.
 */
async function killEverywhere(
  order: Omit<ChildOrder, "killAt" | "scratchDirectory">,
  look: () => Promise<void>,
): Promise<number> {
  const every = Number(process.env.TEST_KILL_EVERY ?? 10);
  let points = 0;
  for (let killAt = 1 + Math.floor(Math.random() * every); ; killAt += every) {
    const scratchDirectory = path.dirname(order.directory);
    const { code, err } = await runNode([child, JSON.stringify({ ...order, scratchDirectory, killAt })]);
    if (code === 0) return points;
    // Anything but the kill is a failure of the command itself.
    expect({ code, err }).toEqual({ code: null, err: "" });
    points += 1;
    await look();
  }
}
