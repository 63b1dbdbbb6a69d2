import { once } from "node:events";
import { get, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Event } from "../../src/core/events/schema.ts";

export interface Block {
  id: number | undefined;
  event: string | undefined;
  data: unknown;
  retry: number | undefined;
}

export interface TestStream {
  status: number;
  headers: IncomingHttpHeaders;
  /** What came so far, comments left out. */
  blocks: Block[];
  comments: number;
  /** Resolves when the answer has ended: by itself, or because the line was cut. */
  closed: Promise<"ended" | "cut">;
  /** The events among the blocks. */
  events(): Event[];
  /** Waits for a block of that name, or for so many events. */
  until(what: string | number, ms?: number): Promise<Block>;
  leave(): Promise<void>;
}

const control = new Set(["start", "reset", "end"]);

/** Opens a stream as a client without any help would, so that a test sees all that comes and leaves when it wants to. */
export async function openStream(
  url: string,
  token: string,
  headers: Record<string, string> = {},
): Promise<TestStream> {
  // Not by fetch, whose pool opens another connection when one is cut, and leaves it unused until a server gives up on it.
  const request = get(url, {
    headers: { authorization: `Bearer ${token}`, accept: "text/event-stream", ...headers },
    agent: false,
  });
  const [answer] = (await once(request, "response")) as [IncomingMessage];
  answer.setEncoding("utf8");
  const blocks: Block[] = [];
  let comments = 0;
  let rest = "";
  const read = async (): Promise<"ended" | "cut"> => {
    try {
      for await (const chunk of answer) {
        rest += chunk;
        for (let end = rest.indexOf("\n\n"); end !== -1; end = rest.indexOf("\n\n")) {
          const text = rest.slice(0, end);
          rest = rest.slice(end + 2);
          if (text.startsWith(":")) comments += 1;
          else blocks.push(parse(text));
        }
      }
      return "ended";
    } catch {
      return "cut";
    }
  };
  const closed = read();
  const stream: TestStream = {
    status: answer.statusCode ?? 0,
    headers: answer.headers,
    blocks,
    get comments() {
      return comments;
    },
    closed,
    events: () =>
      blocks
        .filter(({ event }) => event !== undefined && !control.has(event))
        .map(({ data }) => data as Event),
    async until(what, ms = 10_000) {
      for (const limit = performance.now() + ms; performance.now() < limit; ) {
        const found =
          typeof what === "string" ? blocks.find(({ event }) => event === what) : blocks[blocks.length - 1];
        if (found !== undefined && (typeof what === "string" || stream.events().length >= what)) return found;
        await sleep(5);
      }
      throw new Error(`no ${what} within ${ms} ms, but ${JSON.stringify(blocks.slice(-3))}`);
    },
    async leave() {
      request.destroy();
      await closed;
    },
  };
  return stream;
}

function parse(text: string): Block {
  const fields = new Map(
    text.split("\n").map((line) => {
      const [name = "", ...value] = line.split(": ");
      return [name, value.join(": ")];
    }),
  );
  const number = (name: string) => (fields.has(name) ? Number(fields.get(name)) : undefined);
  const data = fields.get("data");
  return {
    id: number("id"),
    event: fields.get("event"),
    data: data === undefined ? undefined : JSON.parse(data),
    retry: number("retry"),
  };
}
