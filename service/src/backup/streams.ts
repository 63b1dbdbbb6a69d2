import { createHash } from "node:crypto";
import { addAbortSignal, finished, PassThrough, pipeline, type Readable, Transform } from "node:stream";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { AppError } from "../core/errors.ts";

// Not by a flag of the command line, which whoever starts the program would have to know.
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: { type: "minor" }) => void;
const collectEveryBytes = 2 * 1024 * 1024;
let sinceCollected = 0;

/**
 * Counts what a stream has let through, and gives the buffers' memory back every few megabytes. It lies outside of V8's
 * heap, where V8 lets some 64 MB gather before it looks; a backup has to get by with little, beside a server.
 */
export function letThrough(bytes: number): void {
  sinceCollected += bytes;
  if (sinceCollected < collectEveryBytes) return;
  sinceCollected = 0;
  collect({ type: "minor" });
}

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
        letThrough(chunk.length);
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
    letThrough(chunk.length);
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
 * its own next bytes may take for ever to end. Whichever of the two ends, so does the other.
 */
export function takeIn(body: Readable, signal: AbortSignal | undefined): Intake {
  const stream = new PassThrough();
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

/**
 * Gives out what is stored, as a stream that fails with `fault` of what its source failed with, or when it ends before its
 * `bytes`; `target` is for the message. The source ends with it.
 */
export function giveOut(
  source: Readable,
  bytes: number,
  target: string,
  fault: (error: unknown) => unknown,
  signal?: AbortSignal,
): Readable {
  let seen = 0;
  const out = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length;
      done(null, chunk);
    },
    flush(done) {
      if (seen >= bytes) return done();
      const short = `${target} ended after ${seen} of its ${bytes} bytes; see to where it is kept, and run it again.`;
      done(new AppError("unavailable", short));
    },
  });
  // Not by pipeline: it would hand on the source's own error, which names neither the file nor the way out.
  finished(source, { writable: false }, (error) => {
    if (error) out.destroy(fault(error) as Error);
  });
  out.once("close", () => source.destroy());
  source.pipe(out);
  return signal === undefined ? out : addAbortSignal(signal, out);
}
