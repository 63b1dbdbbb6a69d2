import { join } from "node:path";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { refusal } from "../cli/problem.ts";
import { apiPrefix, type Transport } from "../cli/transport.ts";
import { compose } from "../compose.ts";
import { loadConfig } from "../config.ts";
import { AppError } from "../core/index.ts";
import { createLog } from "../log.ts";
import { buildApp } from "../rest/app.ts";
import type { App } from "../rest/http.ts";
import { readVersion } from "../version.ts";
import { actAsOwner } from "./owner.ts";

/** The REST API over a project's folder, in this process, as the folder's owner: who can write the file may do all. */
export async function openLocal(directory: string): Promise<Transport> {
  const config = loadConfig({ ...ownSettings(), DATABASE_URL: `file:${directory}`, LOG_LEVEL: "error" });
  const log = createLog(config, { write: (line) => void process.stderr.write(line) });
  const { core, storage, sessionKey, close } = await compose(config, log);
  try {
    const { migrations } = await storage.check();
    if (!migrations.ok) throw new AppError("unavailable", migrations.detail);
    const only = await actAsOwner(storage);
    // Nobody else may have been here since they did.
    await core.claims.expire();
    const lifecycle = { draining: false, obstacle: null };
    const app = await buildApp({ core, config, log, sessionKey, lifecycle, version: readVersion(), only });
    return {
      name: join(directory, ".taskmaster", "tasks", "tasks.json"),
      send: (path, init) => send(app, path, init),
      async close() {
        await app.close();
        await close();
      },
    };
  } catch (error) {
    await close();
    if (!(error instanceof AppError)) throw error;
    throw refusal(error.code, "The folder cannot be used", error.message, error);
  }
}

/** Without those whose names other programs use as well, whose values need not be good for this one. */
function ownSettings(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("TASKMASTER_")));
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What fetch would do, without a network. */
async function send(app: App, path: string, init: RequestInit): Promise<Response> {
  const { method = "GET", body, headers, signal } = init;
  const answer = await app.inject({
    method: method as Method,
    url: `${apiPrefix}${path}`,
    headers: Object.fromEntries(new Headers(headers)),
    payloadAsStream: true,
    ...(signal ? { signal } : {}),
    ...(body === undefined || body === null ? {} : { payload: payloadOf(body) }),
  });
  const empty = answer.statusCode === 204;
  const stream = empty ? null : (Readable.toWeb(answer.stream()) as globalThis.ReadableStream);
  return new Response(stream, {
    status: answer.statusCode,
    headers: Object.entries(answer.headers).flatMap(([name, value]) =>
      [value].flat().map((one): [string, string] => [name, String(one)]),
    ),
  });
}

function payloadOf(body: NonNullable<RequestInit["body"]>): string | Readable {
  return typeof body === "string" ? body : Readable.fromWeb(body as unknown as ReadableStream);
}
