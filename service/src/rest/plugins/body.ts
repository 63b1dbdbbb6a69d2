import type { FastifyRequest } from "fastify";
import { findUnstorable } from "../../core/index.ts";
import type { App } from "../http.ts";
import { decodeUtf8, readJson } from "../json.ts";
import { Refusal } from "../problem.ts";

interface BodySchema {
  type?: string;
  required?: string[];
  minProperties?: number;
}

/** Whether a request may come without its body: an object without required members says nothing. */
export function mayBeLeftOut(method: string, { type, required, minProperties }: BodySchema): boolean {
  return method === "POST" && type === "object" && !required?.length && minProperties === undefined;
}

/** Takes JSON bodies, and refuses text anywhere in a request that could not be stored. */
export function addBodies(app: App): void {
  app.removeAllContentTypeParsers();
  for (const type of ["application/json", "application/merge-patch+json"]) {
    app.addContentTypeParser(type, { parseAs: "buffer" }, async (request: FastifyRequest, body: Buffer) => {
      refuseEncodings(request);
      if (type !== "application/json" && request.method !== "PATCH") {
        throw new Refusal("unsupported_media_type", `${type} is for PATCH; send application/json.`);
      }
      return body.length === 0 ? undefined : readJson(body);
    });
  }

  app.addHook("preValidation", async (request) => {
    refuseAddress(request);
    const schema = request.routeOptions.schema?.body as BodySchema | undefined;
    if (schema === undefined) {
      if (request.body === undefined || request.is404) return;
      throw new Refusal("invalid_input", "This request takes no body; leave it out.");
    }
    if (request.body !== undefined) return;
    if (!mayBeLeftOut(request.method, schema))
      throw new Refusal("invalid_input", "This request needs a body of JSON.");
    request.body = {};
  });
}

/** Takes the body as its exact text, for a file that is read with its own rules. */
export function addTextBodies(app: App): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    async (request: FastifyRequest, body: Buffer) => {
      refuseEncodings(request);
      return decodeUtf8(body, true);
    },
  );
}

/** Takes the body as the very bytes that came, for what is signed. */
export function addRawBodies(app: App): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    "application/json",
    { parseAs: "buffer" },
    async (_: FastifyRequest, body: Buffer) => body,
  );
}

function refuseEncodings(request: FastifyRequest): void {
  const encoding = request.headers["content-encoding"];
  if (encoding !== undefined && encoding.toLowerCase() !== "identity") {
    throw new Refusal(
      "unsupported_media_type",
      `Bodies are not taken as ${encoding}; send them as they are.`,
    );
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(request.headers["content-type"] ?? "")?.[1];
  if (charset !== undefined && charset.toLowerCase() !== "utf-8") {
    throw new Refusal("unsupported_media_type", `Bodies are not taken as ${charset}; send UTF-8.`);
  }
}

/** Stands for a query string that is no percent-encoded UTF-8. The router's parser itself must not throw. */
const unreadable = Symbol("unreadable");

export function readQuery(text: string): Record<string, unknown> {
  const query: Record<string | symbol, unknown> = Object.create(null);
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    try {
      const name = decodeURIComponent((at < 0 ? pair : pair.slice(0, at)).replaceAll("+", " "));
      const value = at < 0 ? "" : decodeURIComponent(pair.slice(at + 1).replaceAll("+", " "));
      const before = query[name];
      query[name] =
        before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
    } catch {
      query[unreadable] = true;
    }
  }
  return query;
}

function refuseAddress(request: FastifyRequest): void {
  const query = request.query as Record<string | symbol, unknown> | null;
  if (query?.[unreadable] === true) {
    throw new Refusal("malformed_request", "The query holds a percent-encoding that is no UTF-8 text.");
  }
  const errors = [
    ...findUnstorable(query).map((error) => ({ ...error, pointer: `/query${error.pointer}` })),
    ...findUnstorable(request.params).map((error) => ({ ...error, pointer: `/params${error.pointer}` })),
  ];
  const first = errors[0];
  if (first !== undefined) throw new Refusal("invalid_input", first.detail, { status: 400, errors });
}
