import { once } from "node:events";
import { createServer, connect as dial, type Socket } from "node:net";

export interface Cutter {
  connectionString: string;
  /**
   * The next connection is cut off right after its nth change was sent, with no answer to it read; 0 never cuts.
   * Counts from zero again.
   */
  cutAfter(nth: number): void;
  /** How many changes were sent since. */
  changes(): number;
  close(): Promise<void>;
}

/** These change nothing, so that to be killed after one of them is to be killed before it. */
const idle = /^\s*(SELECT|SET|SHOW)\b/i;

/**
 * Stands between a client and its database, and cuts the line at a chosen place. That is all that a database sees of a
 * client that is killed; it goes on with what it was told, and finds nobody to answer.
 */
export async function openCutter(target: string): Promise<Cutter> {
  const { hostname, port } = new URL(target);
  let wanted = 0;
  let seen = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = dial(Number(port || 5432), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    far.pipe(near);
    const read = createReader();
    near.on("data", (chunk: Buffer) => {
      for (const { bytes, text } of read(chunk)) {
        if (text === null || idle.test(text)) {
          far.write(bytes);
          continue;
        }
        seen += 1;
        if (seen !== wanted) {
          far.write(bytes);
          continue;
        }
        near.removeAllListeners("data");
        far.unpipe(near);
        far.write(bytes, () => {
          far.destroy();
          near.destroy();
        });
        return;
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the cutter has no port");
  const own = new URL(target);
  own.hostname = "127.0.0.1";
  own.port = String(address.port);
  return {
    connectionString: own.href,
    cutAfter(nth) {
      wanted = nth;
      seen = 0;
    },
    changes: () => seen,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Cuts what a client sends into whole messages; the text is a statement's, once the statement is complete. */
function createReader(): (chunk: Buffer) => { bytes: Buffer; text: string | null }[] {
  let rest = Buffer.alloc(0);
  let started = false;
  let parsed = "";
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const messages: { bytes: Buffer; text: string | null }[] = [];
    for (;;) {
      // The first message has no type before its length.
      const head = started ? 1 : 0;
      if (rest.length < head + 4) return messages;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return messages;
      const bytes = rest.subarray(0, length);
      rest = rest.subarray(length);
      const type = started ? String.fromCharCode(bytes[0] ?? 0) : "";
      started = true;
      const body = bytes.subarray(head + 4).toString("utf8");
      if (type === "P") parsed = body.split("\0")[1] ?? "";
      const text = type === "Q" ? body : type === "S" ? parsed : null;
      messages.push({ bytes, text });
    }
  };
}
