import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { TObject } from "typebox";
import type { Caller, Context, Core, Page, Precondition } from "../core/index.ts";
import { badRequest, type ProblemCode, Refusal } from "./problem.ts";

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** What every file of routes is given. */
export interface Edge {
  core: Core;
  /** What links begin with: the public address and the API's prefix. */
  base: string;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Set for every request under the API's prefix. */
    caller: Caller | null;
  }
  interface FastifyContextConfig {
    /** The problems, beside those of every route, that the route's answers may be. */
    problems?: ProblemCode[];
    /** Whether `fields` may cut the answer's items down. */
    selectable?: boolean;
  }
}

export function callerOf(request: FastifyRequest): Caller {
  // A route that is registered outside of the authenticated part must not pass for one inside.
  if (request.caller === null)
    throw new Refusal("unauthenticated", "Send Authorization: Bearer and a token.");
  return request.caller;
}

export function contextOf(request: FastifyRequest): Context {
  const { organizationId, membershipId, actor, role, scopes } = callerOf(request);
  const key = request.headers["idempotency-key"];
  return {
    organizationId,
    membershipId,
    actor,
    role,
    scopes,
    requestId: request.id,
    ...(typeof key === "string" && request.method === "POST" ? { idempotencyKey: key } : {}),
  };
}

/** The version that If-Match names (RFC 9110, 13.1.1). Throws a Refusal where none can match. */
export function ifMatch(request: FastifyRequest): number {
  const header = request.headers["if-match"];
  if (header === undefined) {
    throw new Refusal(
      "version_required",
      "Send If-Match with the ETag of what you have seen, so that no change is lost.",
    );
  }
  if (header.trim() === "*") {
    throw new Refusal(
      "version_required",
      "If-Match: * would overwrite changes that you have not seen; send the ETag.",
    );
  }
  const tag = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/.exec(header.trim());
  if (tag === null) {
    throw badRequest("/headers/if-match", 'Send exactly one ETag, with its quotes, such as "3".');
  }
  const version = Number(/^([1-9]\d{0,9})(?:\.\d+\.\d+)?$/.exec(tag[2] ?? "")?.[1] ?? 0);
  // Weak tags never match, and a number that no version can have must not reach the database.
  if (tag[1] !== undefined || version === 0 || version > 2_147_483_647) {
    throw new Refusal(
      "version_mismatch",
      `${tag[0]} is the ETag of no version; read the resource again and send its ETag as it is.`,
    );
  }
  return version;
}

export function precondition(request: FastifyRequest): Precondition {
  const version = ifMatch(request);
  const fence = request.headers["claim-fence"];
  // The headers' schema has read it as a number.
  return fence === undefined ? { version } : { version, fence: Number(fence) };
}

interface Versioned {
  version: number;
  claim?: { fence: number; expiresAt: string } | null;
}

/**
 * The version; behind it, for a claimed task, which claim it shows and until when. Claims and heartbeats leave the
 * version alone, so that a holder's own writes are not refused, but 304 must not hide them.
 */
function tagOf({ version, claim }: Versioned): string {
  return claim ? `"${version}.${claim.fence}.${Date.parse(claim.expiresAt)}"` : `"${version}"`;
}

/** A resource with a version: its ETag, and 304 when the client has it already (RFC 9110, 13.1.2). */
export function sendVersioned<T extends Versioned>(
  request: FastifyRequest,
  reply: FastifyReply,
  resource: T,
  selection?: Selection,
): FastifyReply {
  const tag = tagOf(resource);
  reply.header("etag", tag);
  const known = request.headers["if-none-match"];
  if (request.method === "GET" && known !== undefined && matches(known, tag)) return reply.code(304).send();
  if (selection !== undefined) return sendJson(reply, pick(resource, selection));
  return reply.send(resource);
}

function matches(header: string, tag: string): boolean {
  return header.split(",").some((one) => {
    const candidate = one.trim();
    return candidate === "*" || candidate.replace(/^W\//, "") === tag;
  });
}

/** 201 with the address of what was made. */
export function sendCreated(reply: FastifyReply, location: string, resource: object): FastifyReply {
  reply.code(201).header("location", location);
  if ("version" in resource) reply.header("etag", `"${String(resource.version)}"`);
  return reply.send(resource);
}

/** A page of a list, with the address of the next one in Link (RFC 8288). */
export function sendPage<T extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  page: Page<T>,
  edge: Edge,
  selection?: Selection,
): FastifyReply {
  if (page.nextCursor !== null) linkNext(request, reply, edge, { cursor: page.nextCursor });
  if (selection !== undefined) {
    const items = page.items.map((item) => pick(item, selection));
    return sendJson(reply, { items, nextCursor: page.nextCursor });
  }
  return reply.send(page);
}

export function linkNext(
  request: FastifyRequest,
  reply: FastifyReply,
  edge: Edge,
  changed: Record<string, string>,
): void {
  const [path = "", query = ""] = request.url.split("?", 2);
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changed)) parameters.set(name, value);
  reply.header("link", `<${edge.base}${path.slice(prefix.length)}?${parameters.toString()}>; rel="next"`);
}

export const prefix = "/api/v1";

export type Selection = readonly string[];

/** The members that `fields` names; undefined for all of them. Throws a Refusal for a name that items do not have. */
export function selectionOf(fields: string | undefined, item: TObject): Selection | undefined {
  if (fields === undefined) return undefined;
  const known = Object.keys(item.properties);
  const names = fields.split(",");
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw badRequest(
      "/query/fields",
      `There is no field ${JSON.stringify(unknown)}; name some of ${known.join(", ")}, separated by commas.`,
    );
  }
  return names;
}

/** Past the route's schema, which wants every member. */
function sendJson(reply: FastifyReply, value: object): FastifyReply {
  return reply
    .type("application/json; charset=utf-8")
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(value);
}

function pick(item: object, selection: Selection): Record<string, unknown> {
  return Object.fromEntries(Object.entries(item).filter(([name]) => selection.includes(name)));
}

/** Segments of an address, each encoded. */
export function path(...segments: string[]): string {
  return segments.map((segment) => `/${encodeURIComponent(segment)}`).join("");
}
