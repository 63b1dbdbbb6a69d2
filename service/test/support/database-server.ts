import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import pg from "pg";
import { startServer } from "../../src/storage/embedded/server.ts";

export interface DatabaseServer {
  /** Of a user who may create databases. */
  url: string;
  kind: "TEST_DATABASE_URL" | "container" | "embedded";
  stop(): Promise<void>;
}

const image = "postgres:17-trixie";

/** A real PostgreSQL, from the best of three places that this machine has. */
export async function openDatabaseServer(): Promise<DatabaseServer> {
  const given = process.env.TEST_DATABASE_URL;
  if (given !== undefined && given !== "") {
    return { url: given, kind: "TEST_DATABASE_URL", stop: async () => {} };
  }
  // Forced, so that a run that is meant for one kind cannot pass on the other.
  const kind = process.env.TEST_POSTGRES;
  if (kind === "embedded") return await openEmbeddedServer();
  const container = await openContainer();
  if (container === undefined && kind === "container") throw new Error(`TEST_POSTGRES asks for ${image}`);
  return container ?? (await openEmbeddedServer());
}

async function openContainer(): Promise<DatabaseServer | undefined> {
  const { getContainerRuntimeClient } = await import("testcontainers");
  try {
    await getContainerRuntimeClient();
  } catch {
    say("no container engine answers; the integration tests run on the embedded PostgreSQL");
    return undefined;
  }
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql");
  try {
    const container = await new PostgreSqlContainer(image)
      .withCommand(["postgres", "-c", "fsync=off", "-c", "max_connections=200"])
      .start();
    return {
      url: container.getConnectionUri(),
      kind: "container",
      stop: async () => {
        await container.stop();
      },
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    say(
      `the container engine does not run ${image}; the integration tests run on the embedded PostgreSQL (${reason})`,
    );
    return undefined;
  }
}

async function openEmbeddedServer(): Promise<DatabaseServer> {
  const directory = await mkdtemp(path.join(tmpdir(), "task-master-pro-test-"));
  // A server that runs as another user than this process must be able to pass through.
  await chmod(directory, 0o711);
  const server = await startServer(directory);
  const client = new pg.Client({ connectionString: server.connectionString });
  await client.connect();
  // Nothing here outlives the run, so nothing has to outlive a power cut.
  await client.query("ALTER SYSTEM SET fsync = off");
  await client.query("ALTER SYSTEM SET full_page_writes = off");
  await client.query("SELECT pg_reload_conf()");
  await client.end();
  return {
    url: server.connectionString,
    kind: "embedded",
    async stop() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function say(message: string): void {
  process.stderr.write(`[test database] ${message}\n`);
}
