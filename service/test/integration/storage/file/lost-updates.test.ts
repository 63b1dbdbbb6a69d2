import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createFolder, type TestFolder } from "../../../support/folder.ts";
import { plainFile, type StatusServer, startStatusServer, tally } from "../../../support/status-servers.ts";

const program = fileURLToPath(new URL("../../../../src/bin/cli.ts", import.meta.url));
const servers: StatusServer[] = [];
let folder: TestFolder;

beforeEach(async () => {
  folder = await createFolder(plainFile(20));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map(async ({ close }) => await close()));
  await folder.remove();
});

async function start(): Promise<StatusServer> {
  const env = { PATH: process.env.PATH ?? "", DATABASE_URL: `file:${folder.directory}`, LOG_LEVEL: "silent" };
  const server = await startStatusServer({ args: [program, "mcp"], cwd: folder.directory, env });
  servers.push(server);
  return server;
}

it("of two MCP servers on one file that change one task each at once, no acknowledged change is lost", async () => {
  const [first, second] = await Promise.all([start(), start()]);
  const rounds = await tally(
    [
      [first, "1"],
      [second, "2"],
    ],
    20,
    folder.read,
  );
  expect(rounds).toMatchObject({ sent: 40, acknowledged: 40, kept: 40, lost: 0, rounds: 0 });
}, 120_000);

it("of ten parallel changes by one MCP server, all are kept", async () => {
  const server = await start();
  const changes = Array.from({ length: 10 }, (_, index): [StatusServer, string] => [
    server,
    String(index + 1),
  ]);
  const burst = await tally(changes, 3, folder.read);
  expect(burst).toMatchObject({ sent: 30, acknowledged: 30, kept: 30, lost: 0 });
}, 120_000);
