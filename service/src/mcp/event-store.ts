import type { EventStore } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";

const maximumEvents = 200;
const maximumBytes = 128 * 1024;

interface Stored {
  sequence: number;
  stream: string;
  message: JSONRPCMessage;
  bytes: number;
}

/**
 * The last messages of one session, for a client whose stream broke and that goes on behind its Last-Event-ID. Bounded
 * in number and size: what a client has missed beyond that it must read again, which is why `holds` is asked first.
 */
export class RecentEvents implements EventStore {
  readonly #events: Stored[] = [];
  #bytes = 0;
  #last = 0;
  /** The newest event of all that were dropped. */
  #dropped = 0;

  async storeEvent(stream: string, message: JSONRPCMessage): Promise<string> {
    const bytes = Buffer.byteLength(JSON.stringify(message));
    const sequence = ++this.#last;
    this.#events.push({ sequence, stream, message, bytes });
    this.#bytes += bytes;
    while (this.#events.length > maximumEvents || this.#bytes > maximumBytes) {
      const oldest = this.#events.shift();
      if (oldest === undefined) break;
      this.#bytes -= oldest.bytes;
      this.#dropped = oldest.sequence;
    }
    return `${sequence}-${stream}`;
  }

  /** Whether everything behind this event is still here. */
  holds(eventId: string): boolean {
    const event = parse(eventId);
    return event !== undefined && event.sequence >= this.#dropped && event.sequence <= this.#last;
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const event = parse(lastEventId);
    if (event === undefined) throw new Error("The event was not made by this session.");
    for (const { sequence, stream, message } of [...this.#events]) {
      // An event that only opened its stream has no message.
      if (stream !== event.stream || sequence <= event.sequence || !("jsonrpc" in message)) continue;
      await send(`${sequence}-${stream}`, message);
    }
    return event.stream;
  }
}

function parse(eventId: string): { sequence: number; stream: string } | undefined {
  const [, sequence, stream] = /^([1-9]\d{0,14})-([A-Za-z0-9_-]{1,64})$/.exec(eventId) ?? [];
  return sequence === undefined || stream === undefined ? undefined : { sequence: Number(sequence), stream };
}
