import { openBench } from "./bench.ts";
import { BadAnswer, createClient, tagPath } from "./driver.ts";
import { asRatio, interleave, ratioOf } from "./interleave.ts";
import { readOptions } from "./options.ts";
import { print, writeResult } from "./results.ts";
import { seedReady } from "./seed.ts";
import { median } from "./statistics.ts";

const help = `Lets sixteen agents claim the next task of one tag at once and complete it, and one alone (P6): 10,000 tasks are ready, and the
sixteen get four times as many in the same time, each its own.

  node loadtest/claims.ts [options]       needs the built program: make build

  --rounds N        how often each has its turn (default 7)
  --seconds N       how long a turn is (default 2)
  --help

The result is loadtest/results/claims.json and a line here. Exit code 1 when a task was given twice, or the goal is missed.
`;

const goal = 4;
const { rounds, seconds } = readOptions(help, {
  rounds: { default: 7, from: 1 },
  seconds: { default: 2, above: 0, fraction: true },
}).numbers;

const bench = await openBench();
try {
  const databaseUrl = await bench.createDatabase("claims");
  const seeded = await seedReady(databaseUrl, 10_000);
  const program = await bench.serve({ name: "server", databaseUrl, settings: { LOG_LEVEL: "silent" } });
  const client = createClient(program, seeded.token);
  const claimed = new Map<string, number>();
  let refused = 0;
  const idle: string[] = [];
  for (let i = 0; i < 16; i += 1) {
    const agent = JSON.parse(await client.send("POST", "/agents", `{"name":"claimer-${i}"}`)) as {
      id: string;
    };
    const issued = await client.send("POST", "/tokens", JSON.stringify({ name: "claims", agent: agent.id }));
    idle.push((JSON.parse(issued) as { token: string }).token);
  }

  /** One agent takes what is next, and is done with it. */
  const work = async () => {
    const token = idle.pop();
    if (token === undefined) throw new Error("there are as many agents as claimers");
    const headers = { authorization: `Bearer ${token}` };
    try {
      const answer = await client.send("POST", `${tagPath}/claims`, '{"ttlSeconds":3600}', headers);
      if (answer === "")
        throw new Error(`Nothing is ready, it says, when ${claimed.size} of ${seeded.tasks} were claimed.`);
      const { id, task, fence } = JSON.parse(answer) as { id: string; task: string; fence: number };
      claimed.set(task, (claimed.get(task) ?? 0) + 1);
      await client.send("POST", `/claims/${id}/complete`, JSON.stringify({ fence }), headers);
    } catch (error) {
      // Others were at every task that it looked at: it tries again at once.
      if (!(error instanceof BadAnswer) || error.status !== 503) throw error;
      refused += 1;
    } finally {
      idle.push(token);
    }
  };
  /** Tasks claimed a second. */
  const turn = (clients: number) => async () => {
    const before = claimed.size;
    const { requests, rate } = await client.closed({ seconds, clients }, work);
    return (rate * (claimed.size - before)) / requests;
  };
  await turn(4)();
  const turns = await interleave({ one: turn(1), sixteen: turn(16) }, (_, done) => done >= rounds);
  const ratio = ratioOf(turns.one, turns.sixteen, (rate) => rate);
  const twice = [...claimed.values()].filter((times) => times > 1).length;
  const rate = (name: keyof typeof turns) => median(turns[name]).toFixed(1);
  print(
    `P6: ${rate("one")} claims a second by one, ${rate("sixteen")} by sixteen: ${asRatio(ratio)} times, goal ${goal}; ${claimed.size} tasks claimed, ${twice} of them twice, and ${refused} times told to try again`,
  );
  await writeResult("claims", {
    rounds,
    seconds,
    ratio,
    claimed: claimed.size,
    twice,
    refused,
    turns,
    goals: [
      {
        id: "P6",
        what: "claims a second by sixteen, times those by one",
        value: `${asRatio(ratio)}, ${twice} claimed twice`,
        goal: `≥ ${goal}, none twice`,
        met: ratio.median >= goal && twice === 0,
      },
    ],
  });
  if (ratio.median < goal || twice > 0) process.exitCode = 1;
} finally {
  await bench.close();
}
