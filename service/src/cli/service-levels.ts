import { problem } from "./problem.ts";
import type { Prometheus, Sample } from "./prometheus.ts";

export interface Scope {
  job?: string | undefined;
  namespace?: string | undefined;
}

export interface ServiceLevel {
  slo: string;
  /** The share that is promised, such as 0.999. */
  objective: number;
  /** The share that was kept; null where nothing was counted. */
  attained: number | null;
  /** Of the window's own budget: 1 is all, 0 none, below it is overdrawn. */
  budgetRemaining: number | null;
  /** How long there is data of the window, in seconds. */
  dataSeconds: number;
}

export interface RouteLevel {
  method: string;
  route: string;
  requests: number;
  /** Answered with a 5xx. */
  failed: number;
  /** Answered later than the latency objective's 300 ms; null for routes that it does not count. */
  slow: number | null;
  /** In seconds; null where a request took longer than all buckets. */
  p99: number | null;
}

export interface LevelReport {
  job: string;
  namespace: string | null;
  /** ISO 8601. */
  from: string;
  to: string;
  windowSeconds: number;
  levels: ServiceLevel[];
  /** Those that took the most of the budgets of availability and latency, first the worst. */
  worstRoutes: RouteLevel[];
}

const order = ["availability", "latency", "event_freshness", "backup_freshness"];
const mostRoutes = 10;
const latencySeconds = 0.3;
/** As the rules count: no route and health checks not at all, and for latency no routes that wait for something else. */
export const noRoute = "|/livez|/readyz|/startupz";
export const waiting =
  "/mcp|.*/(events/stream|import|imports|export|parse-prd|expand|revise|draft-task|analyze-complexity)";

/**
 * What was kept of the service levels in the window that ends at `now` (seconds since 1970). Attained and budget are of the
 * series that the rules record, so that there is one definition of what counts; the routes are of the servers' own metrics.
 */
export async function readLevels(
  prometheus: Prometheus,
  scope: Scope,
  windowSeconds: number,
  now: number,
): Promise<LevelReport> {
  const window = `${windowSeconds}s`;
  const objectives = await prometheus.query(
    `max by (job, namespace, slo) (last_over_time(job:taskmaster_slo_objective:ratio${matching(scope)}[${window}]))`,
    now,
  );
  const release = await theOne(prometheus, scope, objectives, windowSeconds, now);
  const at = matching(release);
  const [ratios, present, worstRoutes] = await Promise.all([
    prometheus.query(
      `sum by (slo) (sum_over_time(job:taskmaster_slo_errors:increase5m${at}[${window}])) / ` +
        `sum by (slo) (sum_over_time(job:taskmaster_slo_total:increase5m${at}[${window}]))`,
      now,
    ),
    presence(prometheus, at, windowSeconds, now),
    readRoutes(prometheus, release, objectives, window, now),
  ]);
  const levels = objectives.map(({ labels, value: objective }): ServiceLevel => {
    const slo = labels.slo ?? "";
    const errors = ratios.find((one) => one.labels.slo === slo)?.value;
    const counted = errors !== undefined && Number.isFinite(errors);
    return {
      slo,
      objective,
      attained: counted ? 1 - errors : null,
      budgetRemaining: counted ? 1 - errors / (1 - objective) : null,
      dataSeconds: present.get(slo) ?? 0,
    };
  });
  levels.sort((a, b) => order.indexOf(a.slo) - order.indexOf(b.slo));
  return {
    job: release.job,
    namespace: release.namespace ?? null,
    from: iso(now - windowSeconds),
    to: iso(now),
    windowSeconds,
    levels,
    worstRoutes,
  };
}

/** A matcher each, in braces; the names and values are quoted as Prometheus wants them. */
function matching({ job, namespace }: Scope, ...more: string[]): string {
  const pairs = Object.entries({ job, namespace }).flatMap(([label, value]) =>
    value === undefined ? [] : [`${label}=${JSON.stringify(value)}`],
  );
  return `{${[...pairs, ...more].join(",")}}`;
}

/** The one release that was found. Throws where there is none, or several. */
async function theOne(
  prometheus: Prometheus,
  scope: Scope,
  objectives: Sample[],
  windowSeconds: number,
  now: number,
): Promise<{ job: string; namespace?: string }> {
  const found = new Map(
    objectives.map(({ labels: { job = "", namespace } }) => [
      `--job ${job}${namespace === undefined ? "" : ` --namespace ${namespace}`}`,
      { job, ...(namespace === undefined ? {} : { namespace }) },
    ]),
  );
  const [first, ...others] = found.values();
  if (first === undefined) throw await nothing(prometheus, scope, windowSeconds, now);
  if (others.length > 0)
    throw problem("usage", `Prometheus watches several; choose one with ${[...found.keys()].join(", or ")}.`);
  return first;
}

const longAgo = 90 * 86_400;

/** Why there is nothing to report. */
async function nothing(prometheus: Prometheus, scope: Scope, windowSeconds: number, now: number) {
  const at = matching(scope);
  const step = 6 * 3600;
  const times = (
    await prometheus.range(
      `max(present_over_time(job:taskmaster_slo_total:increase5m${at}[${step}s]))`,
      now - longAgo,
      now,
      step,
    )
  ).flatMap((series) => series.times);
  if (times.length > 0) {
    const newest = Math.min(Math.max(...times), now);
    return problem(
      "not_found",
      `There is no data of the last ${lengthOf(windowSeconds)}; the newest is from about ${iso(newest)}. Give a longer --window.`,
    );
  }
  const raw = await prometheus.query(
    `count(present_over_time(http_server_request_duration_seconds_count${at}[${windowSeconds}s]))`,
    now,
  );
  return problem(
    "not_found",
    raw.length > 0
      ? `Prometheus at ${prometheus.url} has the servers' metrics, but not the rules that record the service levels; ` +
          'docs/observability.md, "Service levels", says how to load them.'
      : `Prometheus at ${prometheus.url} has no data of a Task Master Pro${at === "{}" ? "" : ` with ${at}`}; see /targets there.`,
  );
}

/** How long each level has data in the window, in seconds, as far as a look each two-hundredth of it tells. */
async function presence(
  prometheus: Prometheus,
  at: string,
  windowSeconds: number,
  now: number,
): Promise<Map<string, number>> {
  const step = Math.max(15, Math.ceil(windowSeconds / 200));
  const found = await prometheus.range(
    `max by (slo) (present_over_time(job:taskmaster_slo_total:increase5m${at}[${step}s]))`,
    now - windowSeconds + step,
    now,
    step,
  );
  return new Map(
    found.map(({ labels, times }) => [labels.slo ?? "", Math.min(times.length * step, windowSeconds)]),
  );
}

async function readRoutes(
  prometheus: Prometheus,
  release: Scope,
  objectives: Sample[],
  window: string,
  now: number,
): Promise<RouteLevel[]> {
  const routed = `http_route!~${JSON.stringify(noRoute)}`;
  const prompt = `http_route!~${JSON.stringify(`${noRoute}|${waiting}`)}`;
  const well = 'http_response_status_code!~"5.."';
  const metric = "http_server_request_duration_seconds";
  const by = async (expression: string) => {
    const found = await prometheus.query(expression, now);
    return new Map(
      found.map(({ labels, value }) => [`${labels.http_request_method} ${labels.http_route}`, value]),
    );
  };
  const sum = (name: string, ...matchers: string[]) =>
    by(
      `sum by (http_request_method, http_route) (increase(${metric}_${name}${matching(release, ...matchers)}[${window}]))`,
    );
  const [requests, failed, answered, fast, p99] = await Promise.all([
    sum("count", routed),
    sum("count", routed, 'http_response_status_code=~"5.."'),
    sum("count", prompt, well),
    sum("bucket", prompt, well, `le="${latencySeconds}"`),
    by(
      `histogram_quantile(0.99, sum by (le, http_request_method, http_route) (rate(${metric}_bucket${matching(release, routed)}[${window}])))`,
    ),
  ]);
  const allowed = (slo: string) => 1 - (objectives.find(({ labels }) => labels.slo === slo)?.value ?? 0);
  const cost = ({ failed, slow }: RouteLevel) =>
    failed / allowed("availability") + (slow ?? 0) / allowed("latency");
  return [...requests]
    .map(([name, count]): RouteLevel => {
      const [method = "", route = ""] = name.split(" ");
      const total = answered.get(name);
      const slow = total === undefined ? null : Math.max(0, Math.round(total - (fast.get(name) ?? 0)));
      const late = p99.get(name);
      return {
        ...{ method, route, requests: Math.round(count), failed: Math.round(failed.get(name) ?? 0), slow },
        p99: late !== undefined && Number.isFinite(late) ? late : null,
      };
    })
    .filter((one) => cost(one) > 0)
    .sort((a, b) => cost(b) - cost(a))
    .slice(0, mostRoutes);
}

const iso = (seconds: number) => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");

/** In the largest unit that it is whole in, or nearly. */
export function lengthOf(seconds: number): string {
  const [unit, size] = (
    [
      ["d", 86_400],
      ["h", 3600],
      ["min", 60],
    ] as const
  ).find(([, one]) => seconds >= 2 * one || seconds === one) ?? ["s", 1];
  return `${Math.round((seconds / size) * 10) / 10} ${unit}`;
}
