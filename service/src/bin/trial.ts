import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Smoke } from "../backup/drill.ts";
import { AppError } from "../core/errors.ts";
import { applyMigrations } from "../migrate/apply.ts";
import { runJourney } from "../smoke/journey.ts";

const startMs = 60_000;

/**
 * Brings a restored database to this program's schema, starts a server on it as anybody would, in a process of its own,
 * and works with it as a client.
 */
export async function trySmoke(connectionString: string, signal: AbortSignal): Promise<Smoke> {
  await applyMigrations(connectionString);
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "",
    DATABASE_URL: connectionString,
    TASKMASTER_SESSION_SECRET: randomBytes(48).toString("base64url"),
    HOST: "127.0.0.1",
    PORT: "0",
    LOG_LEVEL: "warn",
    // What waits in the copy waits in the original, whose receivers are real.
    TASKMASTER_WEBHOOK_CONCURRENCY: "0",
  };
  const server = start(["serve", "--welcome"], env, signal);
  try {
    const { url, token } = await welcome(server);
    return await runJourney(url, token ?? (await issueToken(env, signal)), { signal });
  } finally {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill("SIGINT");
      await once(server, "exit");
    }
  }
}

function start(args: string[], env: Record<string, string>, signal: AbortSignal): ChildProcess {
  // This very program, from its sources or built.
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? "", ...args], {
    env,
    signal,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Aborted, it ends, and whoever waits for it is told by the exit.
  child.on("error", () => {});
  return child;
}

/** Where it listens, and the token that it made, if nobody had one. */
async function welcome(server: ChildProcess): Promise<{ url: string; token: string | undefined }> {
  let said = "";
  return await new Promise((resolve, reject) => {
    const fail = () => {
      const last = said.trim().split("\n").slice(-3).join("\n");
      reject(new AppError("unavailable", `No server starts on the restored database: ${last}`));
    };
    const limit = setTimeout(fail, startMs);
    const look = (chunk: Buffer) => {
      said += chunk.toString();
      const url = /is ready at (\S+)/.exec(said)?.[1];
      if (url === undefined || !said.includes("Paste this")) return;
      clearTimeout(limit);
      resolve({ url, token: /\btmp_[0-9a-f]{64}\b/.exec(said)?.[0] });
    };
    server.stdout?.on("data", look);
    server.stderr?.on("data", look);
    server.once("exit", () => {
      clearTimeout(limit);
      fail();
    });
  });
}

async function issueToken(env: Record<string, string>, signal: AbortSignal): Promise<string> {
  const child = start(["token", "--json"], env, signal);
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    err += chunk.toString();
  });
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new AppError("unavailable", `The restored database gives no token: ${err.trim()}`);
  return (JSON.parse(out) as { token: string }).token;
}
