import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt, SignJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { testSecret } from "../../support/core.ts";
import { query } from "../../support/migrations.ts";
import { addMembers, api, type TestApp } from "./harness.ts";
import { range, useStreams } from "./streaming.ts";

const streaming = useStreams();
const { makeProject, urlOf, stream, write } = streaming;
let test: TestApp;
beforeAll(() => {
  ({ test } = streaming);
});

describe("a reader", () => {
  it("hears signs of life, and is not cut off by the times that requests have", async () => {
    const app = await test.another({
      TASKMASTER_STREAM_HEARTBEAT_SECONDS: "1",
      TASKMASTER_REQUEST_TIMEOUT_SECONDS: "1",
    });
    const key = await makeProject();
    const opened = await stream(key, { at: await app.listen({ port: 0 }) });
    await sleep(2_500);
    for (let i = 0; i < 1_000 && opened.comments < 2; i += 1) await sleep(10);
    expect(opened.comments).toBeGreaterThanOrEqual(2);
    await write(key, "still there");
    await opened.until(1);
  });

  it("who takes nothing is cut off, holds up nobody, and was written no more than fits", async () => {
    const app = await test.another({ TASKMASTER_REQUEST_TIMEOUT_SECONDS: "1" });
    const at = await app.listen({ port: 0 });
    const key = await makeProject();
    const socket = connect(Number(new URL(at).port), "127.0.0.1");
    const faults: unknown[] = [];
    socket.on("error", (error: NodeJS.ErrnoException) => void faults.push(error.code));
    await once(socket, "connect");
    socket.pause();
    socket.write(
      `GET ${new URL(urlOf(key, "?after=0", at)).pathname}?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${test.token}\r\n\r\n`,
    );
    const other = await stream(key, { query: "?after=0", at });
    // More than the kernel takes for a reader, which is some megabytes.
    const total = 120;
    const details = "x".repeat(100_000);
    const { id } = await write(key, "large");
    for (let i = 0; i < total; i += 1) {
      await test.core.tasks.update(test.owner, id, { details: `${i} ${details}` }, { version: i + 1 });
    }
    await other.until(total + 2, 20_000);
    expect(other.events().map(({ sequence }) => sequence)).toEqual(range(1, total + 2));
    const ended = () =>
      test.lines
        .map((line) => JSON.parse(line))
        .find(({ why, msg }) => msg === "stream ended" && why === "stalled");
    for (let i = 0; i < 500 && ended() === undefined; i += 1) await sleep(10);
    expect(ended()?.events).toBeLessThan(total / 2);
    // Nothing is kept for it: it does not even get what the kernel had taken.
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    await closed;
    expect(faults).toEqual(["ECONNRESET"]);
  }, 60_000);

  it("who leaves while its stream is being opened leaves nothing behind", async () => {
    const key = await makeProject();
    const { events } = test.core;
    const { follow } = events;
    const asked = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    test.app.server.once("connection", (socket) => socket.once("close", () => gone.resolve()));
    events.follow = async (...given) => {
      const following = await follow(...given);
      asked.resolve();
      await gone.promise;
      return following;
    };
    const left = () => test.lines.filter((line) => /"why":"left".*"msg":"stream ended"/.test(line)).length;
    const before = left();
    const { hostname, port, pathname, search } = new URL(urlOf(key, "?after=0"));
    const socket = connect(Number(port), hostname);
    socket.write(
      `GET ${pathname}${search} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${test.token}\r\n\r\n`,
    );
    await asked.promise;
    events.follow = follow;
    socket.destroy();
    await expect.poll(left, { timeout: 5_000 }).toBe(before + 1);
  });

  it("may open so many streams and no more, and again when one is left", async () => {
    const app = await test.another({ TASKMASTER_STREAMS_PER_TOKEN_MAX: "2", TASKMASTER_STREAMS_MAX: "3" });
    const at = await app.listen({ port: 0 });
    const key = await makeProject();
    const first = await stream(key, { at });
    await stream(key, { at });
    const refused = await fetch(urlOf(key, "", at), { headers: { authorization: `Bearer ${test.token}` } });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "5"]);
    expect(await refused.json()).toMatchObject({ code: "rate_limited" });

    const { token } = await test.core.tokens.create(test.owner, { name: "another" });
    await stream(key, { at, token });
    const full = await fetch(urlOf(key, "", at), { headers: { authorization: `Bearer ${token}` } });
    expect([full.status, full.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(await full.json()).toMatchObject({ code: "unavailable" });

    // One that is refused for another reason takes no place.
    await first.leave();
    for (let i = 0; i < 5; i += 1) expect((await stream("NOPE", { at })).status).toBe(404);
    let status = 0;
    for (let i = 0; i < 100 && status !== 200; i += 1) {
      await sleep(20);
      ({ status } = await stream(key, { at }));
    }
    expect(status).toBe(200);
  });

  const ends: [string, (made: { token: string; tokenId: string }) => Promise<unknown>, string][] = [
    ["its token is revoked", ({ tokenId }) => test.core.tokens.revoke(test.owner, tokenId), "revoked"],
    [
      "its token has expired",
      ({ tokenId }) =>
        query(test.connectionString, "UPDATE access_tokens SET expires_at = now() WHERE id = $1", [tokenId]),
      "expired",
    ],
    [
      "its token is gone",
      ({ tokenId }) => query(test.connectionString, "DELETE FROM access_tokens WHERE id = $1", [tokenId]),
      "deleted",
    ],
  ];
  it.each(ends)("is told to go within a second or so when %s", async (_, take, word) => {
    const key = await makeProject();
    const { token, id } = await test.core.tokens.create(test.owner, { name: "short" });
    const session = await test.call<{ token: string }>("POST", `${api}/sessions`, { token });
    const streams = [await stream(key, { token }), await stream(key, { token: session.body.token })];
    const stays = await stream(key);
    for (const one of [...streams, stays]) await one.until("start");
    await take({ token, tokenId: id });
    const begun = performance.now();
    for (const one of streams) {
      const last = await one.until("end", 3_000);
      expect(last.data).toMatchObject({ code: "unauthenticated", detail: expect.stringContaining(word) });
      expect(await one.closed).toBe("ended");
    }
    expect(performance.now() - begun).toBeLessThan(2_000);
    expect((await stream(key, { token })).status).toBe(401);
    await write(key, "for those who may");
    await stays.until(1);
    expect(streams.map((one) => one.events().length)).toEqual([0, 0]);
  });

  it("is told to go when its agent is disabled, its membership ends or its session is over", async () => {
    const key = await makeProject();
    const members = await addMembers(test.core, test.owner, `stream-${key}`);
    const { agents, memberships } = test.core;
    const agent = await stream(key, { token: members.agent.token });
    const viewer = await stream(key, { token: members.viewer.token });
    for (const one of [agent, viewer]) await one.until("start");
    await agents.update(test.owner, members.agent.context.actor.id, { disabled: true }, 1);
    await memberships.delete(test.owner, members.viewer.context.membershipId, 1);
    expect((await agent.until("end", 3_000)).data).toMatchObject({ code: "unauthenticated" });
    expect((await viewer.until("end", 3_000)).data).toMatchObject({ code: "unauthenticated" });

    const soon = Math.floor(Date.now() / 1000) + 2;
    const { body } = await test.call<{ token: string }>("POST", `${api}/sessions`);
    const token = await new SignJWT(decodeJwt(body.token))
      .setProtectedHeader({ alg: "HS256", typ: "task-master-pro-session+jwt" })
      .setExpirationTime(soon)
      .sign(new TextEncoder().encode(testSecret));
    const session = await stream(key, { token });
    expect(session.status).toBe(200);
    expect((await session.until("end", 5_000)).data).toMatchObject({ code: "unauthenticated" });
    expect(Date.now()).toBeGreaterThanOrEqual(soon * 1000);
  });
});
