import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

export interface Profile {
  /** What sessions were seen at in the time, most often first; instants are milliseconds since 1970. */
  waits(from: number, to: number): string[];
  close(): Promise<void>;
}

const intervalMs = 10;

/** Looks at what the sessions of the database do, a hundred times a second. */
export async function openProfile(connectionString: string): Promise<Profile> {
  const client = new pg.Client({ connectionString, application_name: "bench profile" });
  client.on("error", () => {});
  await client.connect();
  const samples: { at: number; what: string; count: number }[] = [];
  let stopped = false;
  const running = (async () => {
    while (!stopped) {
      const at = performance.timeOrigin + performance.now();
      const { rows } = await client.query<{ what: string; count: number }>({
        name: "look",
        text: `SELECT coalesce(nullif(application_name, ''), backend_type) || ' '
                 || coalesce(wait_event_type || '/' || wait_event, 'on the CPU')
                 || coalesce(' in ' || substring(query from '^\\s*(\\w+)'), '') AS what, count(*)::int AS count
               FROM pg_stat_activity
               WHERE pid <> pg_backend_pid() AND coalesce(wait_event_type, '') NOT IN ('Activity', 'Client')
                 AND (state = 'active' OR backend_type <> 'client backend')
               GROUP BY 1`,
      });
      for (const row of rows) samples.push({ at, ...row });
      await sleep(intervalMs);
    }
  })().catch(() => {});
  return {
    waits(from, to) {
      const counts = new Map<string, number>();
      for (const { at, what, count } of samples) {
        if (at >= from && at < to) counts.set(what, (counts.get(what) ?? 0) + count);
      }
      return [...counts].sort((a, b) => b[1] - a[1]).map(([what, count]) => `${count} × ${what}`);
    },
    async close() {
      stopped = true;
      await running;
      await client.end().catch(() => {});
    },
  };
}
