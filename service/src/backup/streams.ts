import { createHash } from "node:crypto";
import { addAbortSignal, pipeline, type Readable, Transform } from "node:stream";

/** What went through a stream: how many bytes, and their SHA-256 in hexadecimal once it has ended. */
export interface Measure {
  stream: Transform;
  bytes(): number;
  sha256(): string;
}

/** A stream that passes bytes on unchanged and measures them; `onBytes` is told how many came at a time. */
export function createMeasure(onBytes?: (bytes: number) => void): Measure {
  const hash = createHash("sha256");
  let bytes = 0;
  return {
    stream: new Transform({
      transform(chunk: Buffer, _encoding, done) {
        bytes += chunk.length;
        hash.update(chunk);
        onBytes?.(chunk.length);
        done(null, chunk);
      },
    }),
    bytes: () => bytes,
    sha256: () => hash.digest("hex"),
  };
}

/** The size and SHA-256 of a stream, read to its end. */
export async function measure(
  source: Readable,
  onBytes?: (bytes: number) => void,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    hash.update(chunk);
    onBytes?.(chunk.length);
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** A body that somebody else gave, as one of ours. */
export interface Intake {
  stream: Readable;
  /** Of what a use of the stream failed with: the signal's reason, or the body's own error, when it came from there. */
  cause(error: unknown): unknown;
  /** Ends both. */
  destroy(): void;
}

/**
 * Takes a body in, through a stream that ends at once when it is destroyed or the signal is aborted: a body that waits for
 * its own next bytes may take for ever to end. Whichever of the two ends, so does the other. `limit` throws for too many
 * bytes in all.
 */
export function takeIn(
  body: Readable,
  signal: AbortSignal | undefined,
  limit?: (bytes: number) => void,
): Intake {
  let bytes = 0;
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      try {
        limit?.(bytes);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  // Whoever uses the stream sees its errors too.
  pipeline(body, stream, () => undefined);
  if (signal !== undefined) addAbortSignal(signal, stream);
  return {
    stream,
    cause(error) {
      if (signal?.aborted === true) return signal.reason;
      const own = stream.errored;
      return own !== null && (error === own || (error instanceof Error && error.cause === own)) ? own : error;
    },
    destroy() {
      stream.destroy();
      body.destroy();
    },
  };
}
