import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { chart } from "../chart/render.ts";
import { cases, type Firing } from "./cases.ts";
import { promtool, type Rule, type Rules, renderRules } from "./promtool.ts";

const runbooks = fileURLToPath(new URL("../../../docs/runbooks/", import.meta.url));
const own = { job: "tm-task-master-pro-metrics", namespace: "prod" };
const plain = parse(readFileSync(`${chart}/files/rules.yaml`, "utf8")) as Rules;
const alertsOf = ({ groups }: Rules) =>
  groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
const named = [...new Set(alertsOf(plain).map(({ alert }) => alert ?? ""))];
const windowed = (labels: Record<string, string> = {}) =>
  [labels.severity, labels.window, labels.what].filter((one) => one !== undefined).join(" ");

let rules: Rules;
beforeAll(() => {
  rules = renderRules();
});

test("the rules are rules, those of the chart and those that are loaded as they are", () => {
  expect(promtool("check", rules)).toBe("");
  expect(promtool("check", plain)).toBe("");
});

/** The alert as it is sent: with its rule's annotations, and in them the labels and the value. */
function sent(alert: string, { labels, value }: Firing) {
  const rule = alertsOf(rules).find(
    (one) => one.alert === alert && windowed(one.labels) === windowed(labels),
  ) as Rule;
  const fill = (text: string) =>
    text
      .replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? "")
      .replace(/\{\{ \$value[^}]*\}\}/g, value ?? "a value is missing in the case");
  const annotations = Object.entries(rule.annotations ?? {}).map(([name, text]) => [name, fill(text)]);
  return { exp_labels: { ...own, ...labels }, exp_annotations: Object.fromEntries(annotations) };
}

test.each(
  cases.map((one) => [one.alert, one.fires.length > 0 ? "fires" : "does not fire", one.what, one] as const),
)("%s %s: %s", (alert, _fires, _what, { series, minutes, slo, fires }) => {
  const alerts = [{ alertname: alert, exp_alerts: fires.map((firing) => sent(alert, firing)) }];
  expect(promtool("test", rules, { series, minutes, slo, alerts })).toBe("");
});

test("every rule that alerts has a case in which it fires, and every alert one in which it does not", () => {
  const fired = cases.flatMap(({ alert, fires }) =>
    fires.map(({ labels }) => `${alert} ${windowed(labels)}`),
  );
  expect([...new Set(fired)].sort()).toEqual(
    alertsOf(rules)
      .map(({ alert, labels }) => `${alert} ${windowed(labels)}`)
      .sort(),
  );
  const still = new Set(cases.filter(({ fires }) => fires.length === 0).map(({ alert }) => alert));
  expect(named.filter((alert) => !still.has(alert))).toEqual([]);
});

test.each(named)("%s says what it is and whom it calls, and has a runbook that says what to do", (name) => {
  for (const { labels, annotations } of alertsOf(rules).filter(({ alert }) => alert === name)) {
    expect(labels?.severity).toMatch(/^(page|ticket)$/);
    expect(annotations?.summary).toMatch(/\w/);
    expect(annotations?.description).toMatch(/\w/);
    expect(annotations?.runbook_url).toBe(
      `https://github.com/task-master-pro/task-master-pro/blob/main/docs/runbooks/${name}.md`,
    );
  }
  expect(existsSync(`${runbooks}${name}.md`)).toBe(true);
  const text = readFileSync(`${runbooks}${name}.md`, "utf8");
  expect(text.startsWith(`# ${name}\n`)).toBe(true);
  expect([...text.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual([
    "What it means",
    "Is it so?",
    "Likely causes",
    "What to do",
    "When to call for help",
    "When it is over",
  ]);
});

test("every runbook is an alert's", () => {
  const files = readdirSync(runbooks).filter((file) => file !== "README.md");
  expect(files.sort()).toEqual(named.map((name) => `${name}.md`).sort());
});

const server = 'namespace="prod",job="tm-task-master-pro-metrics",instance="a:9464"';
const requests = (status: string) =>
  `http_server_request_duration_seconds_count{${server},http_route="/api/v1/me",http_response_status_code="${status}"}`;

test("the first error of a route counts, though its series begins with it; those of a server that is new to Prometheus do not", () => {
  const expressions = [
    {
      expr: 'round(job:taskmaster_slo_errors:increase5m{slo="availability"})',
      exp_samples: [{ labels: `{slo="availability",job="${own.job}",namespace="prod"}`, value: 7 }],
    },
  ];
  const series = {
    [`up{${server}}`]: "1x20",
    [requests("200")]: "0+10x20",
    [requests("503")]: "_x9 7x10",
    // Its counters are as old as it is, and not as its first scrape.
    [`up{${server.replace("a:", "b:")}}`]: "_x9 1x10",
    [requests("500").replace("a:", "b:")]: "_x9 1000x10",
  };
  expect(promtool("test", rules, { series, minutes: 12, expressions })).toBe("");
});

test("what is left of a budget is that of the promise: with half of it missed, a half", () => {
  const series = { [requests("200")]: "0+9995x100", [requests("503")]: "0+5x100" };
  const left = (value: number) => [
    {
      expr: 'round(job:taskmaster_slo_budget_remaining:ratio{slo="availability"} * 1000) / 1000',
      exp_samples: [{ labels: `{slo="availability",job="${own.job}",namespace="prod"}`, value }],
    },
  ];
  expect(promtool("test", rules, { series, minutes: 90, expressions: left(0.5) })).toBe("");
  const stricter = renderRules({ objectives: { availability: 0.9995 } });
  expect(promtool("test", stricter, { series, minutes: 90, expressions: left(0) })).toBe("");
});

test("backups are fresh for the share of the time that the newest is young enough", () => {
  const backup =
    'taskmaster_backup_last_success_timestamp_seconds{namespace="prod",job="tm-task-master-pro-backup-metrics"}';
  // Its limit is passed after 130 minutes, and so it is too old for the last 30 of the last 60.
  const expressions = [
    {
      expr: 'round(job:taskmaster_slo_errors:ratio_rate1h{slo="backup_freshness"} * 100)',
      exp_samples: [{ labels: `{slo="backup_freshness",job="${own.job}",namespace="prod"}`, value: 49 }],
    },
  ];
  expect(promtool("test", rules, { series: { [backup]: "0x200" }, minutes: 160, expressions })).toBe("");
});
