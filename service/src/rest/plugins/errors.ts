import type { Socket } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { TellDefect } from "../../defects.ts";
import type { App } from "../http.ts";
import { problemType, Refusal, renderProblem } from "../problem.ts";

/** Answers every thrown value, and every address that no route has, as a problem. */
export function addErrors(app: App, tellDefect: TellDefect = () => {}): void {
  app.decorate("routeTable", []);
  app.decorate("tellDefect", tellDefect);
  app.addHook("onRoute", ({ method, url }) => {
    for (const one of [method].flat()) app.routeTable.push({ method: one, url });
  });
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  // QUERY would be refused for its missing body before anybody has looked whether there is such a method here.
  app.addHttpMethod("QUERY", { overrideExisting: true });
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(app, request.url);
    const refusal =
      allowed.length === 0
        ? new Refusal(
            "not_found",
            "There is nothing at this address; see /docs, or /openapi.json, for those that exist.",
          )
        : new Refusal("method_not_allowed", `Use ${allowed.join(" or ")} here.`, {
            headers: { allow: allowed.join(", ") },
          });
    return sendProblem(refusal, request, reply);
  });
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const inBody = !["GET", "HEAD", "DELETE"].includes(request.method);
  const { body, headers, defect } = renderProblem(withLimit(error, request), request.id, inBody);
  if (defect) sayDefect(error, request, "request failed");
  else if (body.status === 503)
    request.log.warn({ err: error, ...subject(request) }, "request could not be served");
  else request.log.debug({ err: error, ...subject(request), code: body.code }, "request refused");
  // The header is set by hand because errors may come before the hook that sets it.
  return reply
    .code(body.status)
    .headers({ "x-request-id": request.id, ...headers })
    .type(problemType)
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(body);
}

/** A defect, in the log with its request, and to whoever else is told. */
export function sayDefect(error: unknown, request: FastifyRequest, message: string): void {
  request.log.error({ err: error, ...subject(request) }, message);
  const { method, routeOptions, id: requestId, server } = request;
  server.tellDefect(error, { part: "rest", what: routeOptions.url ?? "no route", method, requestId });
}

/** The framework's error for a body that is too large does not say what would not be. */
function withLimit(error: unknown, request: FastifyRequest): unknown {
  const tooLarge = error instanceof Error && "code" in error && error.code === "FST_ERR_CTP_BODY_TOO_LARGE";
  if (!tooLarge) return error;
  const { bodyLimit } = request.routeOptions;
  return new Refusal("too_large", `The body is larger than ${bodyLimit} bytes; send less at once.`);
}

function subject(request: FastifyRequest): Record<string, unknown> {
  const { method, routeOptions, caller } = request;
  return { method, route: routeOptions.url, ...(caller && { actorId: caller.actor.id }) };
}

declare module "fastify" {
  interface FastifyInstance {
    /** Every route, in the order of registration. */
    routeTable: { method: string; url: string }[];
    tellDefect: TellDefect;
  }
}

/** Which methods an address has. */
function methodsOf(app: App, url: string): string[] {
  const address = url.split("?", 1)[0] ?? "";
  const found = app.routeTable.filter(
    (route) => !route.url.includes("*") && patternOf(route.url).test(address),
  );
  return [...new Set(found.map(({ method }) => method))].sort();
}

function patternOf(url: string): RegExp {
  const parts = url
    .split("/")
    .map((part) => (/^:[^:]/.test(part) ? "[^/]+" : escaped(part.replaceAll("::", ":"))));
  return new RegExp(`^${parts.join("/")}$`);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

const rawProblems: Record<string, [number, string, string, string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [
    408,
    "Request Timeout",
    "request_timeout",
    "The request took too long to arrive.",
  ],
  HPE_HEADER_OVERFLOW: [
    431,
    "Request Header Fields Too Large",
    "headers_too_large",
    "The headers are too large.",
  ],
};

/** Answers what is no HTTP request, on the bare socket: there is no request to reply to. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, reason, code, detail] = rawProblems[error.code ?? ""] ?? [
    400,
    "Bad Request",
    "malformed_request",
    "This is no HTTP request.",
  ];
  const requestId = crypto.randomUUID();
  const { body } = renderProblem(
    new Refusal(code as "malformed_request", detail, { status }),
    requestId,
    false,
  );
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: ${problemType}\r\nX-Request-Id: ${requestId}\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  );
}
