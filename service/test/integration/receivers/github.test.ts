import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Context, IssuedReceiver, Receipt, Task } from "../../../src/core/index.ts";
import {
  deliver,
  example,
  issuePayload,
  issueUrl,
  pullPayload,
  pullUrl,
  type SignedDelivery,
} from "../../support/github.ts";
import { seed } from "../mcp/harness.ts";
import { addMembers, addOrganization, api, fingerprint, openTestApp, type TestApp } from "../rest/harness.ts";

let test: TestApp;
let receiver: IssuedReceiver;
let agent: Context;

beforeAll(async () => {
  test = await openTestApp();
  await seed(test.core, test.owner, "DEMO");
  receiver = await test.core.receivers.create(test.owner, { name: "web" });
  agent = (await addMembers(test.core, test.owner, "home")).agent.context;
});
afterAll(() => test.close());

const address = (id = receiver.id) => `${api}/receivers/github/${id}`;
const send = (delivery: SignedDelivery, id?: string) =>
  test.call<Receipt>("POST", address(id), { token: undefined, ...delivery });
const signed = (event: string, payload: Record<string, unknown>, delivery?: string) =>
  deliver(receiver.secret, event, payload, delivery);

let number = 100;
/** A task of its own that links to an issue (or a pull request) of its own. */
async function linked(urlOf = issueUrl): Promise<{ task: Task; number: number }> {
  number++;
  const task = await test.core.tasks.create(test.owner, "DEMO", "master", { title: `Task ${number}` });
  await test.core.links.add(test.owner, task.id, { url: urlOf(number) });
  return { task, number };
}
const statusOf = async (task: Task) => (await test.core.tasks.get(test.owner, task.id)).status;
const setStatus = async (task: Task, status: Task["status"]) => {
  const { version } = await test.core.tasks.get(test.owner, task.id);
  await test.core.tasks.update(test.owner, task.id, { status }, { version });
};

describe("what GitHub tells", () => {
  it("of an issue closes its task and opens it again, as the receiver, with what it was in the audit", async () => {
    const { task, number } = await linked();
    const closed = await signed("issues", issuePayload(number, "closed"));
    const answer = await send(closed);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      outcome: "applied",
      reason: null,
      tasks: [
        {
          task: task.id,
          project: "DEMO",
          tag: "master",
          localId: task.localId,
          outcome: "changed",
          status: "done",
        },
      ],
    });
    expect(await statusOf(task)).toBe("done");
    const { items } = await test.core.events.audit(test.owner, { actor: receiver.id, task: task.id });
    expect(items).toMatchObject([
      {
        type: "task.updated",
        actor: { kind: "system", id: receiver.id, name: "GitHub (web)" },
        data: {
          receiver: receiver.id,
          delivery: closed.headers["x-github-delivery"],
          link: issueUrl(number).toLowerCase(),
          by: "Codertocat",
          changes: { status: ["pending", "done"] },
        },
      },
    ]);

    await send(await signed("issues", issuePayload(number, "reopened", { at: "2026-11-26T11:00:00Z" })));
    expect(await statusOf(task)).toBe("pending");
  });

  it.each(["not_planned", "duplicate"])("of an issue that is %s cancels its task", async (reason) => {
    const { task, number } = await linked();
    await send(await signed("issues", issuePayload(number, "closed", { reason })));
    expect(await statusOf(task)).toBe("cancelled");
  });

  it("of an issue without a reason, as older servers tell it, closes its task", async () => {
    const { task, number } = await linked();
    await send(await signed("issues", issuePayload(number, "closed", { reason: null })));
    expect(await statusOf(task)).toBe("done");
  });

  it("of a pull request counts when it was merged", async () => {
    const { task, number } = await linked(pullUrl);
    const unmerged = await send(await signed("pull_request", pullPayload(number, false)));
    expect(unmerged.body).toMatchObject({
      outcome: "ignored",
      reason: expect.stringContaining("without being merged"),
    });
    expect(await statusOf(task)).toBe("pending");
    await send(await signed("pull_request", pullPayload(number, true, "2026-11-26T12:00:00Z")));
    expect(await statusOf(task)).toBe("done");
  });

  it("brings a subtask's task along, and reaches every task that links to it", async () => {
    const { task, number } = await linked();
    const parent = await test.core.tasks.create(test.owner, "DEMO", "master", { title: "Parent" });
    const part = await test.core.tasks.createSubtask(test.owner, parent.id, { title: "Part" });
    await test.core.links.add(test.owner, part.id, { url: issueUrl(number) });
    const { body } = await send(await signed("issues", issuePayload(number, "closed")));
    expect(body.tasks.map(({ outcome }) => outcome)).toEqual(["changed", "changed"]);
    expect([await statusOf(task), await statusOf(part), await statusOf(parent)]).toEqual([
      "done",
      "done",
      "done",
    ]);
  });

  it("leaves alone what somebody has decided already", async () => {
    const { task, number } = await linked();
    await setStatus(task, "cancelled");
    const closed = await send(await signed("issues", issuePayload(number, "closed")));
    expect(closed.body.tasks).toMatchObject([{ outcome: "unchanged", status: "cancelled" }]);
    await setStatus(task, "review");
    const opened = await send(
      await signed("issues", issuePayload(number, "reopened", { at: "2026-11-26T11:00:00Z" })),
    );
    expect(opened.body.tasks).toMatchObject([{ outcome: "unchanged", status: "review" }]);
  });

  it("leaves a claimed task to its holder, with a comment, and never touches the fence", async () => {
    const { task, number } = await linked();
    const claim = await test.core.claims.claim(agent, task.id, {});
    const before = await test.core.tasks.get(test.owner, task.id);
    const delivery = await signed("issues", issuePayload(number, "closed"));
    const { body } = await send(delivery);
    expect(body.tasks).toMatchObject([{ outcome: "held", status: "in-progress" }]);
    expect(await test.core.tasks.get(test.owner, task.id)).toEqual(before);
    await send(delivery);
    const { items } = await test.core.comments.list(test.owner, task.id, {});
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ author: { kind: "system", id: receiver.id, name: "GitHub (web)" } });
    expect(items[0]?.body).toBe(
      `Codertocat/Hello-World#${number} was closed as completed at GitHub by Codertocat. The task is held by home agent, ` +
        "so it stays in-progress; whoever holds it decides what follows.",
    );
    expect(await test.core.claims.heartbeat(agent, claim.id, { fence: claim.fence })).toMatchObject({
      fence: claim.fence,
    });
    await test.core.claims.complete(agent, claim.id, { fence: claim.fence });
  });

  it("leaves a subtask to whoever holds its task, and takes a task whose claim has run out", async () => {
    const { task, number } = await linked();
    const parent = await test.core.tasks.create(test.owner, "DEMO", "master", { title: "Parent" });
    const part = await test.core.tasks.createSubtask(test.owner, parent.id, { title: "Part" });
    await test.core.links.add(test.owner, part.id, { url: issueUrl(number) });
    await test.core.claims.claim(agent, parent.id, {});
    await test.core.claims.claim(agent, task.id, { ttlSeconds: 1 });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const { body } = await send(await signed("issues", issuePayload(number, "closed")));
    const outcomes = Object.fromEntries(body.tasks.map((one) => [one.task, one.outcome]));
    expect(outcomes).toEqual({ [task.id]: "changed", [part.id]: "held" });
  });

  it("is ignored, with the reason, where nothing follows from it", async () => {
    const { task, number } = await linked();
    const ping = await send(await signed("ping", example("ping")));
    expect([ping.status, ping.text]).toEqual([204, ""]);
    const others: [string, Record<string, unknown>, string][] = [
      ["push", example("push"), "Only the events issues and pull_request"],
      ["issues", { ...issuePayload(number, "closed"), action: "labeled" }, "issues that are labeled"],
      ["pull_request", example("pull_request", "opened"), "pull requests that are opened"],
      ["issues", issuePayload(999_999, "closed"), "No task links to it"],
      ["issues", { ...issuePayload(number, "closed"), action: "<b>" }, "issues that are unknown"],
    ];
    for (const [event, payload, reason] of others) {
      const answer = await send(await signed(event, payload));
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({ outcome: "ignored", tasks: [] });
      expect(answer.body.reason).toContain(reason);
    }
    expect(await statusOf(task)).toBe("pending");
  });

  it("is refused where it is signed and no such event", async () => {
    const bodies = [
      "{",
      "[]",
      '{"action":"closed"}',
      '{"action":"closed","issue":{"html_url":5}}',
      "\ufeff{}",
    ];
    for (const raw of bodies) {
      const { headers } = await signed("issues", {});
      const signature = createHmac("sha256", receiver.secret).update(raw).digest("hex");
      const answer = await send({
        raw,
        headers: { ...headers, "x-hub-signature-256": `sha256=${signature}` },
      });
      expect([raw, answer.status]).toEqual([raw, 422]);
    }
    const payload = issuePayload(1, "closed", { at: "yesterday" });
    expect((await send(await signed("issues", payload))).status).toBe(422);
    const { raw, headers } = await signed("issues", issuePayload(1, "closed"));
    const { "x-github-event": _, ...nameless } = headers;
    expect((await send({ raw, headers: nameless })).status).toBe(422);
  });
});

describe("a repeat", () => {
  it("of a delivery changes nothing, also when the task was changed since", async () => {
    const { task, number } = await linked();
    const delivery = await signed("issues", issuePayload(number, "closed"));
    await send(delivery);
    await setStatus(task, "pending");
    const again = await send(delivery);
    expect(again.body.tasks).toMatchObject([{ outcome: "repeated", status: "pending" }]);
  });

  it("of a signed body under another id changes nothing", async () => {
    const { task, number } = await linked();
    await send(await signed("issues", issuePayload(number, "closed")));
    await setStatus(task, "pending");
    const again = await send(await signed("issues", issuePayload(number, "closed")));
    expect(again.body.tasks).toMatchObject([{ outcome: "repeated", status: "pending" }]);
  });

  it("that comes late does not take back what came since", async () => {
    const { task, number } = await linked();
    const closed = await signed("issues", issuePayload(number, "closed", { at: "2026-11-26T10:00:00Z" }));
    await send(await signed("issues", issuePayload(number, "reopened", { at: "2026-11-26T10:00:05Z" })));
    const late = await send(closed);
    expect(late.body.tasks).toMatchObject([{ outcome: "repeated" }]);
    expect(await statusOf(task)).toBe("pending");
  });

  it("is none when two things happen within one second", async () => {
    const { task, number } = await linked();
    const at = "2026-11-26T10:00:00Z";
    await send(await signed("issues", issuePayload(number, "closed", { at })));
    await send(await signed("issues", issuePayload(number, "reopened", { at })));
    expect(await statusOf(task)).toBe("pending");
  });

  it("that comes at once with the first is processed once", async () => {
    const { task, number } = await linked();
    await test.core.claims.claim(agent, task.id, {});
    const other = await linked();
    await test.core.links.add(test.owner, other.task.id, { url: issueUrl(number) });
    const delivery = await signed("issues", issuePayload(number, "closed"));
    const answers = await Promise.all(Array.from({ length: 12 }, () => send(delivery)));
    const outcomes = answers.flatMap(({ body }) => body.tasks.map(({ outcome }) => outcome)).sort();
    expect(outcomes).toEqual([...Array(1).fill("changed"), "held", ...Array(22).fill("repeated")]);
    expect((await test.core.comments.list(test.owner, task.id, {})).items).toHaveLength(1);
    const { items } = await test.core.events.audit(test.owner, { actor: receiver.id, task: other.task.id });
    expect(items).toHaveLength(1);
  });
});

describe("a delivery is refused, without a hint and without a change,", () => {
  it.each<[string, (delivery: SignedDelivery) => SignedDelivery | Promise<SignedDelivery>]>([
    ["when its body was changed", ({ raw, headers }) => ({ raw: raw.replace("closed", "closee"), headers })],
    ["when its body is no JSON, which nobody looks at", ({ headers }) => ({ raw: "{", headers })],
    ["when its body has another space", ({ raw, headers }) => ({ raw: `${raw} `, headers })],
    [
      "without a signature",
      ({ raw, headers: { "x-hub-signature-256": _, ...headers } }) => ({ raw, headers }),
    ],
    [
      "with the signature of SHA-1 alone",
      ({ raw, headers: { "x-hub-signature-256": _, ...headers } }) => {
        const sha1 = createHmac("sha1", receiver.secret).update(raw).digest("hex");
        return { raw, headers: { ...headers, "x-hub-signature": `sha1=${sha1}` } };
      },
    ],
    [
      "with the signature of SHA-1 in the place of the other",
      ({ raw, headers }) => {
        const sha1 = createHmac("sha1", receiver.secret).update(raw).digest("hex");
        return { raw, headers: { ...headers, "x-hub-signature-256": `sha1=${sha1}` } };
      },
    ],
    ["under another secret", () => deliver("0".repeat(64), "issues", issuePayload(number, "closed"))],
    [
      "under no secret",
      ({ raw, headers }) => {
        const signature = createHmac("sha256", "").update(raw).digest("hex");
        return { raw, headers: { ...headers, "x-hub-signature-256": `sha256=${signature}` } };
      },
    ],
    [
      "with a part of its signature",
      ({ raw, headers }) => ({
        raw,
        headers: { ...headers, "x-hub-signature-256": String(headers["x-hub-signature-256"]).slice(0, -2) },
      }),
    ],
  ])("%s", async (_, spoil) => {
    const { number } = await linked();
    const before = await fingerprint(test.connectionString);
    const spoilt = await send(await spoil(await signed("issues", issuePayload(number, "closed"))));
    expect(spoilt.status).toBe(401);
    const nobody = await send(await signed("issues", {}), "01980d7e-8f00-7000-8000-000000000001");
    const { requestId: _a, ...one } = spoilt.body as unknown as { requestId: string };
    const { requestId: _b, ...other } = nobody.body as unknown as { requestId: string };
    expect(one).toEqual(other);
    expect(await fingerprint(test.connectionString)).toBe(before);
  });

  it("even with an owner's token", async () => {
    const { raw, headers } = await deliver("0".repeat(64), "issues", issuePayload(1, "closed"));
    expect((await test.call("POST", address(), { raw, headers })).status).toBe(401);
  });

  it("as a form, too large, or to no id", async () => {
    const { raw, headers } = await signed("issues", issuePayload(1, "closed"));
    const form = { ...headers, "content-type": "application/x-www-form-urlencoded" };
    expect((await send({ raw: `payload=${encodeURIComponent(raw)}`, headers: form })).status).toBe(415);
    const large = await signed("issues", { ...issuePayload(1, "closed"), padding: "x".repeat(1_048_576) });
    expect((await send(large)).status).toBe(413);
    expect((await send({ raw, headers }, "nothing")).status).toBe(400);
  });
});

it("never reaches another organization's tasks", async () => {
  const stranger = await addOrganization(test.storage, "elsewhere");
  await seed(test.core, stranger, "DEMO");
  const { task, number } = await linked();
  await test.core.links.add(stranger, "DEMO:master:1", { url: issueUrl(number) });
  const before = await fingerprint(test.connectionString, stranger.organizationId);
  const { body } = await send(await signed("issues", issuePayload(number, "closed")));
  expect(body.tasks.map((one) => one.task)).toEqual([task.id]);
  expect(await fingerprint(test.connectionString, stranger.organizationId)).toBe(before);

  const theirs = await test.core.receivers.create(stranger, { name: "web" });
  const wrong = await deliver(theirs.secret, "issues", issuePayload(number, "closed"));
  expect((await send(wrong)).status).toBe(401);
});

it("holds up an address that sends too much, and nobody else", async () => {
  const app = await test.another({ TASKMASTER_RATE_LIMIT_MAX: "3", TASKMASTER_TRUST_PROXY: "true" });
  const { raw, headers } = await deliver("0".repeat(64), "issues", issuePayload(1, "closed"));
  const from = async (ip: string) => {
    const answer = await app.inject({
      method: "POST",
      url: `${address()}?x=${Math.random()}`,
      headers: { ...headers, "content-type": "application/json", "x-forwarded-for": ip },
      payload: raw,
    });
    return answer.statusCode;
  };
  const codes = [
    await from("192.0.2.1"),
    await from("192.0.2.1"),
    await from("192.0.2.1"),
    await from("192.0.2.1"),
  ];
  expect(codes.slice(0, 3)).not.toContain(429);
  expect(codes[3]).toBe(429);
  expect(await from("192.0.2.2")).not.toBe(429);
});
