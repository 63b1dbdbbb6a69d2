import { createHash } from "node:crypto";
import { text as readAll } from "node:stream/consumers";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import pg from "pg";
import { type Config, loadConfig, type SessionKey } from "../../../src/config.ts";
import { newId } from "../../../src/core/ids.ts";
import { type Context, type Core, type LanguageModel, type Role, scopes } from "../../../src/core/index.ts";
import type { Storage } from "../../../src/core/storage.ts";
import { openFlags } from "../../../src/flags/open.ts";
import { createLog, type Logger } from "../../../src/log.ts";
import type { Features } from "../../../src/mcp/features.ts";
import { buildMcpEdge } from "../../../src/mcp/http.ts";
import { buildApp } from "../../../src/rest/app.ts";
import type { App } from "../../../src/rest/http.ts";
import { openTestCore } from "../../support/core.ts";

export const api = "/api/v1";

export interface Answer<T = Record<string, unknown>> {
  status: number;
  headers: LightMyRequestResponse["headers"];
  text: string;
  body: T;
}

export interface Call {
  token?: string | undefined;
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Buffer;
  headers?: Record<string, string>;
  /** The answer may have no end: what comes behind the headers is left unread. */
  endless?: boolean;
}

export interface TestApp {
  app: App;
  core: Core;
  storage: Storage;
  config: Config;
  connectionString: string;
  lifecycle: { draining: boolean };
  /** The lines logged so far. */
  lines: string[];
  owner: Context;
  token: string;
  /** An app of its own on the same core, under another configuration. */
  another(env: Record<string, string>, sessionKey?: SessionKey): Promise<App>;
  call<T = Record<string, unknown>>(method: string, url: string, call?: Call): Promise<Answer<T>>;
  close(): Promise<void>;
}

const secret = "a secret for tests, of thirty-two bytes or more";
export const testKey: SessionKey = { algorithm: "HS256", secret };

interface TestOptions {
  languageModel?: LanguageModel | null;
  /** What the MCP edge offers beside the product's own. */
  more?: Partial<Features>;
}

export async function openTestApp(
  env: Record<string, string> = {},
  { languageModel = null, ...more }: TestOptions = {},
): Promise<TestApp> {
  const lines: string[] = [];
  const log = createLog({ logLevel: "info" }, { write: (line) => void lines.push(line) });
  const { flags, close: closeFlags } = await openFlags(loadConfig(env, { session: false }).flags, log);
  const test = await openTestCore({ languageModel, flags });
  const configOf = (more: Record<string, string>) =>
    loadConfig({
      DATABASE_URL: test.connectionString,
      TASKMASTER_SESSION_SECRET: secret,
      TASKMASTER_RATE_LIMIT_MAX: "1000000",
      ...env,
      ...more,
    });
  const config = configOf({});
  const lifecycle = { draining: false, obstacle: null };
  const build = (used: Config, sessionKey: SessionKey, logger: Logger = log) => {
    const common = { core: test.core, config: used, log: logger, version: "0.0.0" };
    return buildApp({ ...common, sessionKey, lifecycle, guest: buildMcpEdge({ ...common, ...more }) });
  };
  const app = await build(config, testKey);
  await app.ready();
  const others: App[] = [];
  const { token } = await test.core.tokens.create(test.owner, { name: "test" });
  return {
    app,
    core: test.core,
    storage: test.storage,
    config,
    connectionString: test.connectionString,
    lifecycle,
    lines,
    owner: test.owner,
    token,
    async another(more, sessionKey = testKey) {
      const other = await build(configOf(more), sessionKey);
      await other.ready();
      others.push(other);
      return other;
    },
    call: <T>(method: string, url: string, call: Call = {}) =>
      callApp<T>(app, method, url, { token, ...call }),
    async close() {
      for (const one of [app, ...others]) await one.close();
      await closeFlags();
      await test.close();
    },
  };
}

export async function callApp<T = Record<string, unknown>>(
  app: App,
  method: string,
  url: string,
  { token, body, raw, headers = {}, endless = false }: Call = {},
): Promise<Answer<T>> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await app.inject({
    method: method as NonNullable<InjectOptions["method"]>,
    url,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(payload === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(payload === undefined ? {} : { payload }),
    payloadAsStream: endless,
  });
  const type = String(response.headers["content-type"] ?? "");
  const streams = type.startsWith("text/event-stream");
  const text = streams ? "" : endless ? await readAll(response.stream()) : response.payload;
  return {
    status: response.statusCode,
    headers: response.headers,
    text,
    body: (type.includes("json") && text !== "" ? JSON.parse(text) : {}) as T,
  };
}

export interface Member {
  context: Context;
  token: string;
}

/** Somebody of each role, with a token, in the context's organization. */
export async function addMembers(core: Core, owner: Context, mark: string): Promise<Record<Role, Member>> {
  const person = async (role: "owner" | "admin" | "member" | "viewer"): Promise<Member> => {
    const membership = await core.memberships.create(owner, {
      email: `${mark}-${role}@example.com`,
      name: `${mark} ${role}`,
      role,
    });
    const context: Context = {
      ...owner,
      membershipId: membership.id,
      actor: membership.member,
      role,
      scopes,
    };
    const { token } = await core.tokens.create(context, { name: role });
    return { context, token };
  };
  const agent = await core.agents.create(owner, { name: `${mark} agent` });
  const { token } = await core.tokens.create(owner, { name: "agent", agent: agent.id });
  const context: Context = { ...(await core.access.fromAccessToken(token)), requestId: "test" };
  return {
    owner: await person("owner"),
    admin: await person("admin"),
    member: await person("member"),
    viewer: await person("viewer"),
    agent: { context, token },
  };
}

/** Another tenant, whose owner belongs to no other. */
export async function addOrganization(storage: Storage, slug: string): Promise<Context> {
  const { principal } = await storage.identity.createOrganization({
    organization: { id: newId(), slug, name: slug },
    owner: { membershipId: newId(), userId: newId(), email: `${slug}@example.com`, name: slug },
    event: {
      type: "organization.created",
      projectId: null,
      taskId: null,
      actor: { kind: "system", id: "00000000-0000-0000-0000-000000000000", name: "system" },
      requestId: "test",
      data: {},
    },
  });
  const { organizationId, membershipId, actor, role } = principal;
  return { organizationId, membershipId, actor, role, scopes, requestId: "test" };
}

/** A digest of every row of every table, or of one organization's, to show that nothing changed. */
export async function fingerprint(connectionString: string, organizationId?: string): Promise<string> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const tables = await client.query<{ name: string; scoped: boolean }>(
      `SELECT c.table_name AS name, bool_or(c.column_name = 'organization_id') AS scoped
         FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' GROUP BY 1 ORDER BY 1`,
    );
    const digest = createHash("sha256");
    for (const { name, scoped } of tables.rows) {
      if (organizationId !== undefined && !scoped) continue;
      const where = organizationId === undefined ? "" : " WHERE organization_id = $1";
      const rows = await client.query(
        `SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) AS sum FROM "${name}" t${where}`,
        organizationId === undefined ? [] : [organizationId],
      );
      digest.update(`${name}:${rows.rows[0].sum};`);
    }
    return digest.digest("hex");
  } finally {
    await client.end();
  }
}
