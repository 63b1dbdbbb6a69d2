import { createHash } from "node:crypto";
import swagger from "@fastify/swagger";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Config } from "../../config.ts";
import { type App, prefix } from "../http.ts";
import { Problem, type ProblemCode, problemType, Refusal, statusOf, titleOfProblem } from "../problem.ts";
import { mayBeLeftOut } from "./body.ts";
import { addLinks, type Operation, type Schema, schemaOf } from "./links.ts";
import { noContentPolicy } from "./security.ts";

const always: ProblemCode[] = [
  "malformed_request",
  "unauthenticated",
  "forbidden",
  "rate_limited",
  "headers_too_large",
  "internal_error",
  "unavailable",
];
const ofBodies: ProblemCode[] = ["invalid_input", "too_large", "unsupported_media_type"];

/** Collects the routes registered from here on for the description of the API. */
export async function addDescription(app: App, config: Config, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Task Master Pro",
        version,
        description:
          "The task server for teams whose members are people and coding agents. Every error is a problem (RFC 9457); " +
          "changes take If-Match and Idempotency-Key; lists go on at `nextCursor`, also in `Link`. " +
          "Text is Unicode without U+0000, which cannot be stored.",
        license: { name: "MIT", identifier: "MIT" },
      },
      servers: [{ url: config.publicUrl ?? "/" }],
      components: {
        securitySchemes: {
          bearer: {
            type: "http",
            scheme: "bearer",
            description:
              "An access token (tmp_…), a session of POST /sessions, or a token of the configured issuer.",
          },
        },
      },
      security: [{ bearer: [] }],
      tags,
    },
    transform: ({ schema, url, route }) => {
      const { problems = [], selectable = false } = route.config ?? {};
      const codes = url.startsWith(prefix) ? problemsOf(schema, url, route.method, problems) : [];
      const answers = (schema?.response ?? {}) as Record<string, unknown>;
      const described = {
        ...schema,
        ...(schema?.headers === undefined ? {} : { headers: withVersion(schema.headers) }),
        ...(selectable ? { querystring: withNames(schema?.querystring, itemOf(answers[200])) } : {}),
        response: { ...(selectable ? partial(answers) : answers), ...problemResponses(codes) },
      };
      return { schema: described, url };
    },
    transformObject: (document) => {
      if (!("openapiObject" in document)) throw new Error("The description is not in OpenAPI's form.");
      const { paths, components, ...rest } = document.openapiObject;
      const schemas: Record<string, unknown> = {};
      const described = structuredClone(paths ?? {}) as Record<string, Record<string, Operation>>;
      const operations = new Map(
        Object.entries(described).map(([path, methods]) => [path, Object.values(methods)]),
      );
      for (const methods of Object.values(described)) {
        for (const [method, operation] of Object.entries(methods)) describe(method, operation);
      }
      const links = addLinks(operations, prefix);
      return {
        ...rest,
        paths: hoist(described, schemas),
        components: { ...components, schemas, links },
      } as typeof document.openapiObject as never;
    },
  });
}

const tags = [
  ["organizations", "The tenant, its members, and who you are."],
  ["agents", "Coding agents and their tokens."],
  ["tokens", "Access tokens."],
  ["projects", "Projects, their import, export, events and search."],
  ["tags", "Named lists of tasks in a project."],
  ["tasks", "Tasks and subtasks."],
  ["dependencies", "What waits for what."],
  ["graph", "What is ready, blocked, critical, next."],
  ["claims", "Who works on what, and how it ended."],
  ["comments", "What people and agents say about a task."],
  ["links", "What tasks stand for in GitHub, GitLab, Jira and Linear."],
  ["receivers", "How trackers tell of what tasks link to."],
  ["flags", "Features that can be switched off."],
  ["webhooks", "Events sent to URLs, signed by Standard Webhooks, and what came of each."],
  ["health", "For the platform that runs the server."],
].map(([name = "", description = ""]) => ({ name, description }));

function problemsOf(
  schema: { body?: unknown; headers?: unknown } | undefined,
  url: string,
  method: string | string[],
  own: ProblemCode[],
): ProblemCode[] {
  const bodies = method === "GET" ? [] : ofBodies;
  const addresses: ProblemCode[] = url.includes(":") ? ["uri_too_long"] : [];
  const repeats: ProblemCode[] = hasHeader(schema?.headers, "Idempotency-Key")
    ? ["idempotency_mismatch"]
    : [];
  return [...new Set([...always, ...addresses, ...bodies, ...repeats, ...own])];
}

function hasHeader(headers: unknown, name: string): boolean {
  return isObject(headers) && isObject(headers.properties) && name in headers.properties;
}

/** The route itself does not demand these by its schema, since what is wrong with them has answers of its own. */
function withVersion(headers: unknown): unknown {
  if (!isObject(headers) || !isObject(headers.properties) || !hasHeader(headers, "If-Match")) return headers;
  const ifMatch = { ...(headers.properties["If-Match"] as object), pattern: etagPattern };
  return { ...headers, properties: { ...headers.properties, "If-Match": ifMatch }, required: ["If-Match"] };
}

const etagPattern = '^"[1-9][0-9]{0,9}(\\.[0-9]+\\.[0-9]+)?"$';

/** A query with the very names that its `fields` can have. */
function withNames(query: unknown, item: Schema): unknown {
  if (!isObject(query) || !isObject(query.properties)) return query;
  const names = Object.keys(item.properties ?? {});
  const one = `(${names.join("|")})`;
  const fields = {
    ...(query.properties.fields as object),
    pattern: `^${one}(,${one})*$`,
    examples: [names.slice(0, 2).join(",")],
  };
  return { ...query, properties: { ...query.properties, fields } };
}

/** What a list lists, or the one thing that an answer shows. */
function itemOf(answer: unknown): Schema {
  const schema = answer as Schema;
  return schema.properties?.items?.items ?? schema;
}

/** What the routes' schemas cannot say of an operation: its headers, and what may be absent. */
function describe(method: string, operation: Operation): void {
  const { requestBody, responses } = operation;
  const body = requestBody?.content["application/json"]?.schema;
  if (requestBody !== undefined && body !== undefined)
    requestBody.required = !mayBeLeftOut(method.toUpperCase(), body);
  let versioned = false;
  for (const [status, answer] of Object.entries(responses)) {
    // An answer says what its operation is for, where it has no better words.
    if (answer.description === "Default Response") answer.description = operation.summary;
    const properties = status.startsWith("2") ? schemaOf(answer)?.properties : undefined;
    const headers = {
      ...(properties?.version === undefined ? {} : { ETag: etag }),
      ...(status === "201" && properties?.id !== undefined ? { Location: location } : {}),
      ...(status === "429" || status === "503" ? { "Retry-After": retryAfter } : {}),
    };
    if (Object.keys(headers).length > 0) answer.headers = headers;
    versioned ||= properties?.version !== undefined;
  }
  if (method !== "get" || !versioned) return;
  operation.parameters = [...(operation.parameters ?? []), ifNoneMatch];
  responses["304"] = { description: "You have this version already.", headers: { ETag: etag } };
}

const etag = {
  required: true,
  description: "The version, for If-Match and If-None-Match.",
  schema: { type: "string", pattern: etagPattern },
};
const location = {
  required: true,
  description: "The address of what was made.",
  schema: { type: "string", minLength: 1 },
};
const retryAfter = {
  required: true,
  description: "After how many seconds to try again.",
  schema: { type: "integer", minimum: 1 },
};
const ifNoneMatch = {
  in: "header",
  name: "If-None-Match",
  required: false,
  description: "ETags that you have: 304 says that one of them is still the present one.",
  schema: { type: "string" },
  example: '"3"',
};

function problemResponses(codes: ProblemCode[]): Record<string, unknown> {
  const byStatus = Map.groupBy(codes, (code) => statusOf(code));
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.map((code) => `${titleOfProblem(code)} (\`${code}\`).`).join(" "),
        content: { [problemType]: { schema: { ...Problem } } },
      },
    ]),
  );
}

/** Under `fields` an answer has fewer members than the item's schema requires. */
function partial(response: Record<string, unknown>): Record<string, unknown> {
  const loose = (schema: unknown): unknown => {
    if (!isObject(schema)) return schema;
    const properties = isObject(schema.properties) ? schema.properties : {};
    const items = isObject(properties.items) ? properties.items.items : undefined;
    if (items !== undefined && isObject(properties.items)) {
      return {
        ...schema,
        properties: { ...properties, items: { ...properties.items, items: loose(items) } },
      };
    }
    const { required: _, ...rest } = schema;
    const title = typeof schema.title === "string" ? { title: `Selected${schema.title}` } : {};
    return {
      anyOf: [
        schema,
        { ...rest, ...title, minProperties: 1, description: "With `fields`: the members named." },
      ],
    };
  };
  return { ...response, 200: loose(response[200]) };
}

/** Moves every schema with a title into `components`, once, and leaves a reference. */
function hoist(value: unknown, components: Record<string, unknown>): unknown {
  if (Array.isArray(value)) return value.map((item) => hoist(item, components));
  if (!isObject(value)) return value;
  const walked = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      literal.has(key) ? member : hoist(member, components),
    ]),
  );
  const { title } = value;
  if (typeof title !== "string" || !("type" in value || "anyOf" in value)) return walked;
  const known = components[title];
  if (known !== undefined && JSON.stringify(known) !== JSON.stringify(walked)) {
    throw new Error(`Two different schemas are called ${title}.`);
  }
  components[title] = walked;
  return { $ref: `#/components/schemas/${title}` };
}

/** Values that are no schemas, whatever they look like. */
const literal = new Set(["example", "examples", "default", "enum", "const"]);

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Serves the description at /openapi.json, and at /docs a page to read and try it that needs nothing from elsewhere. */
export async function addReference(app: App): Promise<void> {
  let text: string | undefined;
  app.get("/openapi.json", { schema: { hide: true } }, async (_request, reply) => {
    text ??= JSON.stringify(app.swagger());
    return reply.type("application/json; charset=utf-8").send(text);
  });

  let page: Promise<FastifyInstance> | undefined;
  const serve = async (request: FastifyRequest, reply: FastifyReply) => {
    // The page's own handler builds a URL out of the Host header, and would fail on one that is none.
    if (!URL.canParse(`http://${request.hostname}/`))
      throw new Refusal("malformed_request", "The Host header is no host.");
    page ??= buildPage(() => app.swagger());
    const { statusCode, headers, payload } = await (await page).inject({
      url: request.url,
      headers: { host: request.host },
    });
    // All that the page says, but for what is of its own connection.
    const { connection: _, ...kept } = headers;
    reply.headers(kept);
    const type = String(headers["content-type"] ?? "");
    if (type.startsWith("application/javascript")) reply.header("cache-control", "public, max-age=86400");
    if (type.startsWith("text/html")) reply.helmet({ contentSecurityPolicy: pagePolicy(payload) });
    return reply.code(statusCode).send(payload);
  };
  for (const url of ["", "/", "/js/scalar.js", "/openapi.json", "/openapi.yaml"]) {
    app.get(`/docs${url}`, { schema: { hide: true } }, serve);
  }
}

/**
 * The reference page, an app of its own that is built when somebody first asks for it: it is five megabytes of script, which
 * most servers never give out and would hold twice.
 */
async function buildPage(content: () => object): Promise<FastifyInstance> {
  const { default: scalar } = await import("@scalar/fastify-api-reference");
  const page = fastify();
  await page.register(scalar, {
    routePrefix: "/docs",
    configuration: {
      content,
      pageTitle: "Task Master Pro: API",
      withDefaultFonts: false,
      telemetry: false,
      showDeveloperTools: "never",
      hideClientButton: true,
      // In the order of the schemas, where the title comes first.
      orderSchemaPropertiesBy: "preserve",
      favicon: "data:,",
      agent: { disabled: true },
      mcp: { disabled: true },
    },
  });
  return page;
}

/** Only the server's own script, and the one inside the page by its hash; requests go to this server only. */
function pagePolicy(html: string) {
  const inline = [...html.matchAll(/<script(?![^>]*\bsrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(
    ([, script = ""]) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`,
  );
  return {
    useDefaults: false,
    directives: {
      ...noContentPolicy.directives,
      scriptSrc: ["'self'", ...inline],
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: ["'self'", "data:"],
      fontSrc: ["'self'", "data:"],
      connectSrc: ["'self'"],
      workerSrc: ["'self'", "blob:"],
    },
  };
}
