import { existsSync } from "node:fs";
import path from "node:path";
import {
  createProject,
  openPeer,
  PEER_PACKAGE,
  PEER_VERSION,
  peerEnvironment,
} from "../service/test/peer/peer.ts";
import { createFolder } from "../service/test/support/folder.ts";
import {
  type Command,
  plainFile,
  type StatusServer,
  startStatusServer,
  type Tally,
  tally,
} from "../service/test/support/status-servers.ts";
import { readOptions } from "./options.ts";
import { print, writeResult } from "./results.ts";
import { estimate, median } from "./statistics.ts";

const help = `Lets MCP servers change one tasks.json at once, ours and the task-master-ai tool's beside it, and counts what is lost.

  node loadtest/lost-updates.ts [options]       needs the built program: make build

  --rounds N    rounds of two servers that change one task each (default 20)
  --pairs N     pairs of bursts of ten parallel changes to one server, ours and the other's, A B B A (default 8)
  --tasks N     how many tasks the file has (default 40)
  --peer DIR    where ${PEER_PACKAGE}@${PEER_VERSION} is installed, or is to be; by default a temporary folder
  --help

The result is loadtest/results/lost-updates.json and a table here. Exit code 1 when an acknowledged change of ours is lost,
or when our throughput is not ten times the other's (P7).
`;

const goal = 10;
const root = path.join(import.meta.dirname, "..");
const program = path.join(root, "dist/bin/cli.js");
const { numbers, texts } = readOptions(
  help,
  {
    rounds: { default: 20, from: 1 },
    pairs: { default: 8, from: 1 },
    tasks: { default: 40, from: 20 },
  },
  ["peer"],
);
const { rounds, pairs, tasks } = numbers;
if (!existsSync(program)) {
  process.stderr.write("The program is not built; run: make build\n");
  process.exit(2);
}

interface Side {
  name: string;
  servers: StatusServer[];
  read(): Promise<string>;
  close(): Promise<void>;
}

async function startSide(
  name: string,
  command: Command,
  read: Side["read"],
  remove: () => Promise<void>,
): Promise<Side> {
  const servers = [await startStatusServer(command), await startStatusServer(command)];
  return {
    name,
    servers,
    read,
    async close() {
      for (const server of servers) await server.close();
      await remove();
    },
  };
}

async function startOurs(): Promise<Side> {
  const folder = await createFolder(plainFile(Number(tasks)));
  const env = { PATH: process.env.PATH ?? "", DATABASE_URL: `file:${folder.directory}`, LOG_LEVEL: "silent" };
  const command = { args: [program, "mcp"], cwd: folder.directory, env };
  return await startSide("task-master-pro", command, folder.read, folder.remove);
}

async function startPeer(): Promise<Side> {
  const peer = await openPeer(texts.peer, print);
  const project = await createProject();
  await project.writeTasks(plainFile(Number(tasks)));
  const command = {
    args: [peer.server],
    cwd: project.dir,
    env: peerEnvironment(peer, project),
    input: { projectRoot: project.dir },
  };
  return await startSide(`${PEER_PACKAGE} ${PEER_VERSION}`, command, project.readTasks, project.close);
}

const first = ({ servers: [server] }: Side): StatusServer => {
  if (server === undefined) throw new Error("there is no server");
  return server;
};
const duel = async (side: Side) =>
  await tally(
    side.servers.map((server, index) => [server, String(index + 1)]),
    Number(rounds),
    side.read,
  );
const burst = async (side: Side) =>
  await tally(
    Array.from({ length: 10 }, (_, index) => [first(side), String(index + 1)]),
    1,
    side.read,
  );

function sum(tallies: Tally[]): Tally {
  const total = (of: (one: Tally) => number) => tallies.reduce((all, one) => all + of(one), 0);
  return {
    sent: total(({ sent }) => sent),
    acknowledged: total(({ acknowledged }) => acknowledged),
    kept: total(({ kept }) => kept),
    lost: total(({ lost }) => lost),
    rounds: total((one) => one.rounds),
    ms: tallies.flatMap(({ ms }) => ms),
  };
}

function row(name: string, tally: Tally): string {
  const cells = [tally.sent, tally.acknowledged, tally.kept, tally.lost].map((cell) =>
    String(cell).padStart(6),
  );
  return `  ${name.padEnd(24)}${cells.join("")}${median(tally.ms).toFixed(1).padStart(11)}`;
}
const heading = `  ${"".padEnd(24)}  sent  ackn.  kept  lost  median ms`;

const sides: Side[] = [];
try {
  const [ours, theirs] = [await startOurs(), await startPeer()];
  sides.push(ours, theirs);
  // Once each before it counts, so that both have loaded what they load at the first call.
  for (const side of sides) await burst(side);

  const duels = { ours: await duel(ours), theirs: await duel(theirs) };
  print(`Two servers on one file, one change each at once, ${rounds} rounds:\n${heading}`);
  print(row(ours.name, duels.ours));
  print(row(theirs.name, duels.theirs));
  print(
    `  An acknowledged change was lost in ${duels.ours.rounds} of our rounds and ${duels.theirs.rounds} of theirs.`,
  );

  const bursts = { ours: [] as Tally[], theirs: [] as Tally[] };
  for (let pair = 0; pair < Number(pairs); pair += 1) {
    const order = pair % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
    for (const which of order) bursts[which].push(await burst(which === "ours" ? ours : theirs));
  }
  // Answers a second, refusals included: what the other side refuses or loses counts for it here.
  const ratios = bursts.ours.map(({ ms }, pair) => (bursts.theirs[pair]?.ms[0] ?? 0) / (ms[0] ?? 1));
  const same = bursts.ours.slice(1).map(({ ms }, pair) => (bursts.ours[pair]?.ms[0] ?? 0) / (ms[0] ?? 1));
  const { median: ratio, low, high } = estimate(ratios);
  print(`\nOne server, ten parallel changes, ${pairs} pairs:\n${heading}`);
  print(row(ours.name, sum(bursts.ours)));
  print(row(theirs.name, sum(bursts.theirs)));
  print(
    `  ${ratio.toFixed(1)} times as many answers a second (95 %: ${low.toFixed(1)} to ${high.toFixed(1)}; goal ${goal}).`,
  );
  print(`  Ours against itself, one burst and the next: ${median(same).toFixed(2)}.`);

  const result = {
    peer: `${PEER_PACKAGE}@${PEER_VERSION}`,
    tasks: Number(tasks),
    duels,
    bursts: { ours: sum(bursts.ours), theirs: sum(bursts.theirs) },
    throughput: { ratio, interval: [low, high], goal, itself: median(same) },
  };
  await writeResult("lost-updates", result);
  if (duels.ours.lost + result.bursts.ours.lost > 0 || ratio < goal) process.exitCode = 1;
} finally {
  for (const { close } of sides) await close();
}
