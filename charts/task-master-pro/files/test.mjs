// What a user sees through the Service: it is alive, ready, says its version, and lets nobody in without a token.
const url = process.env.URL;
const ask = async (path) => {
  const answer = await fetch(url + path, { signal: AbortSignal.timeout(5000) });
  return { status: answer.status, body: await answer.json() };
};
const checks = [
  ["/livez answers", async () => (await ask("/livez")).status === 200],
  [
    "/readyz says that the database and its schema are there",
    async () => (await ask("/readyz")).body.status === "ok",
  ],
  [
    "/openapi.json is of this release",
    async () => (await ask("/openapi.json")).body.info.version === process.env.VERSION,
  ],
  ["no token, no entry", async () => (await ask("/api/v1/projects")).status === 401],
];
for (const [name, check] of checks) {
  const ok = await check().catch((error) => console.error(error));
  console.log(`${ok === true ? "ok" : "not ok"}: ${name}`);
  if (ok !== true) process.exitCode = 1;
}
