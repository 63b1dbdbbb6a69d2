import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, expect, it, vi } from "vitest";
import { type RunOptions, run } from "./harness.ts";
import recorded from "./prometheus.json" with { type: "json" };

interface Recording {
  time: number;
  exchanges: { path: string; asked: Record<string, string>; status: number; answer: unknown }[];
}

const closings: (() => void)[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const close of closings.splice(0)) close();
});

interface Asked {
  path: string;
  parameters: Record<string, string>;
  headers: IncomingHttpHeaders;
}

async function serve(answer: (asked: Asked) => { status?: number; body: unknown }): Promise<string> {
  const server = createServer(async (request, response) => {
    const parameters = Object.fromEntries(new URLSearchParams(await text(request)));
    const { status = 200, body } = answer({ path: request.url ?? "", parameters, headers: request.headers });
    response.writeHead(status, { "content-type": "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Answers as the real one did, at the time at which it did; what that was not asked it refuses. */
async function replay({ time, exchanges }: Recording): Promise<string> {
  vi.useFakeTimers({ toFake: ["Date"], now: time * 1000 });
  return await serve(({ path, parameters }) => {
    const found = exchanges.find(
      (one) => one.path === path && JSON.stringify(one.asked) === JSON.stringify(parameters),
    );
    return found === undefined
      ? {
          status: 400,
          body: {
            status: "error",
            errorType: "bad_data",
            error: `not recorded: ${JSON.stringify(parameters)}`,
          },
        }
      : { status: found.status, body: found.answer };
  });
}

const slo = async (url: string, args: string[] = ["--window", "10m"], options: RunOptions = {}) =>
  await run(["slo", "--prometheus", url, ...args], options);
const vector = (...result: { metric: Record<string, string>; value: [number, string] }[]) => ({
  body: { status: "success", data: { resultType: "vector", result } },
});

it("reports what was attained, what is left, and the worst routes, as JSON", async () => {
  const { code, out, err } = await slo(await replay(recorded.measured), ["--window", "10m", "--json"]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  const report = JSON.parse(out);
  expect(report).toMatchObject({ job: "task-master-pro", namespace: null, windowSeconds: 600 });
  expect(report.to).toBe(new Date(recorded.measured.time * 1000).toISOString().replace(".000Z", "Z"));
  const [availability, latency, events, backups] = report.levels;
  expect(availability).toMatchObject({ slo: "availability", objective: 0.999, dataSeconds: 255 });
  expect(availability.attained).toBeCloseTo(0.98732, 5);
  // 1.268 % failed, of which 0.1 % were allowed.
  expect(availability.budgetRemaining).toBeCloseTo(1 - 1.26758 / 0.1, 3);
  expect(latency).toMatchObject({ slo: "latency", objective: 0.99 });
  expect(latency.budgetRemaining).toBeCloseTo(-0.19037, 5);
  expect(events).toMatchObject({ slo: "event_freshness", attained: 1, budgetRemaining: 1 });
  expect(backups).toEqual({
    ...{ slo: "backup_freshness", objective: 0.99, attained: null, budgetRemaining: null, dataSeconds: 0 },
  });
  expect(report.worstRoutes).toEqual([
    {
      ...{
        method: "POST",
        route: "/api/v1/projects/:key/tags/:tag/tasks",
        requests: 229,
        failed: 16,
        slow: 9,
      },
      p99: expect.closeTo(0.492, 3),
    },
    {
      ...{ method: "GET", route: "/api/v1/projects/:key/tags/:tag/next", requests: 231, failed: 0, slow: 1 },
      p99: expect.closeTo(0.246, 3),
    },
  ]);
});

it("says the same in a table and as Markdown, and of how little it knows it", async () => {
  const url = await replay(recorded.measured);
  const table = await slo(url);
  expect(table.out).toMatch(/^availability +99\.9 % +98\.732 % +-1167\.6 % +43 % of it$/m);
  expect(table.out).toMatch(/^backup freshness +99 % +nothing counted/m);
  expect(table.out).toMatch(/^POST \S+\/tasks +229 +16 +9 +0\.49 s$/m);
  expect(table.out).toContain("Of the window of 10 min there is data of less: availability 4.3 min");
  const markdown = await slo(url, ["--window", "10m", "--markdown"]);
  expect(markdown.out).toContain("# Service levels of task-master-pro\n");
  expect(markdown.out).toContain("| availability | 99.9 % | 98.732 % | -1167.6 % | 43 % of it |");
  expect(markdown.out).toContain("| `POST /api/v1/projects/:key/tags/:tag/tasks` | 229 | 16 | 9 | 0.49 s |");
  for (const line of markdown.out.split("\n").filter((one) => one.startsWith("|")))
    expect(line.split(" | ")).toHaveLength(5);
  expect((await slo(url, ["--markdown", "--json"])).code).toBe(2);
});

it("says why there is nothing to report", async () => {
  const unknown = await slo(await replay(recorded.unknown), ["--window", "10m", "--job", "nobody"]);
  expect(unknown).toMatchObject({
    code: 3,
    out: "",
    err: expect.stringContaining('no data of a Task Master Pro with {job="nobody"}'),
  });
  const ruleless = await slo(await replay(recorded.ruleless));
  expect(ruleless).toMatchObject({ code: 3, err: expect.stringContaining("but not the rules that record") });
  vi.useRealTimers();
  const newest = Math.floor(Date.now() / 1000) - 10 * 86_400;
  const old = await serve(({ path }) =>
    path.endsWith("_range")
      ? {
          body: {
            status: "success",
            data: {
              resultType: "matrix",
              result: [
                {
                  metric: {},
                  values: [
                    [newest - 21_600, "1"],
                    [newest, "1"],
                  ],
                },
              ],
            },
          },
        }
      : vector(),
  );
  const stale = await slo(old, ["--window", "2d"]);
  const day = new Date(newest * 1000).toISOString().slice(0, 10);
  expect(stale).toMatchObject({
    code: 3,
    err: expect.stringMatching(new RegExp(`no data of the last 2 d; .* ${day}T`)),
  });
});

it("asks which, where there are several, and takes a name as it is", async () => {
  const queries: string[] = [];
  const url = await serve(({ parameters }) => {
    queries.push(parameters.query ?? "");
    return vector(
      { metric: { job: "tasks", namespace: "a", slo: "latency" }, value: [0, "0.99"] },
      { metric: { job: "tasks", namespace: "b", slo: "latency" }, value: [0, "0.99"] },
    );
  });
  const several = await slo(url, ["--job", 'ta"sks'], {});
  expect(several).toMatchObject({
    code: 2,
    err: expect.stringContaining("--job tasks --namespace a, or --job tasks --namespace b"),
  });
  expect(queries).toEqual([expect.stringContaining('{job="ta\\"sks"}[2592000s]')]);
});

it("ends with a code of the failure's class", async () => {
  const gone = await serve(() => ({ body: "" }));
  closings.pop()?.();
  expect(await slo(gone)).toMatchObject({
    code: 6,
    err: expect.stringContaining("does not answer: connect ECONNREFUSED"),
  });
  let sent: string | undefined;
  const guarded = await serve(({ headers }) => {
    sent = headers.authorization;
    return { status: 401, body: "Unauthorized" };
  });
  expect(await slo(guarded)).toMatchObject({
    code: 5,
    err: expect.stringContaining("set TASKMASTER_PROMETHEUS_TOKEN"),
  });
  expect(sent).toBeUndefined();
  const refused = await slo(guarded, [], { env: { TASKMASTER_PROMETHEUS_TOKEN: "hush-hush" } });
  expect(refused).toMatchObject({ code: 5, err: expect.not.stringContaining("hush") });
  expect(sent).toBe("Bearer hush-hush");
  const page = await serve(() => ({ body: "<html>" }));
  expect(await slo(page)).toMatchObject({ code: 6, err: expect.stringContaining("no answer of Prometheus") });
  const busy = await serve(() => ({
    status: 503,
    body: { status: "error", errorType: "timeout", error: "query timed out" },
  }));
  expect(await slo(busy)).toMatchObject({ code: 6, err: expect.stringContaining("query timed out") });
  for (const window of ["2m", "401d", "soon", "-1d"])
    expect(await slo(page, [`--window=${window}`]), window).toMatchObject({ code: 2, out: "" });
  for (const address of [
    "prometheus:9090",
    "http://user:pass@127.0.0.1:9090",
    "http://127.0.0.1:9090/graph?g0=x",
  ])
    expect(await slo(address), address).toMatchObject({ code: 2, err: expect.not.stringContaining("pass@") });
  expect(await run(["slo"])).toMatchObject({ code: 2, err: expect.stringContaining("--prometheus") });
});
