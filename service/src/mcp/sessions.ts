import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { AppError, type Caller, type Core } from "../core/index.ts";
import type { Logger } from "../log.ts";
import { RecentEvents } from "./event-store.ts";
import { State } from "./state.ts";

/** How long a session without an open stream is kept after its last request. */
const idleMs = 30 * 60_000;
/** The most sessions of one process, whoever has them: 40 kB each, and what each keeps for a broken stream. */
const maximumInAll = 1000;
/** How often idle sessions, and those whose credential is not good any more, are looked for. */
const sweepMs = 15_000;
const pollMs = 20;
/** What a client waits before it opens a broken stream again. */
const retryMs = 1000;

export interface SessionOptions {
  core: Core;
  log: Logger;
  /** The most sessions of one member; 0 keeps none. */
  perMember: number;
  /** How long, at the end, calls that are under way are waited for. */
  graceMs: number;
}

export class Session {
  readonly id = randomUUID();
  readonly state = new State();
  readonly recent = new RecentEvents();
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly #onEnd: (session: Session) => void;
  server: Server | undefined;
  /** Whose it is; what the credential allows may change, and is then the newest. */
  caller: Caller;
  lastUsed = performance.now();
  /** Requests and streams that are open now, and how many of them the client waits for an answer to. */
  open = 0;
  calls = 0;

  constructor(caller: Caller, onEnd: (session: Session) => void) {
    this.caller = caller;
    this.#onEnd = onEnd;
    this.transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => this.id,
      eventStore: this.recent,
      retryInterval: retryMs,
    });
  }

  async end(): Promise<void> {
    this.#onEnd(this);
    this.state.end();
    await this.server?.close();
  }
}

/**
 * The sessions of this process (MCP 2025-11-25, "Session Management"). They are not shared between replicas: a session
 * that another process has, or that is over, is not found, and its client opens a new one. Each is bound to the
 * credential that opened it.
 */
export class Sessions {
  readonly #options: SessionOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<void> | undefined;
  #closing = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.#sweeping ??= this.sweep().finally(() => {
        this.#sweeping = undefined;
      });
    }, sweepMs).unref();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Undefined as well for somebody else's session, so that its id tells nothing. */
  find(id: string, caller: Caller): Session | undefined {
    const session = this.#sessions.get(id);
    if (session === undefined || credentialOf(session.caller) !== credentialOf(caller)) return undefined;
    session.caller = caller;
    return session;
  }

  /** Room is made by ending the session that was idle the longest; undefined when all are at work. */
  create(caller: Caller): Session | undefined {
    if (this.#closing) return undefined;
    const member = memberOf(caller);
    const own = [...this.#sessions.values()].filter((session) => memberOf(session.caller) === member);
    if (!this.#makeRoom(own, this.#options.perMember)) return undefined;
    if (!this.#makeRoom([...this.#sessions.values()], maximumInAll)) return undefined;
    const session = new Session(caller, (ended) => this.#sessions.delete(ended.id));
    this.#sessions.set(session.id, session);
    return session;
  }

  #makeRoom(among: Session[], maximum: number): boolean {
    if (among.length < maximum) return true;
    const idle = among.filter(({ open }) => open === 0).sort((a, b) => a.lastUsed - b.lastUsed)[0];
    // Its place is free at once; what it has to close may take its time.
    void idle?.end();
    return idle !== undefined;
  }

  /** Ends what is idle, and what nobody may use any more: a revoked token must not go on hearing of changes. */
  async sweep(now = performance.now()): Promise<void> {
    const good = new Map<string, Caller | null>();
    for (const session of [...this.#sessions.values()]) {
      if (session.open === 0) {
        if (now - session.lastUsed > idleMs) await session.end();
        continue;
      }
      const credential = credentialOf(session.caller);
      const known = good.get(credential);
      const caller = known === undefined ? await this.#stillGood(session.caller) : known;
      good.set(credential, caller);
      if (caller === null) await session.end();
      else session.caller = caller;
    }
  }

  /** Null when the credential is not good any more. */
  async #stillGood(caller: Caller): Promise<Caller | null> {
    const { organizationId, actor, tokenId, scopes, expiresAt } = caller;
    if (expiresAt !== undefined && expiresAt.getTime() <= Date.now()) return null;
    try {
      const { access } = this.#options.core;
      const now = await access.fromSession({ organizationId, memberId: actor.id, tokenId, scopes });
      return expiresAt === undefined ? now : { ...now, expiresAt };
    } catch (error) {
      if (error instanceof AppError && error.code === "unauthenticated") return null;
      this.#options.log.warn({ err: error }, "a session's credential could not be checked");
      return caller;
    }
  }

  /** Ends the streams that only listen, then what is under way has its time, and then everything. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#timer);
    await this.#sweeping;
    for (const session of this.#sessions.values()) session.transport.closeStandaloneSSEStream();
    const end = performance.now() + this.#options.graceMs;
    while (performance.now() < end && [...this.#sessions.values()].some(({ calls }) => calls > 0)) {
      await sleep(pollMs);
    }
    for (const session of [...this.#sessions.values()]) await session.end();
  }
}

/** Tokens of an issuer change while their bearer stays, so that they are told apart by the bearer. */
function credentialOf(caller: Caller): string {
  return `${memberOf(caller)}:${caller.tokenId ?? "issuer"}`;
}

function memberOf({ organizationId, actor }: Caller): string {
  return `${organizationId}:${actor.id}`;
}
