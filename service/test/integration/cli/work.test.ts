import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Claim, Page, Task } from "../../../src/core/index.ts";
import { openDescription, openServerPlace, type ServerPlace } from "./harness.ts";

let place: ServerPlace;
let differs: (operationId: string, value: unknown) => string | undefined;
let bob: Record<string, string>;

beforeAll(async () => {
  place = await openServerPlace();
  differs = await openDescription();
  const { core, owner } = place.app;
  const agent = await core.agents.create(owner, { name: "bob" });
  const { token } = await core.tokens.create(owner, { name: "bob", agent: agent.id });
  bob = { TASKMASTER_TOKEN: token };
});
afterAll(async () => {
  await place.close();
});

const status = async (id: string) => (await place.json<Task>(["show", id])).status;

describe("claim", () => {
  it("takes the next task, is seen by others, and hands it over with a note", async () => {
    const claim = await place.json<Claim>(["claim", "--ttl", "1h"]);
    expect(differs("claimNext", claim)).toBeUndefined();
    expect(claim).toMatchObject({ localId: "1", ttlSeconds: 3600, fence: 1, outcome: null });
    expect(await status("1")).toBe("in-progress");
    expect((await place.run(["list"])).out).toMatch(/^1 +▶ in-progress .*owner@example\.com \(claimed\)$/m);

    const renewed = await place.json<Claim>(["claim", "heartbeat", "1", "--ttl", "2h"]);
    expect(differs("heartbeatClaim", renewed)).toBeUndefined();
    expect(Date.parse(renewed.expiresAt)).toBeGreaterThan(Date.parse(claim.expiresAt));

    const ended = await place.json<Claim>(["claim", "complete", "1", "--note", "All\nchecked."]);
    expect(differs("completeClaim", ended)).toBeUndefined();
    expect(ended.outcome).toBe("completed");
    expect(await status("1")).toBe("done");
    expect((await place.run(["show", "1"])).out).toMatch(
      /Attempt 1: completed, by owner@example\.com, .*\nAll\nchecked\./,
    );
  });

  it("refuses what another holds: claim, status, completion, and a stale fence; release gives it back", async () => {
    const claim = await place.json<Claim>(["claim", "4"], { env: bob });
    for (const args of [
      ["claim", "4"],
      ["start", "4"],
      ["set-status", "4", "done"],
      ["remove", "4"],
    ]) {
      expect(await place.run(args)).toMatchObject({
        code: 4,
        err: expect.stringContaining("Task 4 is held by bob until"),
      });
    }
    expect(await place.run(["claim", "complete", "4"])).toMatchObject({ code: 4 });
    expect(
      await place.run(["claim", "complete", "4", "--fence", String(claim.fence + 1)], { env: bob }),
    ).toMatchObject({
      code: 4,
      err: expect.stringContaining("is not that of this claim"),
    });
    expect((await place.run(["claim", "release", "4"], { env: bob })).out).toContain(
      "The claim on 4 is released.",
    );
    expect(await status("4")).toBe("pending");
  });

  it("lets the holder change the status of what it holds, and of its subtasks", async () => {
    await place.json(["claim", "3.1"], { env: bob });
    expect((await place.json<Task>(["set-status", "3.1", "review"], { env: bob })).status).toBe("review");
    await place.json(["claim", "release", "3.1"], { env: bob });
    await place.json(["set-status", "3.1", "pending"]);
    await place.json(["claim", "3"], { env: bob });
    expect((await place.json<Task>(["set-status", "3.1", "done"], { env: bob })).status).toBe("done");
    expect((await place.run(["set-status", "3.2", "done"])).code).toBe(4);
    await place.json(["claim", "release", "3"], { env: bob });
  });

  it("fails with a note, which is demanded", async () => {
    await place.json(["claim", "4"]);
    expect(await place.run(["claim", "fail", "4"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("--note"),
    });
    const ended = await place.json<Claim>(["claim", "fail", "4", "--note", "No paper."]);
    expect(differs("failClaim", ended)).toBeUndefined();
    expect(ended.outcome).toBe("failed");
    expect(await place.run(["claim", "heartbeat", "4"])).toMatchObject({
      code: 4,
      err: expect.stringContaining("has no live claim"),
    });
    expect(await place.run(["claim", "4", "--ttl", "soon"])).toMatchObject({ code: 2 });
    expect(await place.run(["claim", "2", "--ttl", "2d"])).toMatchObject({ code: 7 });
  });

  it("start takes a task for a working day", async () => {
    const claim = await place.json<Claim>(["start", "4"]);
    expect(differs("claimTask", claim)).toBeUndefined();
    expect(claim.ttlSeconds).toBe(8 * 3600);
    await place.json(["claim", "release", "4"]);
    await place.json(["depend", "4", "--on", "2"]);
    expect(await place.run(["start", "4"])).toMatchObject({
      code: 4,
      err: expect.stringContaining("waits for 2"),
    });
    await place.json(["undepend", "4", "--on", "2"]);
  });

  it("ends with a code of its own when nothing is ready", async () => {
    await place.json(["tags", "add", "empty"]);
    expect(await place.run(["claim", "--tag", "empty"])).toMatchObject({
      code: 8,
      out: expect.stringContaining("Nothing is ready"),
    });
    expect(await place.run(["claim", "--tag", "empty", "--json"])).toMatchObject({ code: 8, out: "null\n" });
    expect(await place.run(["next", "--tag", "empty"])).toMatchObject({ code: 8 });
    const answer = await place.run(["next", "--tag", "empty", "--json"]);
    expect([answer.code, differs("getNext", JSON.parse(answer.out))]).toEqual([8, undefined]);
  });
});

describe("claim --exec", () => {
  const attempts = async (id: string) => {
    const task = await place.json<Task>(["show", id]);
    const { body } = await place.app.call<Page<{ outcome: string; note: string }>>(
      "GET",
      `/api/v1/tasks/${task.id}/attempts`,
    );
    return body.items.at(-1);
  };

  it("runs a command with the task, and completes it", async () => {
    const file = join(place.folder, "seen");
    const command = `cp "$TASK_FILE" ${file}; echo "$TASK_LOCAL_ID $TASK_TITLE $TASK_PROJECT $TASK_TAG" > ${file}.words`;
    const { code } = await place.run(["claim", "4", "--exec", command, "--note", "Ran."]);
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ localId: "4", status: "in-progress" });
    expect(await readFile(`${file}.words`, "utf8")).toBe("4 Four DEMO master\n");
    expect(await status("4")).toBe("done");
    expect(await attempts("4")).toMatchObject({ outcome: "completed", note: "Ran." });
    await place.json(["set-status", "4", "pending"]);
  });

  it("fails the task with the command's exit code, which is its own as well", async () => {
    expect((await place.run(["claim", "4", "--exec", "exit 23"])).code).toBe(23);
    expect(await status("4")).toBe("pending");
    expect(await attempts("4")).toMatchObject({
      outcome: "failed",
      note: "exit 23 ended with exit code 23.",
    });
    expect((await place.run(["claim", "4", "--exec", "kill -9 $$"])).code).toBe(137);
  });

  it("keeps the claim alive for longer than it was made for", async () => {
    const { code, err } = await place.run(["claim", "4", "--ttl", "2s", "--exec", "sleep 4"]);
    expect([code, err]).toEqual([0, expect.stringContaining("4 is claimed")]);
    expect(await attempts("4")).toMatchObject({ outcome: "completed" });
    await place.json(["set-status", "4", "pending"]);
  });

  it("ends the command when the claim is lost, and releases it when it is interrupted", async () => {
    const lost = place.run(["claim", "4", "--ttl", "3s", "--exec", "sleep 30; true"], { env: bob });
    await expect
      .poll(async () => (await place.json<Task>(["show", "4"])).claim, { timeout: 10_000 })
      .not.toBeNull();
    await place.json(["claim", "release", "4"]);
    expect(await lost).toMatchObject({ code: 4, err: expect.stringContaining("has ended (released)") });

    const interrupt = new AbortController();
    const stopped = place.run(["claim", "4", "--exec", "sleep 30; true"], { interrupt: interrupt.signal });
    await expect
      .poll(async () => (await place.json<Task>(["show", "4"])).claim, { timeout: 10_000 })
      .not.toBeNull();
    interrupt.abort();
    expect((await stopped).code).toBe(130);
    expect(await attempts("4")).toMatchObject({ outcome: "released", note: "Interrupted." });
  });
});
