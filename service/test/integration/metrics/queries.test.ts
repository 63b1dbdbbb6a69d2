import { chmod, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parser } from "@prometheus-io/lezer-promql";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { createTestDatabase, type TestDatabase } from "../../support/database.ts";
import { type Scrape, scrape } from "../../support/metrics.ts";
import { runCli, startCli } from "../../support/program.ts";
import { startWatchedServer, type WatchedServer } from "../../support/watched-server.ts";

const files = fileURLToPath(new URL("../../../../charts/task-master-pro/files/", import.meta.url));

interface Selector {
  metric: string;
  matchers: { label: string; operator: string; value: string }[];
}

/** What an expression of Prometheus reads. Throws at one that is none. */
function selectorsOf(query: string): Selector[] {
  const found: Selector[] = [];
  const text = query.replaceAll("$__rate_interval", "5m");
  const at = ({ from, to }: { from: number; to: number }) => text.slice(from, to);
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`no query at ${node.from}: ${text}`);
      if (node.name === "VectorSelector")
        found.push({ metric: at(node).split("{", 1)[0] ?? "", matchers: [] });
      if (node.name === "UnquotedLabelMatcher") {
        const [, label = "", operator = "", value = ""] =
          /^(\w+)\s*(!?=~?|!~)\s*"(.*)"$/.exec(at(node)) ?? [];
        found.at(-1)?.matchers.push({ label, operator, value });
      }
    },
  });
  if (found.length === 0 && !/^vector\(/.test(text)) throw new Error(`reads nothing: ${text}`);
  return found.map(({ metric, matchers }) => ({ metric: metric.trim(), matchers }));
}

/** What Prometheus adds to every sample, and what the rules add to theirs. */
const added = ["job", "namespace", "instance", "slo"];

/** What of these selectors nothing that was scraped could ever answer. */
function unanswered(selectors: Selector[], recorded: Set<string>, scrapes: Scrape[]): string[] {
  return selectors.flatMap(({ metric, matchers }) => {
    const own = matchers.filter(({ label }) => !added.includes(label));
    if (metric === "up") return own.length === 0 ? [] : [`up has none of its own labels`];
    if (recorded.has(metric)) {
      const foreign = own.filter(({ label }) => label !== "http_response_status_code");
      return foreign.map(({ label }) => `${metric} is recorded without ${label}`);
    }
    const family = metric.replace(/_(bucket|sum|count)$/, "");
    const series = scrapes
      .filter(({ types }) => types.has(metric) || types.get(family) === "histogram")
      .flatMap(({ samples }) => [...samples.keys()])
      .filter((one) => one.split("{", 1)[0] === metric);
    if (series.length === 0) return [`${metric} is not exported`];
    return own.flatMap(({ label, operator, value }) => {
      const values = series.flatMap((one) => new RegExp(`[{,]${label}="([^"]*)"`).exec(one)?.[1] ?? []);
      if (values.length === 0) return [`${metric} has no label ${label}`];
      // A test's server answers nothing with 5xx.
      if (operator.startsWith("!") || label === "http_response_status_code") return [];
      const wanted =
        operator === "=~" ? new RegExp(`^(?:${value})$`) : { test: (one: string) => one === value };
      return values.some((one) => wanted.test(one)) ? [] : [`${metric} has no ${label} ${value}`];
    });
  });
}

let folder: string;
let database: TestDatabase;
let server: WatchedServer;
let scrapes: Scrape[];
let rules: { record?: string; alert?: string; expr: string }[];
let recorded: Set<string>;

beforeAll(async () => {
  ({ groups: rules } = parse(await readFile(`${files}rules.yaml`, "utf8")));
  rules = (rules as unknown as { rules: typeof rules }[]).flatMap((group) => group.rules);
  recorded = new Set(rules.flatMap(({ record }) => record ?? []));

  database = await createTestDatabase();
  server = await startWatchedServer(database);
  await server.call("POST", "/projects", { key: "DEMO", name: "Demo" });

  folder = await mkdtemp(join(tmpdir(), "task-master-pro-queries-"));
  // As root the database runs as another user.
  await chmod(folder, 0o711);
  const env = {
    TASKMASTER_DATA_DIRECTORY: join(folder, "data"),
    TASKMASTER_BACKUP_TARGET: join(folder, "backups"),
  };
  for (const command of ["migrate up", "backup create", "backup drill"]) {
    const { code, stderr } = await runCli(command.split(" "), env);
    expect(code, stderr).toBe(0);
  }
  const exporter = startCli(["backup", "exporter"], { ...env, TASKMASTER_METRICS_PORT: "0" });
  try {
    const address = await exporter.until(/"address":"([^"]+\/metrics)"/);
    scrapes = [await server.scrape(), await scrape(address)];
  } finally {
    exporter.child.kill("SIGKILL");
    await exporter.ended;
  }
}, 180_000);
afterAll(async () => {
  await server.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

test("every rule reads what servers and the backups' exporter export, or what another rule records", () => {
  expect(rules.length).toBeGreaterThan(40);
  for (const { record, alert, expr } of rules) {
    expect(unanswered(selectorsOf(expr), recorded, scrapes), `${record ?? alert}: ${expr}`).toEqual([]);
    // Of its own release alone: the chart puts the release's job and namespace where the job is.
    for (const { metric, matchers } of selectorsOf(expr)) {
      const jobs = matchers.filter(({ label }) => label === "job").map(({ value }) => value);
      const backups =
        metric.startsWith("taskmaster_backup_") || matchers.some(({ value }) => value === "backups");
      expect(jobs, expr).toEqual([backups ? "task-master-pro-backup" : "task-master-pro"]);
    }
  }
});

test("every query of the dashboards, too", async () => {
  const dashboards = (await readdir(`${files}dashboards`)).sort();
  expect(dashboards).toEqual(
    ["agents", "backups", "database", "overview", "service-levels"].map((name) => `${name}.json`),
  );
  for (const name of dashboards) {
    const board = JSON.parse(await readFile(`${files}dashboards/${name}`, "utf8"));
    const panels = board.panels.flatMap(({ targets = [] }: { targets?: { expr: string }[] }) => targets);
    const queries = [...panels, ...board.annotations.list].map(({ expr }) => expr);
    const variables = board.templating.list.flatMap(({ definition }: { definition?: string }) =>
      definition === undefined ? [] : [/^label_values\((.+), \w+\)$/.exec(definition)?.[1]],
    );
    for (const query of [...queries, ...variables]) {
      expect(unanswered(selectorsOf(query), recorded, scrapes), `${name}: ${query}`).toEqual([]);
    }
  }
});

test("every route that a service level leaves out is there", async () => {
  const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as { paths: object };
  const routes = [...Object.keys(paths), "/mcp", ""];
  const left = rules.flatMap(({ expr }) =>
    selectorsOf(expr).flatMap(({ matchers }) => matchers.filter(({ label }) => label === "http_route")),
  );
  expect(left.length).toBeGreaterThan(0);
  for (const { operator, value } of left) {
    expect(operator).toBe("!~");
    const [plain = "", endings = ""] = value.split(/\|\.\*\/\(/);
    const patterns = [
      ...plain.split("|"),
      ...endings
        .replace(")", "")
        .split("|")
        .filter(Boolean)
        .map((end) => `.*/${end}`),
    ];
    for (const pattern of patterns) {
      expect(
        routes.filter((route) => new RegExp(`^${pattern}$`).test(route)),
        pattern,
      ).not.toEqual([]);
    }
  }
});

test("a query of what is not there is found", () => {
  const of = (query: string) => unanswered(selectorsOf(query), recorded, scrapes);
  expect(of('sum(rate(taskmaster_claims_given_total{job="a"}[5m]))')).toEqual([
    "taskmaster_claims_given_total is not exported",
  ]);
  expect(of('taskmaster_reading_success{reading="tasks"}')).toEqual([
    "taskmaster_reading_success has no reading tasks",
  ]);
  expect(of('taskmaster_event_delivery_seconds_bucket{le="0.3"}')).toEqual([
    "taskmaster_event_delivery_seconds_bucket has no le 0.3",
  ]);
  expect(of('taskmaster_event_streams{type="events"}')).toEqual([
    "taskmaster_event_streams has no label type",
  ]);
  expect(() => of("sum by (")).toThrow("no query");
});
