import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { PrismaPg } from "@prisma/adapter-pg";
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from "@prisma/driver-adapter-utils";
import * as binding from "@prisma/schema-engine-wasm/schema_engine_bg";
import type pg from "pg";

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

/**
 * Prisma's own Schema Engine, as WebAssembly: what it writes to _prisma_migrations is what Prisma's tools expect there,
 * and no native binary has to be downloaded.
 */
export async function openEngine(pool: pg.Pool): Promise<binding.SchemaEngine> {
  loading ??= instantiate();
  await loading;
  const options = { datamodels: undefined };
  return await binding.SchemaEngine.new(
    options,
    () => {},
    bindMigrationAwareSqlAdapterFactory(wholeScripts(pool)),
  );
}

/**
 * The adapter cuts a script at every semicolon, also inside a function's body. Sent whole, a migration is one implicit
 * transaction, as with Prisma's native engine: it applies entirely or not at all.
 */
function wholeScripts(pool: pg.Pool): SqlMigrationAwareDriverAdapterFactory {
  const factory = new PrismaPg(pool);
  const whole = (adapter: SqlDriverAdapter): SqlDriverAdapter => {
    adapter.executeScript = async (script) => {
      await pool.query(script);
    };
    return adapter;
  };
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: async () => whole(await factory.connect()),
    // The adapter's own would connect to the pool's database itself, and the engine empties what it is given here.
    connectToShadowDb: async () => {
      throw new Error("Migrations are applied without a shadow database.");
    },
  };
}
