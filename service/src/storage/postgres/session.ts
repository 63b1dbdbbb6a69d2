import pg from "pg";

/** One connection by itself, for what belongs to a session: advisory locks, and statements that refuse a transaction. */
export interface Session {
  query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

export async function openSession(connectionString: string, applicationName: string): Promise<Session> {
  const client = new pg.Client({ connectionString, application_name: applicationName });
  // A connection that breaks while idle fails the next query, which says so; unheard, it would end the process.
  client.on("error", () => {});
  const close = async () => await client.end().catch(() => {});
  try {
    await client.connect();
  } catch (error) {
    await close();
    throw error;
  }
  return { query: async (text, values) => (await client.query(text, values)).rows, close };
}
