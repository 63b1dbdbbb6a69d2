import { problem, refusal } from "./problem.ts";

export interface Sample {
  labels: Record<string, string>;
  /** NaN where Prometheus divided by nothing. */
  value: number;
}

export interface Series {
  labels: Record<string, string>;
  /** When there is a value, in seconds since 1970. */
  times: number[];
}

export interface Prometheus {
  /** The address, without a slash at the end. */
  url: string;
  /** The value of each series at that time (seconds since 1970). */
  query(expression: string, time: number): Promise<Sample[]>;
  /** Where between those times each series is, looked at each `step` seconds. */
  range(expression: string, from: number, to: number, step: number): Promise<Series[]>;
}

interface Result {
  metric: Record<string, string>;
  value?: [number, string];
  values?: [number, string][];
}

const timeoutMs = 60_000;

/** The HTTP API of a Prometheus, or of what has the same, such as Thanos or Mimir. Throws problems. */
export function createPrometheus(given: string, token: string | null, signal: AbortSignal): Prometheus {
  const url = readAddress(given);

  async function ask(path: string, parameters: Record<string, string>): Promise<Result[]> {
    const response = await fetch(`${url}/api/v1/${path}`, {
      method: "POST",
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      body: new URLSearchParams(parameters),
      // A page to sign in on would follow.
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    }).catch((error: unknown) => {
      if (signal.aborted) throw problem("interrupted", "Stopped.", error);
      throw problem("unreachable", `Prometheus at ${url} does not answer: ${reasonOf(error)}.`, error);
    });
    const text = await response.text();
    if (response.status === 401 || response.status === 403) {
      const way = token === null ? "set" : "it does not take that of";
      throw problem(
        "unauthenticated",
        `Prometheus at ${url} wants a token: ${way} TASKMASTER_PROMETHEUS_TOKEN.`,
      );
    }
    const answer = parse(text);
    if (answer?.status === "success" && Array.isArray(answer.data?.result)) return answer.data.result;
    if (answer?.status === "error") {
      const busy = answer.errorType !== "bad_data";
      throw refusal(
        busy ? "unavailable" : "internal_error",
        busy ? "Prometheus could not answer" : "Prometheus does not understand the question",
        `Prometheus at ${url} says ${JSON.stringify(String(answer.error).slice(0, 300))}.`,
      );
    }
    throw refusal(
      "not_an_api",
      "This is no Prometheus",
      `${url}/api/v1/${path} answered ${response.status} and no answer of Prometheus; give the address that its own page is at.`,
    );
  }

  return {
    url,
    async query(expression, time) {
      const found = await ask("query", { query: expression, time: String(time) });
      return found.map(({ metric, value }) => ({ labels: metric, value: Number(value?.[1]) }));
    },
    async range(expression, from, to, step) {
      const found = await ask("query_range", {
        ...{ query: expression, start: String(from), end: String(to), step: String(step) },
      });
      return found.map(({ metric, values = [] }) => ({
        labels: metric,
        times: values.map(([time]) => time),
      }));
    },
  };
}

function readAddress(given: string): string {
  const url = URL.parse(given);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw problem(
      "usage",
      `${JSON.stringify(given)} is no address of a Prometheus; it is a URL such as http://127.0.0.1:9090.`,
    );
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "")
    throw problem(
      "usage",
      "The address has no user, password, query or fragment; a token comes by TASKMASTER_PROMETHEUS_TOKEN.",
    );
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function parse(text: string): {
  status?: string;
  data?: { result?: Result[] };
  error?: unknown;
  errorType?: string;
} | null {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** `fetch` says only that it failed; the reason is its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}
