import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Event } from "../../core/index.ts";
import { pathOf } from "../client.ts";
import { action, type Call, examples, placed } from "../command.ts";
import { eventLine } from "../event-view.ts";
import type { Host } from "../host.ts";
import { CliError, exitCodes } from "../problem.ts";

interface WatchOptions {
  after?: number;
}

/** The server gives a sign of life every quarter of a minute. */
const silenceMs = 60_000;
const longestPauseMs = 30_000;

export function addWatch(program: Command, host: Host): void {
  const watch = program
    .command("watch")
    .description("follow what happens in a project, as it happens; Ctrl-C ends it")
    .option("--after <sequence>", "also what came after this event; 0 is everything there was", sequence);
  placed(watch, "project");
  examples(watch, "watch", "watch --after 0", "watch --json | jq -c 'select(.type == \"claim.failed\")'");
  watch.action(
    action<WatchOptions, []>(host, async (call, { after }) => {
      const { project } = await call.place();
      const interrupt = host.onInterrupt();
      try {
        await follow(call, project, after, interrupt.signal);
      } finally {
        interrupt.dispose();
      }
      return undefined;
    }),
  );
}

/** Goes on after whatever cuts the connection, from the last event that was shown. */
async function follow(
  call: Call,
  project: string,
  after: number | undefined,
  stop: AbortSignal,
): Promise<void> {
  const { client, out, host } = call;
  const path = pathOf("projects", project, "events", "stream");
  let last = after?.toString();
  let pauseMs = 1000;
  for (let connected = false; !stop.aborted; ) {
    try {
      const silence = createSilence(stop);
      const response = await client.open(
        path,
        { accept: "text/event-stream", ...(last === undefined ? {} : { "last-event-id": last }) },
        silence.signal,
      );
      if (!connected && !out.json) call.sayPlace({ project });
      connected = true;
      for await (const { id, event, data } of blocksOf(response, silence)) {
        pauseMs = 1000;
        if (id !== undefined) last = id;
        if (event === "end") break;
        if (event === "reset")
          host.stderr.write("task-master-pro: the log was set back; some events may be missing\n");
        else if (event !== "start") show(call, JSON.parse(data) as Event);
      }
    } catch (error) {
      if (stop.aborted) return;
      if (!connected || !isPassing(error)) throw error;
    }
    await sleep(pauseMs, undefined, { signal: stop }).catch(() => {});
    pauseMs = Math.min(2 * pauseMs, longestPauseMs);
  }
}

/** A server that is away or restarts, a cut connection, or silence; anything else would only come again. */
function isPassing(error: unknown): boolean {
  if (error instanceof CliError) return error.exitCode === exitCodes.unavailable;
  return error instanceof TypeError || (error instanceof Error && error.name === "AbortError");
}

function sequence(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("It must be an event's sequence, a whole number from 0.");
}

interface Silence {
  /** Aborted when nothing has come for too long: the other side may be gone without a word. */
  signal: AbortSignal;
  heard(): void;
}

function createSilence(stop: AbortSignal): Silence {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), silenceMs).unref();
  return { signal: AbortSignal.any([stop, controller.signal]), heard: () => void timer.refresh() };
}

function blocksOf({ body }: Response, silence: Silence) {
  if (body === null) throw new Error("the stream has no body");
  return body
    .pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          silence.heard();
          controller.enqueue(chunk);
        },
      }),
    )
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream());
}

function show({ out }: Call, event: Event): void {
  // One a line, for programs that read line by line.
  if (out.json) out.line(event);
  else eventLine(out, event);
}
