import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Config, SessionKey } from "./config.ts";
import { createCore } from "./core/create.ts";
import { AppError, type Core, type LanguageModel } from "./core/index.ts";
import { createRounds } from "./core/rounds.ts";
import type { Storage } from "./core/storage.ts";
import type { TellDefect } from "./defects.ts";
import { openFlags } from "./flags/open.ts";
import { createOpenAi } from "./language-model/openai.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics/create.ts";
import { openFile, sidecarOf } from "./storage/file/open.ts";
import type { ObserveStatement } from "./storage/postgres/client.ts";
import type { Telemetry } from "./telemetry/create.ts";
import { readVersion } from "./version.ts";
import { createResolver } from "./webhooks/resolver.ts";
import { createSender } from "./webhooks/sender.ts";
import { startWorker } from "./webhooks/worker.ts";

export interface Composition {
  core: Core;
  storage: Storage;
  sessionKey: SessionKey;
  /** Begins the work that no request asks for; not before the schema is there that it works on. */
  startUpkeep(): void;
  /** Stops the upkeep, then closes the flags' source and the storage. */
  close(): Promise<void>;
}

/** Who is told of what goes on. */
export interface Observers {
  metrics?: Metrics | undefined;
  telemetry?: Telemetry | undefined;
  tellDefect?: TellDefect | undefined;
}

/** The composition root: from the configuration to the use cases, wired by hand, and counted and traced where that is asked for. */
export async function compose(
  config: Config,
  log: Logger,
  { metrics, telemetry, tellDefect = () => {} }: Observers = {},
): Promise<Composition> {
  const { flags, close: closeFlags } = await openFlags(config.flags, log);
  const opened = await openStorage(config, telemetry?.observeStatement).catch(async (error: unknown) => {
    await closeFlags();
    throw error;
  });
  const traced = telemetry?.observeStorage(opened) ?? opened;
  const storage = metrics?.observeStorage(traced) ?? traced;
  try {
    const sessionKey = config.session.key ?? (await loadSessionSecret(config));
    const plain = await createCore(
      storage,
      sessionKey.algorithm === "HS256" ? sessionKey.secret : sessionKey.privateKey,
      {
        flags,
        languageModel: openModel(config, telemetry),
        webhooks: { addresses: config.webhooks },
      },
    );
    const counted = metrics?.observeCore(plain) ?? plain;
    const core = telemetry?.observeCore(counted) ?? counted;
    let stopUpkeep = async () => {};
    let stopWebhooks = async () => {};
    return {
      core,
      storage,
      sessionKey,
      startUpkeep() {
        const ears: Ears = {
          log,
          // A database that is away is no defect.
          tellDefect(error, place) {
            if (!(error instanceof AppError)) tellDefect(error, place);
          },
        };
        stopUpkeep = startUpkeep(core, storage, config, ears);
        stopWebhooks = startWebhooks(core, config, { ...ears, telemetry });
      },
      async close() {
        await Promise.all([stopUpkeep(), stopWebhooks()]);
        await closeFlags();
        await storage.close();
      },
    };
  } catch (error) {
    await closeFlags();
    await storage.close();
    throw error;
  }
}

function openModel({ languageModel }: Config, telemetry: Telemetry | undefined): LanguageModel | null {
  if (languageModel === null) return null;
  const model = createOpenAi({ ...languageModel, moreHeaders: telemetry?.outgoingHeaders });
  const { baseUrl, model: name } = languageModel;
  return telemetry?.observeModel(model, { name, baseUrl }) ?? model;
}

/** What the configuration names: a database, of which the embedded one is started and migrated as well, or a folder. */
export async function openStorage(config: Config, observe?: ObserveStatement): Promise<Storage> {
  const { database } = config;
  if (database.kind === "file") return await openFile(database);
  const common = {
    poolSize: database.poolSize,
    statementTimeoutMs: database.statementTimeoutSeconds * 1000,
    observe,
  };
  // Each loaded when it is the one: a command on a folder should not wait for a database's drivers.
  if (database.kind === "postgres") {
    const { openPostgres } = await import("./storage/postgres/open.ts");
    return await openPostgres({ connectionString: database.url, ...common });
  }
  const { openEmbedded } = await import("./storage/embedded/open.ts");
  return await openEmbedded({ directory: database.directory, ...common });
}

/** Beside the embedded database's files or the folder's, so that sessions outlive a restart without anything to set up. */
async function loadSessionSecret(config: Config): Promise<SessionKey> {
  const { database } = config;
  if (database.kind === "postgres") throw new Error("a session key is demanded by the configuration");
  const directory = database.kind === "file" ? sidecarOf(database.directory) : database.directory;
  const file = join(directory, "session-secret");
  try {
    return { algorithm: "HS256", secret: (await readFile(file, "utf8")).trim() };
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  const secret = randomBytes(48).toString("base64url");
  await mkdir(directory, { recursive: true });
  await writeFile(file, `${secret}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
  return { algorithm: "HS256", secret };
}

const expiryIntervalMs = 1000;
const cleaningIntervalMs = 3_600_000;
const idempotencyHours = 48;
/** Some go each time, so that no statement is long. */
const deliveryCleaningIntervalMs = 60_000;

const attemptTimeoutMs = 15_000;

interface Ears {
  log: Logger;
  tellDefect: TellDefect;
}

/** Sends what webhooks are to be told, until it is stopped. */
function startWebhooks(
  core: Core,
  { webhooks: rules }: Config,
  { telemetry, ...ears }: Ears & { telemetry: Telemetry | undefined },
): () => Promise<void> {
  if (rules.concurrency === 0) return async () => {};
  const userAgent = `Task-Master-Pro/${readVersion()} (webhooks)`;
  const resolve = createResolver();
  const send = createSender({ rules, resolve, timeoutMs: attemptTimeoutMs, userAgent });
  return startWorker({
    core,
    send: telemetry?.observeSend(send) ?? send,
    concurrency: rules.concurrency,
    leaseSeconds: 60,
    pollMs: 1000,
    stopMs: 5000,
    ...ears,
  });
}

/** Work that no request asks for: expired claims are put back, and old idempotency records go. */
function startUpkeep(
  core: Core,
  storage: Storage,
  config: Config,
  { log, tellDefect }: Ears,
): () => Promise<void> {
  const every = (ms: number, what: string, work: () => Promise<number>) => {
    const rounds = createRounds(ms, async () => {
      try {
        const count = await work();
        if (count > 0) log.info({ count }, what);
      } catch (error) {
        // A database that is away is said by readiness; the next round tries again.
        log.warn({ err: error }, `failed: ${what}`);
        tellDefect(error, { part: "upkeep", what });
      }
    });
    rounds.start();
    return rounds;
  };
  const upkeep = [
    every(expiryIntervalMs, "expired claims put back", () => core.claims.expire()),
    every(cleaningIntervalMs, "old idempotency records deleted", () =>
      storage.upkeep.deleteIdempotencyRecords(idempotencyHours),
    ),
    every(deliveryCleaningIntervalMs, "old webhook deliveries deleted", () =>
      storage.upkeep.deleteDeliveries(config.webhooks.retentionDays),
    ),
  ];
  return async () => {
    await Promise.all(upkeep.map((rounds) => rounds.stop()));
  };
}
