import type pg from "pg";
import type { Admission } from "./admission.ts";
import { gather } from "./gather.ts";

/** Connections of a pool that each carry several short reads at once. */
export interface Lanes {
  /** The work sends its statement at once, and may not need a connection for itself. */
  share<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T>;
}

interface Lane {
  client: Promise<pg.PoolClient>;
  connected: boolean;
  /** How many reads have no answer yet. */
  reads: number;
}

/** So many reads on one connection before another is taken: enough to fill it, few enough to wait behind. */
const depth = 8;

/** What a server is asked in one turn of its event loop goes out together. `most` is how many connections are shared so. */
export function createLanes(pool: pg.Pool, admission: Admission, most: number): Lanes {
  const lanes: Lane[] = [];

  const open = (): Lane => {
    const lane: Lane = { client: admission.acquire(), connected: false, reads: 0 };
    lane.client.then(
      () => {
        lane.connected = true;
      },
      () => {},
    );
    lanes.push(lane);
    return lane;
  };

  const choose = (): Lane => {
    // Where somebody waits for a connection, those that are shared come free: a read joins only what waits itself.
    const joined = lanes
      .filter((lane) => !lane.connected || pool.waitingCount === 0)
      .sort((a, b) => a.reads - b.reads)[0];
    if (joined === undefined) return open();
    return joined.reads >= depth && lanes.length < most ? open() : joined;
  };

  return {
    async share(work) {
      const lane = choose();
      lane.reads += 1;
      try {
        const client = await lane.client;
        // Until all that came in with this turn has been looked at.
        gather(client, setImmediate);
        return await admission.wait(work(client));
      } finally {
        lane.reads -= 1;
        if (lane.reads === 0) {
          lanes.splice(lanes.indexOf(lane), 1);
          if (lane.connected) (await lane.client).release();
        }
      }
    },
  };
}
