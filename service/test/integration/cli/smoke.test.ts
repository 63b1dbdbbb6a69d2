import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { api } from "../rest/harness.ts";
import { openServerPlace, run, type ServerPlace } from "./harness.ts";

let place: ServerPlace;
const closings: (() => void)[] = [];

beforeAll(async () => {
  place = await openServerPlace();
});
afterEach(() => {
  for (const close of closings.splice(0)) close();
});
afterAll(() => place.close());

const env = () => ({ TASKMASTER_TOKEN: place.app.token });
const projects = async () => {
  const { body } = await place.app.call<{ items: { key: string }[] }>("GET", `${api}/projects`);
  return body.items.map(({ key }) => key);
};

/** A server that passes on to the real one, and answers by itself where it is told to. */
async function between(own: (path: string) => RequestListener | undefined): Promise<string> {
  const server = createServer((request, response) => {
    const instead = own(`${request.method} ${request.url}`);
    if (instead !== undefined) return instead(request, response);
    return void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const { host: _h, connection: _c, "content-length": _l, ...headers } = request.headers;
      const answer = await fetch(`${place.url}${request.url}`, {
        method: request.method ?? "GET",
        headers: headers as Record<string, string>,
        ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
      });
      response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
      response.end(Buffer.from(await answer.arrayBuffer()));
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it("goes a user's way through the server, says how, and leaves nothing", async () => {
  const before = await projects();
  const { code, out, err } = await run(["smoke", `${place.url}/docs`], { env: env() });
  expect({ code, err }).toEqual({ code: 0, err: "" });
  for (const step of [
    "create two tasks",
    "make the first wait",
    "claim it",
    "complete the claim",
    "delete the project",
  ])
    expect(out).toMatch(new RegExp(`^ok .*${step}`, "m"));
  expect(out).toMatch(/All well, in \d\.\d\d s\./);
  const json = await run(["smoke", "--json"], { env: { ...env(), TASKMASTER_SERVER: place.url } });
  const report = JSON.parse(json.out);
  expect(report).toMatchObject({ server: place.url, ok: true, failure: null });
  expect(report.ms).toBeLessThan(5000);
  expect(await projects()).toEqual(before);
});

it("ends with a code of the failure's class, and still takes its project away", async () => {
  const before = await projects();
  const wrong = await between((path) =>
    path.endsWith("/complete") ? (_, response) => response.writeHead(500).end("Oops") : undefined,
  );
  const failed = await run(["smoke", wrong], { env: env() });
  expect(failed).toMatchObject({ code: 1, err: "" });
  expect(failed.out).toContain("answered 500, not 200: the body is Oops");
  expect(failed.out).toMatch(/ok .*remove what was left/);

  const away = await run(["smoke", "http://127.0.0.1:1", "--json"], { env: env() });
  expect(away.code).toBe(6);
  expect(JSON.parse(away.out)).toMatchObject({ ok: false, failure: "unavailable", steps: [{ ok: false }] });

  const { token } = await place.app.core.tokens.create(place.app.owner, { name: "reader", scopes: ["read"] });
  const reader = await run(["smoke", place.url], { env: { TASKMASTER_TOKEN: token } });
  expect(reader).toMatchObject({ code: 5, out: expect.stringContaining("the token lacks the scopes") });
  expect((await run(["smoke", place.url], { env: { TASKMASTER_TOKEN: "tmp_nobody12345" } })).code).toBe(5);

  expect(await run(["smoke", place.url])).toMatchObject({
    code: 5,
    err: expect.stringContaining("set TASKMASTER_TOKEN"),
  });
  expect(await run(["smoke"])).toMatchObject({ code: 2, err: expect.stringContaining("Say which server") });
  expect(await run(["smoke", place.url, "--timeout", "soon"])).toMatchObject({ code: 2 });
  expect(await projects()).toEqual(before);
});

it("gives up when the time is over, or by Ctrl-C, and takes away what it made", async () => {
  const before = await projects();
  let slow = true;
  const url = await between((path) => (slow && path.endsWith("/claims") ? () => {} : undefined));
  const began = performance.now();
  const late = await run(["smoke", url, "--timeout", "1s"], { env: env() });
  expect(late).toMatchObject({ code: 6, out: expect.stringContaining("It was to take 1 s at most.") });
  expect(performance.now() - began).toBeLessThan(4000);
  const stopped = await run(["smoke", url], { env: env(), interrupt: AbortSignal.timeout(500) });
  expect(stopped.code).toBe(130);
  slow = false;
  expect((await run(["smoke", url], { env: env() })).code).toBe(0);
  expect(await projects()).toEqual(before);
});
