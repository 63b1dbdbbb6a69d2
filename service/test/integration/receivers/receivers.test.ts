import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCore } from "../../../src/core/create.ts";
import type { IssuedReceiver, Receiver } from "../../../src/core/index.ts";
import { deliver, example, issuePayload, issueUrl, pullPayload, pullUrl } from "../../support/github.ts";
import { query } from "../../support/migrations.ts";
import { seed } from "../mcp/harness.ts";
import { api, openTestApp, type TestApp } from "../rest/harness.ts";

let test: TestApp;
beforeAll(async () => {
  test = await openTestApp();
  await seed(test.core, test.owner, "DEMO");
});
afterAll(() => test.close());

let count = 0;
const create = (body: object = {}) =>
  test.call<IssuedReceiver>("POST", `${api}/receivers`, { body: { name: `web ${++count}`, ...body } });
const ping = async (id: string, secret: string) => {
  const delivery = await deliver(secret, "ping", example("ping"));
  return (await test.call("POST", `${api}/receivers/github/${id}`, { token: undefined, ...delivery })).status;
};

describe("a receiver", () => {
  it("is made with safe defaults, and shows its secret once", async () => {
    const made = await create();
    expect(made.status).toBe(201);
    expect(made.headers["cache-control"]).toBe("no-store");
    const { secret, ...shown } = made.body;
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    expect(shown).toMatchObject({
      provider: "github",
      statuses: {
        issueClosed: "done",
        issueNotPlanned: "cancelled",
        issueReopened: "pending",
        pullRequestMerged: "done",
      },
      previousSecretExpiresAt: null,
      version: 1,
    });
    const read = await test.call<Receiver>("GET", String(made.headers.location));
    expect(read.body).toEqual(shown);
    const list = await test.call("GET", `${api}/receivers?limit=200`);
    expect(list.text).toContain(shown.id);
    expect(list.text).not.toContain(secret);
    const audit = await test.call("GET", `${api}/audit?type=receiver.created`);
    expect(audit.text).not.toContain(secret);
    expect(test.lines.join("")).not.toContain(secret);
    const sealed = "SELECT secret FROM receivers WHERE id = $1";
    const [row] = await query<{ secret: string }>(test.connectionString, sealed, [shown.id]);
    expect(row?.secret).not.toContain(secret);
    expect(await ping(shown.id, secret)).toBe(204);
  });

  it("is made once under an Idempotency-Key, with the same secret again", async () => {
    const call = { body: { name: "keyed" }, headers: { "idempotency-key": "receiver" } };
    const first = await test.call("POST", `${api}/receivers`, call);
    const second = await test.call("POST", `${api}/receivers`, call);
    expect(second.text).toBe(first.text);
    expect((await test.call("POST", `${api}/receivers`, { body: { name: "keyed" } })).status).toBe(409);
  });

  it("is rotated: both secrets are good for a day, then the new one alone", async () => {
    const { id, secret: first } = (await create()).body;
    const rotated = await test.call<IssuedReceiver>("POST", `${api}/receivers/${id}/rotate`);
    expect(rotated.status).toBe(200);
    expect(rotated.headers["cache-control"]).toBe("no-store");
    expect(rotated.headers.etag).toBe('"2"');
    const { secret: second, previousSecretExpiresAt } = rotated.body;
    expect(second).not.toBe(first);
    const hours = (Date.parse(String(previousSecretExpiresAt)) - Date.now()) / 3_600_000;
    expect(hours).toBeGreaterThan(23);
    expect(hours).toBeLessThan(25);
    expect([await ping(id, first), await ping(id, second)]).toEqual([204, 204]);

    const expire = "UPDATE receivers SET previous_secret_expires_at = now() WHERE id = $1";
    await query(test.connectionString, expire, [id]);
    expect([await ping(id, first), await ping(id, second)]).toEqual([401, 204]);
    const shown = await test.call<Receiver>("GET", `${api}/receivers/${id}`);
    expect(shown.body.previousSecretExpiresAt).toBeNull();

    const third = (await test.call<IssuedReceiver>("POST", `${api}/receivers/${id}/rotate`)).body.secret;
    expect([await ping(id, first), await ping(id, second), await ping(id, third)]).toEqual([401, 204, 204]);
  });

  it("is changed by its version: what follows, and what is left alone", async () => {
    const made = await create({ statuses: { pullRequestMerged: "review" } });
    const { id, secret } = made.body;
    const url = `${api}/receivers/${id}`;
    expect((await test.call("PATCH", url, { body: { name: "x" } })).status).toBe(428);
    const patched = await test.call<Receiver>("PATCH", url, {
      body: { name: "other", statuses: { issueClosed: null } },
      headers: { "if-match": '"1"' },
    });
    expect(patched.body).toMatchObject({
      name: "other",
      version: 2,
      statuses: { issueClosed: null, issueReopened: "pending", pullRequestMerged: "review" },
    });
    const stale = await test.call("PATCH", url, { body: { name: "z" }, headers: { "if-match": '"1"' } });
    expect(stale.status).toBe(412);
    const same = await test.call<Receiver>("PATCH", url, {
      body: { name: "other" },
      headers: { "if-match": '"2"' },
    });
    expect(same.body.version).toBe(2);
    const bad = await test.call("PATCH", url, {
      body: { statuses: { issueClosed: "finished" } },
      headers: { "if-match": '"2"' },
    });
    expect(bad.status).toBe(422);

    await test.core.links.add(test.owner, "DEMO:master:1", { url: issueUrl(7) });
    await test.core.links.add(test.owner, "DEMO:master:1", { url: pullUrl(8) });
    const send = async (event: string, payload: Record<string, unknown>) =>
      (
        await test.call("POST", `${api}/receivers/github/${id}`, {
          token: undefined,
          ...(await deliver(secret, event, payload)),
        })
      ).body;
    expect(await send("issues", issuePayload(7, "closed"))).toMatchObject({
      outcome: "ignored",
      reason: "The receiver leaves tasks alone for issueClosed.",
    });
    expect(await send("pull_request", pullPayload(8, true))).toMatchObject({ tasks: [{ status: "review" }] });
  });

  it("takes back a status of its own when its issue is opened again", async () => {
    const { id, secret } = (await create({ statuses: { issueClosed: "review" } })).body;
    await test.core.links.add(test.owner, "DEMO:master:2", { url: issueUrl(9) });
    const send = async (payload: Record<string, unknown>) =>
      (
        await test.call("POST", `${api}/receivers/github/${id}`, {
          token: undefined,
          ...(await deliver(secret, "issues", payload)),
        })
      ).body;
    expect(await send(issuePayload(9, "closed"))).toMatchObject({ tasks: [{ status: "review" }] });
    const at = "2026-11-26T11:00:00Z";
    expect(await send(issuePayload(9, "reopened", { at }))).toMatchObject({ tasks: [{ status: "pending" }] });
  });

  it("is deleted: what is sent to it is refused from then on", async () => {
    const { id, secret } = (await create()).body;
    const url = `${api}/receivers/${id}`;
    expect((await test.call("DELETE", url, { headers: { "if-match": '"2"' } })).status).toBe(412);
    expect((await test.call("DELETE", url, { headers: { "if-match": '"1"' } })).status).toBe(204);
    expect(await ping(id, secret)).toBe(401);
    expect((await test.call("GET", url)).status).toBe(404);
    expect((await test.call("POST", `${url}/rotate`)).status).toBe(404);
    const types = await test.call<{ items: { type: string; data: { receiver?: string } }[] }>(
      "GET",
      `${api}/audit?limit=200`,
    );
    const own = types.body.items.filter(({ data }) => data.receiver === id).map(({ type }) => type);
    expect(own).toEqual(["receiver.deleted", "receiver.created"]);
  });

  it("says that its secret cannot be read where the server's own was changed, and not that the delivery is bad", async () => {
    const { id, secret } = (await create()).body;
    const other = await createCore(test.storage, "another secret for tests, of thirty-two bytes or more");
    const { raw, headers } = await deliver(secret, "ping", example("ping"));
    const received = other.receivers.receive(id, {
      event: headers["x-github-event"],
      delivery: headers["x-github-delivery"],
      signature: headers["x-hub-signature-256"],
      body: new TextEncoder().encode(raw),
      requestId: "test",
    });
    await expect(received).rejects.toMatchObject({ code: "unavailable" });
  });
});
