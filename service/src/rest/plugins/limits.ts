import { createHash } from "node:crypto";
import rateLimit from "@fastify/rate-limit";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Redis } from "ioredis";
import type { Config } from "../../config.ts";
import type { Logger } from "../../log.ts";
import type { App } from "../http.ts";
import { Refusal } from "../problem.ts";

export type Limiter = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/** Counts the requests of each token, in Redis when there is one; without an answer from it nobody is held up. */
export async function addRateLimit(app: App, config: Config, log: Logger): Promise<Limiter> {
  const redis = config.redisUrl === null ? undefined : await openRedis(config.redisUrl, log);
  if (redis !== undefined) {
    // Requests that come while the connection is being made would go uncounted.
    app.addHook("onReady", () => firstAnswer(redis));
    app.addHook("onClose", () => redis.disconnect());
  }
  await app.register(rateLimit, {
    global: false,
    skipOnError: true,
    nameSpace: "task-master-pro:rate:",
    ...(redis === undefined ? {} : { redis }),
  });
  const { max, windowSeconds } = config.rateLimit;
  const take = app.createRateLimit({
    max,
    timeWindow: windowSeconds * 1000,
    keyGenerator: callerKey,
  });
  return async (request, reply) => {
    const state = await take(request);
    if (state.isAllowed) return;
    const reset = state.ttlInSeconds > 0 ? state.ttlInSeconds : windowSeconds;
    reply.headers({
      "ratelimit-limit": state.max,
      "ratelimit-remaining": state.remaining,
      "ratelimit-reset": reset,
    });
    const who = request.caller === null ? "Your address" : "This token";
    if (state.isExceeded)
      throw tooMany(`${who} made ${state.max} requests within ${windowSeconds} seconds`, reset);
  };
}

/** Whom a limit is for: the token, or without one the member. */
export function callerKey(request: FastifyRequest): string {
  const { caller } = request;
  // Where no token is asked for, each address has a count of its own at each place, so that nobody uses up another's.
  if (caller === null) return `${request.ip} ${request.url.split("?", 1)[0]}`;
  return caller.tokenId ?? `${caller.organizationId}:${caller.actor.id}`;
}

function tooMany(what: string, seconds: number): Refusal {
  return new Refusal("rate_limited", `${what}; wait ${seconds} seconds.`, {
    headers: { "retry-after": String(seconds) },
  });
}

async function openRedis(url: string, log: Logger): Promise<Redis> {
  const { Redis } = await import("ioredis");
  const redis = new Redis(url, {
    // A request must not wait for a Redis that is away.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    // A Redis that is down refuses at once; this is for one that hangs. Shorter, and a process that is busy itself would
    // take the answers that wait in its own queue for missing, and stop counting just when it matters.
    connectTimeout: 5000,
    commandTimeout: 5000,
    retryStrategy: (attempt) => Math.min(attempt * 200, 5000),
  });
  let reachable = true;
  redis.on("error", (error: Error) => {
    // It is raised at every attempt; once is enough.
    if (reachable)
      log.warn({ err: error }, "Redis cannot be reached; each process counts nothing until it can");
    reachable = false;
  });
  redis.on("ready", () => {
    if (!reachable) log.info("Redis can be reached again");
    reachable = true;
  });
  return redis;
}

/** Resolves when Redis is there, or when the first attempt has failed: a start does not depend on it. */
function firstAnswer(redis: Redis): Promise<void> {
  return new Promise((resolve) => {
    if (redis.status === "ready") resolve();
    redis.once("ready", () => resolve());
    redis.once("error", () => resolve());
  });
}

const floodWindowMs = 60_000;
const floodMax = 120;
const remembered = 10_000;

/**
 * Holds up an address that keeps sending credentials that are not good, before each costs a look into the database.
 * Credentials that were good lately pass, so that nobody behind the same address or proxy is locked out.
 */
export class FloodGuard {
  readonly #failures = new Map<string, { count: number; until: number }>();
  readonly #good = new Set<string>();

  /** Throws a Refusal when the address is held up. */
  check(address: string, credential: string): void {
    const entry = this.#failures.get(address);
    if (entry === undefined || entry.count < floodMax) return;
    const left = entry.until - Date.now();
    if (left <= 0) this.#failures.delete(address);
    else if (!this.#good.has(digest(credential))) {
      throw tooMany("Too many credentials from your address were not good", Math.ceil(left / 1000));
    }
  }

  failed(address: string, credential: string): void {
    this.#good.delete(digest(credential));
    const now = Date.now();
    const entry = this.#failures.get(address);
    if (entry !== undefined && entry.until > now) entry.count++;
    else {
      this.#failures.delete(address);
      this.#failures.set(address, { count: 1, until: now + floodWindowMs });
    }
    forgetOldest(this.#failures);
  }

  succeeded(credential: string): void {
    this.#good.add(digest(credential));
    forgetOldest(this.#good);
  }
}

function digest(credential: string): string {
  return createHash("sha256").update(credential).digest("base64");
}

function forgetOldest(entries: Map<string, unknown> | Set<string>): void {
  if (entries.size <= remembered) return;
  const oldest = entries.keys().next().value;
  if (oldest !== undefined) entries.delete(oldest);
}
