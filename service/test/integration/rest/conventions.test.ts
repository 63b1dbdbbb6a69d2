import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Page, Task } from "../../../src/core/index.ts";
import { buildWorld, type World } from "./cases.ts";
import { type Answer, api, openTestApp, type TestApp } from "./harness.ts";

let test: TestApp;
let world: World;
let tag: string;

beforeAll(async () => {
  test = await openTestApp();
  world = await buildWorld(test.core, test.owner);
  tag = `${api}/projects/${world.project}/tags/${encodeURIComponent(world.tag)}`;
});
afterAll(() => test.close());

const code = (answer: Answer) => [answer.status, answer.body.code];

describe("what is made", () => {
  it("answers 201 with its address, where it then is", async () => {
    const made = await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "made" } });
    expect(made.status).toBe(201);
    expect(made.headers.location).toBe(`${api}/tasks/${made.body.id}`);
    expect(made.headers.etag).toBe('"1"');
    const got = await test.call("GET", String(made.headers.location));
    expect(got.body).toEqual(made.body);
  });

  it("has an address also under a name that must be encoded", async () => {
    const made = await test.call("POST", `${api}/projects/${world.project}/tags`, {
      body: { name: "x: y%/é".replace("/", "") },
    });
    expect(made.headers.location).toBe(`${api}/projects/${world.project}/tags/x%3A%20y%25%C3%A9`);
    expect((await test.call("GET", String(made.headers.location))).body.name).toBe("x: y%é");
  });

  it("has absolute addresses when the public URL is known", async () => {
    const app = await test.another({ TASKMASTER_PUBLIC_URL: "https://tasks.example.com/base/" });
    const answer = await app.inject({
      method: "POST",
      url: `${tag}/tasks`,
      headers: { authorization: `Bearer ${test.token}` },
      payload: { title: "far" },
    });
    expect(answer.headers.location).toMatch(/^https:\/\/tasks\.example\.com\/base\/api\/v1\/tasks\//);
  });

  it("keeps every member of a client's own object, whatever its name", async () => {
    const metadata = { "a\nb": 1, "": [null], é: { "1": "x" } };
    const made = await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "own", metadata } });
    expect(made.body.metadata).toEqual(metadata);
  });
});

describe("versions", () => {
  it("are tags, spare a second download, and guard changes", async () => {
    const task = (await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "v" } })).body;
    const url = `${api}/tasks/${task.id}`;
    expect((await test.call("GET", url, { headers: { "if-none-match": '"1"' } })).status).toBe(304);
    expect((await test.call("GET", url, { headers: { "if-none-match": 'W/"1", "7"' } })).status).toBe(304);
    expect((await test.call("GET", url, { headers: { "if-none-match": '"2"' } })).status).toBe(200);
    const change = (ifMatch?: string) =>
      test.call("PATCH", url, {
        body: { title: "w" },
        headers: ifMatch === undefined ? {} : { "if-match": ifMatch },
      });
    expect(code(await change())).toEqual([428, "version_required"]);
    expect(code(await change("*"))).toEqual([428, "version_required"]);
    expect(code(await change("1"))).toEqual([400, "invalid_input"]);
    expect(code(await change('"1", "2"'))).toEqual([400, "invalid_input"]);
    for (const none of ['W/"1"', '"abc"', '"0"', '"99999999999999999999"']) {
      const answer = await change(none);
      expect(code(answer)).toEqual([412, "version_mismatch"]);
      expect(answer.body.detail).toBe(
        `${none} is the ETag of no version; read the resource again and send its ETag as it is.`,
      );
    }
    expect(code(await change('"2"'))).toEqual([412, "version_mismatch"]);
    const changed = await change('"1"');
    expect([changed.status, changed.headers.etag]).toEqual([200, '"2"']);
    expect(code(await change('"1"'))).toEqual([412, "version_mismatch"]);
    expect(code(await test.call("DELETE", url))).toEqual([428, "version_required"]);
    expect((await test.call("DELETE", url, { headers: { "if-match": '"2"' } })).status).toBe(204);
    expect(code(await test.call("GET", url))).toEqual([404, "not_found"]);
  });

  it("do not hide a claim, its renewal or its end behind 304, and stand for the version all the while", async () => {
    const task = (
      await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "held", status: "in-progress" } })
    ).body;
    const url = `${api}/tasks/${task.id}`;
    const claim = await test.call<{ id: string; fence: number }>("POST", `${url}/claims`);
    const { id, fence } = claim.body;
    let tagSeen = `"${task.version}"`;
    const changedSince = async () => {
      const answer = await test.call("GET", url, { headers: { "if-none-match": tagSeen } });
      if (answer.status === 200) tagSeen = String(answer.headers.etag);
      return answer.status;
    };
    expect([await changedSince(), await changedSince()]).toEqual([200, 304]);
    await test.call("POST", `${api}/claims/${id}/heartbeat`, { body: { fence, ttlSeconds: 5000 } });
    expect([await changedSince(), await changedSince()]).toEqual([200, 304]);
    const headers = { "if-match": tagSeen, "claim-fence": String(fence) };
    expect((await test.call("PATCH", url, { body: { title: "mine" }, headers })).status).toBe(200);
    expect((await test.call("PATCH", url, { body: { title: "again" }, headers })).status).toBe(412);
    expect(await changedSince()).toBe(200);
    await test.call("POST", `${api}/claims/${id}/release`, { body: { fence } });
    expect([await changedSince(), await changedSince()]).toEqual([200, 304]);
  });

  it("let one of many changes of the same version through", async () => {
    const task = (await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "race" } })).body;
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        test.call("PATCH", `${api}/tasks/${task.id}`, {
          body: { title: `t${i}` },
          headers: { "if-match": '"1"' },
        }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 412)).toHaveLength(19);
  });

  it("take merge patches under both their names, and no other change as one", async () => {
    const task = (await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "m", assignee: "ada" } }))
      .body;
    const patched = await test.call<Task>("PATCH", `${api}/tasks/${task.id}`, {
      raw: '{"assignee":null}',
      headers: { "content-type": "application/merge-patch+json", "if-match": '"1"' },
    });
    expect([patched.status, patched.body.assignee]).toEqual([200, null]);
    const posted = await test.call("POST", `${tag}/tasks`, {
      raw: '{"title":"x"}',
      headers: { "content-type": "application/merge-patch+json" },
    });
    expect(code(posted)).toEqual([415, "unsupported_media_type"]);
  });

  it("refuse a write under a claim's old fence", async () => {
    const task = (await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "f" } })).body;
    const claim = await test.call<{ fence: number }>("POST", `${api}/tasks/${task.id}/claims`);
    const etag = String((await test.call("GET", `${api}/tasks/${task.id}`)).headers.etag);
    const write = (fence: string) =>
      test.call("PATCH", `${api}/tasks/${task.id}`, {
        body: { status: "review" },
        headers: { "if-match": etag, "claim-fence": fence },
      });
    expect(code(await write("abc"))).toEqual([400, "invalid_input"]);
    expect(code(await write(String(claim.body.fence + 1)))).toEqual([409, "stale_fence"]);
    expect((await write(String(claim.body.fence))).status).toBe(200);
  });
});

describe("Idempotency-Key", () => {
  it("makes fifty requests at once one change with one answer, byte for byte", async () => {
    const before = (await test.core.tasks.list(test.owner, world.project, world.tag, { limit: 200 })).items
      .length;
    const answers = await Promise.all(
      Array.from({ length: 50 }, () =>
        test.call("POST", `${tag}/tasks`, {
          body: { title: "once" },
          headers: { "idempotency-key": "fifty" },
        }),
      ),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(new Set(answers.map(({ headers }) => headers.location)).size).toBe(1);
    const after = (await test.core.tasks.list(test.owner, world.project, world.tag, { limit: 200 })).items
      .length;
    expect(after - before).toBe(1);
  });

  it("is refused for something else, and when it is no key", async () => {
    const post = (key: string, title: string) =>
      test.call("POST", `${tag}/tasks`, { body: { title }, headers: { "idempotency-key": key } });
    expect((await post("mine", "a")).status).toBe(201);
    expect(code(await post("mine", "b"))).toEqual([422, "idempotency_mismatch"]);
    for (const key of ["", "with space", "x".repeat(256), "é"]) {
      const answer = await post(key, "a");
      expect([key, ...code(answer)]).toEqual([key, 400, "invalid_input"]);
      expect(answer.text).toContain("/headers/idempotency-key");
    }
  });

  it("gives a secret again to whoever made it", async () => {
    const make = () =>
      test.call("POST", `${api}/tokens`, { body: { name: "k" }, headers: { "idempotency-key": "token" } });
    const [first, second] = [await make(), await make()];
    expect(second.text).toBe(first.text);
    expect(first.headers["cache-control"]).toBe("no-store");
  });
});

describe("lists", () => {
  it("go on at the cursor and at Link until all was given once", async () => {
    const project = await test.core.projects.create(test.owner, { key: "PAGES", name: "Pages" });
    for (let i = 0; i < 7; i++) {
      await test.core.tasks.create(test.owner, project.key, "master", { title: `t${i}` });
    }
    const seen: string[] = [];
    let url: string | undefined =
      `${api}/projects/PAGES/tags/master/tasks?limit=3&status=pending&status=review`;
    while (url !== undefined) {
      const page: Answer<Page<Task>> = await test.call<Page<Task>>("GET", url);
      expect(page.status).toBe(200);
      seen.push(...page.body.items.map(({ title }) => title));
      const link = /^<([^>]+)>; rel="next"$/.exec(String(page.headers.link ?? ""))?.[1];
      expect(link !== undefined).toBe(page.body.nextCursor !== null);
      url = link;
    }
    expect(seen).toEqual(["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
  });

  it("of events say where to go on", async () => {
    const list = await test.call<{ last: number }>("GET", `${api}/projects/PAGES/events?limit=2`);
    expect(list.headers.link).toBe(
      `<${api}/projects/PAGES/events?limit=2&after=${list.body.last}>; rel="next"`,
    );
  });

  it("are cut down to the fields that are asked for", async () => {
    const list = await test.call<Page<Task>>(
      "GET",
      `${api}/projects/PAGES/tags/master/tasks?fields=title,localId&limit=1`,
    );
    expect(list.body.items).toEqual([{ localId: "1", title: "t0" }]);
    expect(list.body.nextCursor).not.toBeNull();
    const one = await test.call("GET", `${api}/tasks/PAGES:master:1?fields=title`);
    expect(one.body).toEqual({ title: "t0" });
    const wrong = await test.call("GET", `${api}/tasks/PAGES:master:1?fields=titel`);
    expect(code(wrong)).toEqual([400, "invalid_input"]);
    expect(wrong.body.errors).toEqual([expect.objectContaining({ pointer: "/query/fields" })]);
    expect(wrong.body.detail).toContain("localId");
  });
});

describe("tasks", () => {
  it("are found by their name of any length and script", async () => {
    const name = "𝒯".repeat(90);
    await test.core.tags.create(test.owner, world.project, { name });
    await test.core.tasks.create(test.owner, world.project, name, { title: "deep" });
    const answer = await test.call("GET", `${api}/tasks/${encodeURIComponent(`${world.project}:${name}:1`)}`);
    expect([answer.status, answer.body.title]).toEqual([200, "deep"]);
  });

  it("are shown as they were", async () => {
    const task = (await test.call<Task>("POST", `${tag}/tasks`, { body: { title: "old" } })).body;
    await new Promise((resolve) => setTimeout(resolve, 20));
    const instant = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await test.call("PATCH", `${api}/tasks/${task.id}`, {
      body: { title: "new" },
      headers: { "if-match": '"1"' },
    });
    const was = await test.call<Task>("GET", `${api}/tasks/${task.id}?asOf=${encodeURIComponent(instant)}`);
    expect([was.body.title, was.headers.etag]).toEqual(["old", '"1"']);
  });

  it("come and go as files, byte for byte", async () => {
    await test.core.projects.create(test.owner, { key: "FILE", name: "File" });
    const text = `{
  "master": {
    "tasks": [
      {
        "id": 1,
        "title": "é \\u00e9",
        "status": "pending",
        "x": 1.0,
        "description": "",
        "priority": "low"
      }
    ]
  }
}
`;
    const dry = await test.call("POST", `${api}/projects/FILE/import?dryRun=true`, { raw: text });
    expect([dry.status, dry.body.dryRun, dry.body.accepted, dry.body.id]).toEqual([200, true, true, null]);
    const report = await test.call("POST", `${api}/projects/FILE/import`, { raw: text });
    expect([report.status, report.body.problems]).toEqual([200, []]);
    const file = await test.call("GET", `${api}/projects/FILE/export`);
    expect(file.text).toBe(text);
    expect(file.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(file.headers["content-disposition"]).toBe('attachment; filename="tasks.json"');
    const refused = await test.call("POST", `${api}/projects/FILE/import`, {
      raw: '{"other":{"tasks":[{"id":1}]}}',
    });
    expect(code(refused)).toEqual([422, "import_refused"]);
    expect(refused.body.report).toMatchObject({ accepted: false });
  });

  it("are claimed one after the other until nothing is ready", async () => {
    await test.core.projects.create(test.owner, { key: "QUEUE", name: "Queue" });
    await test.core.tasks.create(test.owner, "QUEUE", "master", { title: "only" });
    const url = `${api}/projects/QUEUE/tags/master/claims`;
    const agent = await test.core.agents.create(test.owner, { name: "worker" });
    const { token } = await test.core.tokens.create(test.owner, { name: "w", agent: agent.id });
    const first = await test.call("POST", url, { token });
    expect([first.status, first.headers.location]).toEqual([201, `${api}/claims/${first.body.id}`]);
    const second = await test.call("POST", url, { body: {} });
    expect([second.status, second.text]).toEqual([204, ""]);
    const taken = await test.call("POST", `${api}/tasks/QUEUE:master:1/claims`);
    expect(code(taken)).toEqual([409, "claimed"]);
  });

  it("refuse a cycle and name it", async () => {
    await test.core.projects.create(test.owner, { key: "RING", name: "Ring" });
    for (const title of ["a", "b"]) await test.core.tasks.create(test.owner, "RING", "master", { title });
    const put = (from: number, to: number) =>
      test.call("PUT", `${api}/tasks/RING:master:${from}/dependencies/RING:master:${to}`);
    expect((await put(1, 2)).status).toBe(200);
    const cycle = await put(2, 1);
    expect(code(cycle)).toEqual([409, "cycle"]);
    expect(cycle.body.path).toBeDefined();
  });
});
