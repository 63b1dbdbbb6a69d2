import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { stringify } from "yaml";
import { external, find, render } from "../chart/render.ts";

export interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}
export interface Rules {
  groups: { name: string; interval?: string; rules: Rule[] }[];
}

/** The rules of a release `tm` in the namespace `prod`, which has backups and drills. */
export function renderRules(values: Record<string, unknown> = {}): Rules {
  const manifests = render(
    {
      ...external,
      backup: { enabled: true, s3: { bucket: "b" } },
      metrics: { serviceMonitor: { enabled: true }, prometheusRule: { enabled: true, ...values } },
      networkPolicy: { metricsFrom: [{ podSelector: {} }] },
    },
    "--namespace=prod",
  );
  return find(manifests, "PrometheusRule", "tm-task-master-pro").spec;
}

/** A test of promtool's; its alerts and expressions are asked at so many minutes. */
export interface RuleTest {
  series: Record<string, string>;
  minutes: number;
  /** Leaves out what other levels record. */
  slo?: string | undefined;
  alerts?: { alertname: string; exp_alerts: object[] }[];
  expressions?: { expr: string; exp_samples: { labels: string; value: number }[] }[];
}

/** What promtool says against it; empty when all is as expected. */
export function promtool(command: "check" | "test", rules: Rules, test?: RuleTest): string {
  const folder = mkdtempSync(path.join(tmpdir(), "alerts-"));
  try {
    const ruleFile = path.join(folder, "rules.yaml");
    // At the test's own pace, which is slower over days, and only what it asks for: days are long otherwise.
    const asked = test?.alerts?.map(({ alertname }) => alertname) ?? [];
    const groups = rules.groups.map(({ name, rules: all }) => {
      const kept = all.filter(({ alert }) => alert === undefined || asked.includes(alert));
      return {
        name,
        rules: kept.filter(
          ({ labels }) => test?.slo === undefined || [undefined, test.slo].includes(labels?.slo),
        ),
      };
    });
    writeFileSync(ruleFile, stringify(test === undefined ? rules : { groups }));
    const testFile = path.join(folder, "test.yaml");
    if (test !== undefined) writeFileSync(testFile, stringify(toFile(test, rules)));
    const file = command === "check" ? ruleFile : testFile;
    const { status, stdout, stderr, error } = spawnSync("promtool", [command, "rules", file], {
      encoding: "utf8",
    });
    if (error !== undefined) throw error;
    return status === 0 ? "" : `${stdout}${stderr}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function toFile({ series, minutes, alerts = [], expressions = [] }: RuleTest, { groups }: Rules) {
  const at = { eval_time: `${minutes}m` };
  return {
    rule_files: ["rules.yaml"],
    // By chance otherwise, so that an alert might be asked before what it reads is recorded.
    group_eval_order: groups.map(({ name }) => name),
    evaluation_interval: minutes > 300 ? "5m" : "1m",
    tests: [
      {
        interval: "1m",
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        alert_rule_test: alerts.map((one) => ({ ...at, ...one })),
        promql_expr_test: expressions.map((one) => ({ ...at, ...one })),
      },
    ],
  };
}
