import pg from "pg";

for (let last = ""; ; ) {
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL, connectionTimeoutMillis: 3000 });
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query("SELECT pg_is_in_recovery() AS standby");
    await client.end();
    if (!rows[0].standby) break;
    throw new Error("it is a standby");
  } catch (error) {
    const reason = error.message || error.code;
    if (reason !== last) console.error(`waiting for the database: ${reason}`);
    last = reason;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
