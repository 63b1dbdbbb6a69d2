import type { OutgoingHttpHeaders } from "node:http";
import { Socket } from "node:net";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../config.ts";
import { AppError, type Event, type Following } from "../core/index.ts";
import type { App } from "./http.ts";
import { sayDefect } from "./plugins/errors.ts";
import { callerKey } from "./plugins/limits.ts";
import { Refusal } from "./problem.ts";

/** The open event streams of the process. */
export interface Streams {
  /**
   * Takes a place for a stream of the caller's, until the controller is aborted. Throws a Refusal (429) when the token
   * has as many as it may, and unavailable (503) when the process has.
   */
  take(request: FastifyRequest): AbortController;
  /** Answers with the stream, which goes on until the controller is aborted or there is nothing more to follow. */
  send(request: FastifyRequest, reply: FastifyReply, stream: Stream): void;
}

/** Who counts streams, and how soon events are in them. */
export interface StreamObserver {
  /** Returns what is to be called once, when it is closed. */
  opened(kind: "events"): () => void;
  /** An event was written to a stream, so many seconds after it was made. */
  delivered(seconds: number): void;
}

export interface Stream {
  following: Following;
  /** Whether the reader named the place that it begins behind. */
  placed: boolean;
  controller: AbortController;
}

/** Why a stream ends whose reader takes nothing any more, so that there is no telling it. */
class Stalled extends Error {}

/** How long a reader has to take the last words. */
const farewellMs = 1_000;
const retrySeconds = "5";

export function addStreams(app: App, config: Config, observer?: StreamObserver): Streams {
  const { heartbeatSeconds, max, maxPerToken } = config.streams;
  const times = { heartbeatMs: heartbeatSeconds * 1000, patienceMs: config.requestTimeoutSeconds * 1000 };
  const open = new Set<AbortController>();
  const counts = new Map<string, number>();
  let stopping = false;
  const stop = (controller: AbortController) =>
    controller.abort(new AppError("unavailable", "The server is stopping; connect again."));

  // Endless answers would hold the server's close up. Their readers come back by themselves, to another process.
  app.addHook("preClose", async () => {
    stopping = true;
    for (const controller of open) stop(controller);
  });

  return {
    take(request) {
      const key = callerKey(request);
      const count = counts.get(key) ?? 0;
      if (count >= maxPerToken) {
        const detail = `This token has ${count} streams open here, which is as many as it may; close one.`;
        throw new Refusal("rate_limited", detail, { headers: { "retry-after": retrySeconds } });
      }
      if (open.size >= max) {
        throw new AppError("unavailable", "The server has as many streams open as it may; try again.");
      }
      const controller = new AbortController();
      open.add(controller);
      counts.set(key, count + 1);
      controller.signal.addEventListener("abort", () => {
        open.delete(controller);
        const left = (counts.get(key) ?? 1) - 1;
        if (left === 0) counts.delete(key);
        else counts.set(key, left);
      });
      return controller;
    },

    send(request, reply, stream) {
      if (stopping) stop(stream.controller);
      reply.hijack();
      void run(request, reply, stream, times, observer);
    },
  };
}

async function run(
  request: FastifyRequest,
  reply: FastifyReply,
  { following, placed, controller }: Stream,
  { heartbeatMs, patienceMs }: { heartbeatMs: number; patienceMs: number },
  observer: StreamObserver | undefined,
): Promise<void> {
  const { signal } = controller;
  const closed = observer?.opened("events");
  // What was made before is replayed, or has waited for its reader: it tells nothing of how soon events come.
  let liveSince = Date.now();
  const out = reply.raw;
  let count = 0;
  let full = false;
  let drained = () => {};
  const onDrain = () => {
    full = false;
    drained();
  };
  out.on("drain", onDrain);
  signal.addEventListener("abort", onDrain);
  out.on("error", () => {});
  out.on("close", () => controller.abort());
  // Its reader may have left while the stream was being opened.
  if (out.destroyed) controller.abort();

  const write = (frame: string | Buffer) => {
    full = !out.write(frame);
    heartbeat.refresh();
  };
  const heartbeat = setInterval(() => {
    if (!full) write(":\n\n");
  }, heartbeatMs);

  /** Returns the place behind what fitted. The rest is read again in its time, so that none of it waits in memory. */
  const writePage = (events: Event[], place: number): number => {
    let written = place;
    for (const event of events) {
      if (full) break;
      write(frameOf(event));
      if (observer !== undefined) {
        const made = Date.parse(event.createdAt);
        // The database's clock made it, and may be ahead.
        if (made >= liveSince) observer.delivered(Math.max(0, Date.now() - made) / 1000);
      }
      written = event.sequence;
      count += 1;
    }
    return written;
  };

  const drain = async () => {
    // Nothing more would come of it: neither room nor a word of the reader's leaving, which has been said.
    if (signal.aborted) return;
    const cut = setTimeout(() => controller.abort(new Stalled()), patienceMs);
    await new Promise<void>((resolve) => {
      drained = resolve;
    });
    clearTimeout(cut);
  };

  try {
    out.writeHead(200, { ...(reply.getHeaders() as OutgoingHttpHeaders), ...streamHeaders });
    write(greeting(following, placed));
    for (let place = following.from; ; ) {
      if (full) {
        await drain();
        liveSince = Date.now();
      }
      place = writePage(await following.next(place), place);
    }
  } catch (error) {
    const left = out.destroyed;
    const stalled = error instanceof Stalled;
    const why = left ? "left" : stalled ? "stalled" : codeOf(error);
    const durationMs = Math.round(reply.elapsedTime);
    request.log.info({ route: request.routeOptions.url, events: count, durationMs, why }, "stream ended");
    if (why === "internal_error") sayDefect(error, request, "stream failed");
    // Reset and not closed: the kernel would keep what it holds for a reader, some megabytes, until that one takes it.
    const reset = () => {
      // A call from within the process, as the command line makes, has no connection of its own.
      if (out.socket instanceof Socket) out.socket.resetAndDestroy();
      else out.destroy();
    };
    if (left || stalled) reset();
    else out.end(farewell(error));
    setTimeout(reset, farewellMs).unref();
  } finally {
    clearInterval(heartbeat);
    controller.abort();
    closed?.();
  }
}

const streamHeaders = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store, no-transform",
  // nginx, and the ingress that is made of it, would else hold events back until they fill a buffer.
  "x-accel-buffering": "no",
  connection: "close",
};

const frames = new WeakMap<Event, Buffer>();

/** The event as a block of the stream (WHATWG HTML, server-sent events), made once for all who are sent it. */
function frameOf(event: Event): Buffer {
  const known = frames.get(event);
  if (known !== undefined) return known;
  const frame = Buffer.from(block(event.type, event, event.sequence));
  frames.set(event, frame);
  return frame;
}

function block(type: string, data: object, id?: number): string {
  return `${id === undefined ? "" : `id: ${id}\n`}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** `reset` and `start` give a place to come back to: to who named one that does not exist, and to who named none. */
function greeting({ from, reset }: Following, placed: boolean): string {
  // Apart by chance: the readers of a process that stops must not all come back at the same moment.
  const retry = `retry: ${1_000 + Math.floor(Math.random() * 2_000)}\n\n`;
  if (placed && !reset) return retry;
  return retry + block(reset ? "reset" : "start", { last: from }, from);
}

function codeOf(error: unknown): string {
  return error instanceof AppError ? error.code : "internal_error";
}

function farewell(error: unknown): string {
  const detail =
    error instanceof AppError ? error.message : "The server failed on this stream; connect again.";
  return block("end", { code: codeOf(error), detail });
}
