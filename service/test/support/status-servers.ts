import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

/** An MCP server of whatever make, in a process of its own, that sets the status of tasks of a tasks.json. */
export interface StatusServer {
  /** Whether the change was acknowledged. */
  setStatus(id: string, status: string): Promise<boolean>;
  close(): Promise<void>;
}

/** What became of the acknowledged changes: in the file at the end, or not. */
export interface Tally {
  sent: number;
  acknowledged: number;
  kept: number;
  lost: number;
  /** Rounds in which an acknowledged change was lost. */
  rounds: number;
  /** Until the last answer, of each round. */
  ms: number[];
}

export interface Command {
  args: string[];
  cwd: string;
  env: Record<string, string>;
  /** Members that every call has. */
  input?: Record<string, unknown>;
}

export async function startStatusServer({ args, cwd, env, input }: Command): Promise<StatusServer> {
  const client = new Client({ name: "status", version: "0" });
  const transport = new StdioClientTransport({ command: process.execPath, args, cwd, env, stderr: "ignore" });
  await client.connect(transport, { timeout: 120_000 });
  return {
    async setStatus(id, status) {
      const call = { name: "set_task_status", arguments: { id, status, ...input } };
      const result = await client.callTool(call, undefined, { timeout: 120_000 });
      return result.isError !== true;
    },
    close: async () => await client.close(),
  };
}

/**
 * Rounds of changes that are sent at once: each is [server, task], and each round gives every task the status that it
 * does not have. `read` gives the file's text.
 */
export async function tally(
  changes: [StatusServer, string][],
  rounds: number,
  read: () => Promise<string>,
): Promise<Tally> {
  const result: Tally = { sent: 0, acknowledged: 0, kept: 0, lost: 0, rounds: 0, ms: [] };
  for (let round = 0; round < rounds; round += 1) {
    const before = await statuses(read);
    const wanted = changes.map(([server, id]) => {
      return { server, id, status: before.get(id) === "in-progress" ? "pending" : "in-progress" };
    });
    const start = performance.now();
    const answers = await Promise.all(wanted.map(({ server, id, status }) => server.setStatus(id, status)));
    result.ms.push(performance.now() - start);
    const after = await statuses(read);
    const acknowledged = wanted.filter((_, index) => answers[index] === true);
    const kept = acknowledged.filter(({ id, status }) => after.get(id) === status);
    result.sent += wanted.length;
    result.acknowledged += acknowledged.length;
    result.kept += kept.length;
    result.lost += acknowledged.length - kept.length;
    if (kept.length < acknowledged.length) result.rounds += 1;
  }
  return result;
}

async function statuses(read: () => Promise<string>): Promise<Map<string, string>> {
  const file = JSON.parse(await read()) as { master: { tasks: { id: number; status: string }[] } };
  return new Map(file.master.tasks.map(({ id, status }) => [String(id), status]));
}

/** So many plain tasks, as the other tool writes them. */
export function plainFile(tasks: number): string {
  const list = Array.from({ length: tasks }, (_, index) => ({
    id: index + 1,
    title: `Task ${index + 1}`,
    description: `What task ${index + 1} is about`,
    details: "lorem ipsum dolor sit amet ".repeat(10),
    testStrategy: "",
    status: "pending",
    priority: "medium",
    dependencies: [],
    subtasks: [],
  }));
  const instant = "2026-01-01T00:00:00.000Z";
  const metadata = { created: instant, updated: instant, description: "Tasks for master context" };
  return JSON.stringify({ master: { tasks: list, metadata } }, null, 2);
}
