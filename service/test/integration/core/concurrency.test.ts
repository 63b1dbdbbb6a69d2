import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Context } from "../../../src/core/context.ts";
import type { Claim, Task } from "../../../src/core/index.ts";
import { openTestCore, outcomes, type TestCore } from "../../support/core.ts";
import { type Protection, without } from "../../support/sabotage.ts";

let projects = 0;

/** A new project with so many tasks in its tag master. */
async function seed({ core, owner }: TestCore, count: number): Promise<{ key: string; tasks: Task[] }> {
  projects += 1;
  const key = `P${projects}`;
  await core.projects.create(owner, { key, name: key });
  const tasks: Task[] = [];
  while (tasks.length < count) {
    const operations = Array.from({ length: Math.min(200, count - tasks.length) }, () => ({
      op: "create" as const,
      task: { title: "A task" },
    }));
    const { results } = await core.tasks.batch(owner, key, "master", { operations });
    tasks.push(...results.filter((task) => task !== null));
  }
  return { key, tasks };
}

/** Claims until nothing is left. */
async function drain({ core }: TestCore, ctx: Context, key: string): Promise<Claim[]> {
  const claims: Claim[] = [];
  for (;;) {
    const claim = await core.claims.claimNext(ctx, key, "master", {});
    if (claim === null) return claims;
    claims.push(claim);
  }
}

/** Each scenario gives the violations it found; on the real storage there are none. */
const scenarios = {
  async claimers(test: TestCore): Promise<string[]> {
    const { key, tasks } = await seed(test, 200);
    const agents = await Promise.all(
      Array.from({ length: 16 }, (_, i) => test.addAgent(`claimer ${key} ${i}`)),
    );
    const results = await Promise.allSettled(agents.map((agent) => drain(test, agent, key)));
    const violations = results
      .filter((one) => one.status === "rejected")
      .map((one) => `failed: ${one.reason}`);
    const claimed = results
      .flatMap((one) => (one.status === "fulfilled" ? one.value : []))
      .map((claim) => claim.task);
    if (new Set(claimed).size !== claimed.length) violations.push("a task was claimed twice");
    if (claimed.length !== tasks.length)
      violations.push(`${claimed.length} of ${tasks.length} tasks were claimed`);
    return violations;
  },

  async oppositeDependencies(test: TestCore): Promise<string[]> {
    const { core, owner } = test;
    const { key, tasks } = await seed(test, 80);
    const work: Promise<unknown>[] = [];
    // 20 pairs that each want both directions, and rings of four that want to close.
    for (let i = 0; i < 40; i += 2) {
      const [a, b] = [tasks[i]?.id ?? "", tasks[i + 1]?.id ?? ""];
      work.push(core.dependencies.add(owner, a, b), core.dependencies.add(owner, b, a));
    }
    for (let ring = 40; ring < 80; ring += 4) {
      for (let i = 0; i < 4; i += 1) {
        work.push(
          core.dependencies.add(owner, tasks[ring + i]?.id ?? "", tasks[ring + ((i + 1) % 4)]?.id ?? ""),
        );
      }
    }
    const counts = await outcomes(work);
    const graph = await core.graphs.graph(owner, key, "master");
    const violations = findCycle(graph.edges) ? ["the graph has a cycle"] : [];
    if (counts.ok !== 20 + 30 || counts.cycle !== 20 + 10)
      violations.push(`outcomes ${JSON.stringify(counts)}`);
    return violations;
  },

  async statusChanges(test: TestCore): Promise<string[]> {
    const { core, owner } = test;
    const { key, tasks } = await seed(test, 1);
    const id = tasks[0]?.id ?? "";
    const wanted = ["in-progress", "review", "done", "deferred", "blocked", "cancelled"] as const;
    const once = await outcomes(
      Array.from({ length: 24 }, (_, i) =>
        core.tasks.update(owner, id, { status: wanted[i % 6] ?? "done", title: `by ${i}` }, { version: 1 }),
      ),
    );
    const violations: string[] = [];
    if (once.ok !== 1 || once.version_mismatch !== 23) violations.push(`outcomes ${JSON.stringify(once)}`);
    // Whoever is refused reads again and tries again: in the end every change is there.
    const labels = Array.from({ length: 20 }, (_, i) => `label ${i}`);
    await Promise.all(
      labels.map(async (label) => {
        for (;;) {
          const now = await core.tasks.get(owner, id);
          const patch = { labels: [...now.labels, label] };
          const kept = await core.tasks
            .update(owner, id, patch, { version: now.version })
            .catch(() => undefined);
          if (kept !== undefined) return;
        }
      }),
    );
    const task = await core.tasks.get(owner, id);
    if (task.labels.toSorted().join() !== labels.toSorted().join()) {
      violations.push(`${task.labels.length} of 20 acknowledged labels are there`);
    }
    const { items } = await core.events.list(owner, key, { limit: 200 });
    if (items.filter((event) => event.type === "task.updated").length !== task.version - 1) {
      violations.push("events and versions differ");
    }
    return violations;
  },

  async idempotency(test: TestCore): Promise<string[]> {
    const { core, owner } = test;
    const { key } = await seed(test, 0);
    const ctx = { ...owner, idempotencyKey: `key of ${key}` };
    const answers = await Promise.all(
      Array.from({ length: 50 }, () =>
        core.tasks.create(ctx, key, "master", { title: "Once", metadata: { b: 1, a: 2 } }),
      ),
    );
    const texts = new Set(answers.map((answer) => JSON.stringify(answer)));
    const { items } = await core.tasks.list(owner, key, "master", {});
    const violations: string[] = [];
    if (items.length !== 1) violations.push(`${items.length} rows`);
    if (texts.size !== 1) violations.push(`${texts.size} different answers`);
    const other = await outcomes([core.tasks.create(ctx, key, "master", { title: "Another body" })]);
    if (other.idempotency_mismatch !== 1) violations.push(`another body: ${JSON.stringify(other)}`);
    return violations;
  },

  async lastOwner(test: TestCore): Promise<string[]> {
    const { core, owner } = test;
    const second = await core.memberships.create(owner, {
      email: `second${projects++}@example.com`,
      name: "Second",
      role: "owner",
    });
    const own = await core.memberships.get(owner, owner.membershipId);
    const counts = await outcomes([
      core.memberships.update(owner, own.id, { role: "member" }, own.version),
      core.memberships.update(owner, second.id, { role: "member" }, second.version),
    ]);
    const { items } = await core.memberships.list(owner, { limit: 200 });
    const owners = items.filter((one) => one.role === "owner");
    const left = owners.length === 0 ? ["no owner is left"] : [];
    // For the next round: the first owner, alone.
    const now = await core.memberships.get(owner, own.id);
    await core.memberships.update(owner, own.id, { role: "owner" }, now.version);
    const other = await core.memberships.get(owner, second.id);
    await core.memberships.delete(owner, other.id, other.version);
    return counts.ok === 1 && counts.conflict === 1 ? left : [...left, `outcomes ${JSON.stringify(counts)}`];
  },
};

/** Whether the edges close a circle: by taking away again and again what waits for nothing. */
function findCycle(edges: { from: string; to: string }[]): boolean {
  let left = edges;
  for (;;) {
    const waiting = new Set(left.map((edge) => edge.from));
    const next = left.filter((edge) => waiting.has(edge.to));
    if (next.length === left.length) return left.length > 0;
    left = next;
  }
}

describe("parallel clients", () => {
  let test: TestCore;
  beforeAll(async () => {
    test = await openTestCore({ poolSize: 30 });
  });
  afterAll(() => test.close());

  it("16 claimers never get the same task and leave none", async () => {
    expect(await scenarios.claimers(test)).toEqual([]);
  });

  it("a claimer never waits for another: it takes the next task while the first is still being decided on", async () => {
    const { key, tasks } = await seed(test, 3);
    const agent = await test.addAgent("one who does not wait");
    let finish = () => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let locked = () => {};
    const held = new Promise<void>((resolve) => {
      locked = resolve;
    });
    const slow = test.storage.transaction(test.owner.organizationId, async (tx) => {
      await tx.claims.lockFamily(tasks[0]?.id ?? "", false);
      locked();
      await finished;
    });
    await held;
    // Would hang here, and time out, if it waited: the lock is let go only below.
    const claim = await test.core.claims.claimNext(agent, key, "master", {});
    finish();
    await slow;
    expect(claim?.localId).toBe("2");
  });

  it("opposite dependencies and closing rings never make a cycle", async () => {
    expect(await scenarios.oppositeDependencies(test)).toEqual([]);
  });

  it("status changes are all kept or refused as version_mismatch", async () => {
    expect(await scenarios.statusChanges(test)).toEqual([]);
  });

  it("one Idempotency-Key sent 50 times makes one row and 50 equal answers", async () => {
    expect(await scenarios.idempotency(test)).toEqual([]);
  });

  it("keeps a token's secret out of the idempotency records, and still repeats the answer", async () => {
    const ctx = { ...test.owner, idempotencyKey: "a token, once" };
    const first = await test.core.tokens.create(ctx, { name: "once" });
    expect(await test.core.tokens.create(ctx, { name: "once" })).toEqual(first);
    const { Client } = (await import("pg")).default;
    const client = new Client({ connectionString: test.connectionString });
    await client.connect();
    const { rows } = await client.query("SELECT result FROM idempotency_records WHERE result LIKE '%tmp_%'");
    await client.end();
    expect(rows).toEqual([]);
  });

  it("one of two owners who leave at once stays", async () => {
    for (let round = 0; round < 5; round += 1) expect(await scenarios.lastOwner(test)).toEqual([]);
  });

  it("subtasks that are done at once make their parent done", async () => {
    const { core, owner } = test;
    const { tasks } = await seed(test, 1);
    const parent = tasks[0]?.id ?? "";
    const subtasks = await Promise.all(
      Array.from({ length: 12 }, (_, i) => core.tasks.createSubtask(owner, parent, { title: `Part ${i}` })),
    );
    expect(subtasks.map((one) => one.localId).toSorted()).toEqual(
      Array.from({ length: 12 }, (_, i) => `1.${i + 1}`).toSorted(),
    );
    await Promise.all(
      subtasks.map((one) => core.tasks.update(owner, one.id, { status: "done" }, { version: one.version })),
    );
    expect((await core.tasks.get(owner, parent)).status).toBe("done");
  });

  it("never gives a local id twice, also when tasks are deleted meanwhile", async () => {
    const { core, owner } = test;
    const { key } = await seed(test, 0);
    const seen: string[] = [];
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const task = await core.tasks.create(owner, key, "master", { title: `Task ${i}` });
        seen.push(task.localId);
        if (i % 2 === 0) await core.tasks.delete(owner, task.id, { version: task.version });
      }),
    );
    const last = await core.tasks.create(owner, key, "master", { title: "Last" });
    expect(new Set([...seen, last.localId]).size).toBe(41);
    expect(last.localId).toBe("41");
  });

  it("keeps depth at one when a task becomes a subtask while another becomes its own", async () => {
    const { core, owner } = test;
    const { key, tasks } = await seed(test, 30);
    const work: Promise<unknown>[] = [];
    for (let i = 0; i < 30; i += 3) {
      const [a, b, c] = [tasks[i], tasks[i + 1], tasks[i + 2]];
      work.push(core.tasks.move(owner, a?.id ?? "", { parent: b?.id ?? "" }, { version: 1 }));
      work.push(core.tasks.move(owner, b?.id ?? "", { parent: c?.id ?? "" }, { version: 1 }));
    }
    const counts = await outcomes(work);
    expect(counts).toEqual({ ok: 10, conflict: 10 });
    const { items } = await core.tasks.list(owner, key, "master", { limit: 200 });
    const parents = new Set(items.filter((task) => task.parent !== null).map((task) => task.parent));
    expect(items.filter((task) => parents.has(task.id) && task.parent !== null)).toEqual([]);
  });

  it("gives events gapless sequences in an order that no reader can miss one in", async () => {
    const { core, owner } = test;
    const { key } = await seed(test, 0);
    let writing = true;
    const read: number[] = [];
    const reader = (async () => {
      let after = 0;
      for (let last = false; ; ) {
        const { items, last: seen } = await core.events.list(owner, key, { after, limit: 200 });
        read.push(...items.map((event) => event.sequence));
        after = seen;
        if (last && items.length === 0) return;
        last = !writing;
      }
    })();
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let i = 0; i < 15; i += 1) await core.tasks.create(owner, key, "master", { title: "One more" });
      }),
    );
    writing = false;
    await reader;
    expect(read).toEqual(Array.from({ length: 121 }, (_, i) => i + 1));
  });
});

describe("each protection is needed: without it, its scenario finds a violation", () => {
  const cases: [Protection, keyof typeof scenarios][] = [
    ["graph lock", "oppositeDependencies"],
    ["family lock", "claimers"],
    ["compare-and-swap", "statusChanges"],
    ["idempotency record", "idempotency"],
    ["owner lock", "lastOwner"],
  ];
  it.each(cases)("%s: %s", async (protection, scenario) => {
    const test = await openTestCore({ poolSize: 30, wrap: without(protection) });
    try {
      expect(await scenarios[scenario](test)).not.toEqual([]);
    } finally {
      await test.close();
    }
  });
});
