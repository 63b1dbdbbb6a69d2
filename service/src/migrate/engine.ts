import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { PrismaPg } from "@prisma/adapter-pg";
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from "@prisma/driver-adapter-utils";
import * as binding from "@prisma/schema-engine-wasm/schema_engine_bg";
import pg from "pg";
import type { MigrationFolder } from "./migrations.ts";

// Part of every Node.js, but typed only by the DOM library.
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array<ArrayBuffer>,
    imports: Record<string, object>,
  ): Promise<{ instance: { exports: Record<string, unknown> } }>;
};

// Where the engine leaves the message of a panic before it traps; without it the message is lost.
Object.assign(globalThis, {
  PRISMA_WASM_PANIC_REGISTRY: {
    set_message(message: string): never {
      throw new Error(`Prisma's schema engine failed: ${message}`);
    },
  },
});

let loading: Promise<void> | undefined;

/** The binding keeps the instance in a global of its own, so it is made once a process. */
async function instantiate(): Promise<void> {
  const require = createRequire(import.meta.url);
  const file = require.resolve("@prisma/schema-engine-wasm/schema_engine_bg").replace(/\.js$/, ".wasm");
  const { instance } = await WebAssembly.instantiate(await readFile(file), {
    "./schema_engine_bg.js": binding,
  });
  binding.__wbg_set_wasm(instance.exports);
  const start = instance.exports.__wbindgen_start;
  if (typeof start === "function") start();
}

export interface PrismaEngine {
  /** SQL that makes the database's schema the one of the Prisma schema; empty when it is that already. */
  scriptForward(prismaSchema: string): Promise<string>;
  /** SQL that makes the Prisma schema's tables the ones of the database. */
  scriptBack(prismaSchema: string): Promise<string>;
  /** What `prisma migrate status` would say of the folder and the database. */
  diagnose(folder: MigrationFolder): Promise<binding.DiagnoseMigrationHistoryOutput>;
  close(): Promise<void>;
}

const filters = { externalTables: [], externalEnums: [] };

/**
 * Prisma's own Schema Engine, as WebAssembly: no native binary has to be downloaded. It compares schemas and judges
 * the history of migrations; it does not apply them.
 */
export async function openEngine(connectionString: string): Promise<PrismaEngine> {
  loading ??= instantiate();
  await loading;
  const pool = new pg.Pool({ connectionString, max: 1, application_name: "task-master-pro migrate" });
  // A connection that breaks while idle fails the next query, which says so; unheard, it would end the process.
  pool.on("error", () => {});
  const engine = await binding.SchemaEngine.new(
    { datamodels: undefined },
    () => {},
    bindMigrationAwareSqlAdapterFactory(catalogReader(pool)),
  );
  const script = async (from: binding.DiffTarget, to: binding.DiffTarget) =>
    (await engine.diff({ from, to, script: true, exitCode: null, filters })).stdout ?? "";
  const model = (content: string): binding.DiffTarget => ({
    tag: "schemaDatamodel",
    files: [{ path: "schema.prisma", content }],
  });
  const database = (content: string): binding.DiffTarget => ({
    tag: "schemaDatasource",
    files: [{ path: "schema.prisma", content }],
    configDir: ".",
  });
  return {
    scriptForward: async (schema) => sqlOf(await script(database(schema), model(schema))),
    scriptBack: async (schema) => sqlOf(await script(model(schema), database(schema))),
    diagnose: async ({ migrations, lockfile }) =>
      await engine.diagnoseMigrationHistory({
        migrationsList: {
          baseDir: "prisma/migrations",
          lockfile: { path: "migration_lock.toml", content: lockfile },
          shadowDbInitScript: "",
          migrationDirectories: migrations.map(({ name, sql }) => ({
            path: name,
            migrationFile: { path: "migration.sql", content: { tag: "ok", value: sql } },
          })),
        },
        optInToShadowDatabase: false,
        filters,
      }),
    async close() {
      engine.free();
      await pool.end();
    },
  };
}

/** The engine says "nothing" by a comment. */
function sqlOf(script: string): string {
  return /^\s*(--[^\n]*\s*)*$/.test(script) ? "" : script;
}

/** PostgreSQL's type "char", of which the catalog is full. */
const charOid = 18;
const textOid = 25;

/**
 * Prisma's adapter with two faults mended that keep the engine from reading a catalog through it (prisma/orm issues
 * 27403 and 29635, open in 7.10): the adapter does not know the type "char", and the engine panics over the NOT NULL
 * constraints that PostgreSQL 18 lists.
 */
function catalogReader(pool: pg.Pool): SqlMigrationAwareDriverAdapterFactory {
  let chars = new Set<number>();
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<pg.QueryArrayResult>;
  Object.assign(pool, {
    async query(...args: unknown[]) {
      const result = await query(...args);
      chars = new Set();
      for (const [index, field] of result.fields.entries()) {
        if (field.dataTypeID !== charOid) continue;
        field.dataTypeID = textOid;
        chars.add(index);
      }
      return result;
    },
  });
  const mended = (adapter: SqlDriverAdapter): SqlDriverAdapter => {
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (statement) => {
      const sql = statement.sql.replace("contype NOT IN ('p', 'u', 'f')", "contype IN ('c', 'x')");
      const result = await queryRaw({ ...statement, sql });
      return {
        ...result,
        columnTypes: result.columnTypes.map((type, index) =>
          chars.has(index) ? ColumnTypeEnum.Character : type,
        ),
      };
    };
    return adapter;
  };
  const factory = new PrismaPg(pool);
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: async () => mended(await factory.connect()),
    // The adapter's own would connect to the pool's database itself, and the engine empties what it is given here.
    connectToShadowDb: async () => {
      throw new Error("Schemas are compared without a shadow database.");
    },
  };
}
