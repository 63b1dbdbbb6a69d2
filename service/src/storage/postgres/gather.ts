import type { Duplex } from "node:stream";
import type pg from "pg";

const held = new WeakSet<Duplex>();

/**
 * Keeps what is sent on a connection until `when` calls back, so that it goes in one write: to write, and to wake the
 * database for it, costs more than a short statement does.
 */
export function gather(client: pg.PoolClient, when: (release: () => void) => void): void {
  const { stream } = client.connection;
  if (held.has(stream)) return;
  held.add(stream);
  stream.cork();
  when(() => {
    held.delete(stream);
    stream.uncork();
  });
}
