import { once } from "node:events";
import type { ServerResponse } from "node:http";

/** What may wait for a reader that is slower than what happens; it gets the rest by Last-Event-ID. */
const maximumWaitingBytes = 4 * 1024 * 1024;

/**
 * Writes a stream of events to a client until either ends. The source is read as fast as it comes, because it has no
 * bound of its own: what a client does not take would otherwise pile up where nobody counts it.
 */
export async function pump(source: ReadableStream<Uint8Array>, response: ServerResponse): Promise<void> {
  const reader = source.getReader();
  const gone = once(response, "close").then(() => reader.cancel().catch(() => {}));
  response.on("error", () => {});
  response.flushHeaders();
  for (;;) {
    const { value, done } = await reader.read();
    if (done || response.destroyed) break;
    response.write(value);
    if (response.writableLength > maximumWaitingBytes) response.destroy();
  }
  if (!response.destroyed) response.end();
  await gone;
}
