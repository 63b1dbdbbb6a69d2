import type { ServerResponse } from "node:http";
import { type Received, startReceiver } from "./receiver.ts";

export interface SentryEvent {
  event_id: string;
  timestamp: number;
  level: string;
  release: string;
  environment: string;
  transaction: string;
  exception: {
    values: {
      type: string;
      value: string;
      stacktrace?: { frames: { filename?: string; function?: string; lineno?: number }[] };
    }[];
  };
  tags: Record<string, string | number>;
  contexts: Record<string, Record<string, string>>;
}

export interface TestSentry {
  dsn: string;
  /** Every request as it came, headers and body. */
  received: Received[];
  events(): SentryEvent[];
  /** Waits until there is one of these. */
  until(wanted: (event: SentryEvent) => boolean): Promise<SentryEvent>;
  connections(): number;
  close(): Promise<void>;
}

/** A real HTTP server that takes envelopes as Sentry does (its "Envelopes"), and answers as it is told to. */
export async function startSentry(
  answer: (response: ServerResponse) => void = (response) => response.end('{"id":"0"}'),
): Promise<TestSentry> {
  const receiver = await startReceiver((_request, response) => answer(response));
  const events = () => receiver.received.flatMap(({ path, headers, body }) => eventsOf(path, headers, body));
  return {
    dsn: receiver.origin.replace("//", "//0123456789abcdef0123456789abcdef@").concat("/42"),
    received: receiver.received,
    events,
    async until(wanted) {
      const end = Date.now() + 20_000;
      for (;;) {
        const found = events().find(wanted);
        if (found !== undefined) return found;
        if (Date.now() > end)
          throw new Error(`not among ${JSON.stringify(events().map(({ tags }) => tags))}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    connections: receiver.connections,
    close: receiver.close,
  };
}

/** An envelope is lines of JSON: its header, and a header and a payload for each item. Throws at what is none of it. */
function eventsOf(path: string, headers: Received["headers"], body: string): SentryEvent[] {
  const address = new URL(path, "http://sentry");
  if (address.pathname !== "/api/42/envelope/") throw new Error(`sent to ${path}`);
  const key = address.searchParams.get("sentry_key") ?? headers["x-sentry-auth"];
  if (!String(key).includes("0123456789abcdef0123456789abcdef")) throw new Error("without the key");
  const [head = "", ...items] = body.trimEnd().split("\n");
  const { event_id, sent_at } = JSON.parse(head) as Record<string, string>;
  if (event_id === undefined || sent_at === undefined) throw new Error(`no envelope: ${head}`);
  return items.flatMap((line, index) => {
    if (index % 2 === 0) {
      const { type } = JSON.parse(line) as { type: string };
      if (type !== "event") throw new Error(`an item of type ${type}`);
      return [];
    }
    return [JSON.parse(line) as SentryEvent];
  });
}
