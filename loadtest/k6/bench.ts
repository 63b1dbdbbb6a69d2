import { check } from "k6";
import exec from "k6/execution";
import http, { type RefinedResponse, type ResponseType } from "k6/http";
import type { Options } from "k6/options";

/** What all scenarios share. Started by loadtest/scenarios.ts, which says where the server is and what it holds. */

const required = (name: string): string => {
  const value = __ENV[name];
  if (value === undefined) throw new Error(`${name} is missing: run loadtest/scenarios.ts`);
  return value;
};
export const rate = Number(required("RATE"));
export const seconds = Number(required("SECONDS"));
const tasks = Number(required("TASKS"));
const base = required("URL");
const headers = { Authorization: `Bearer ${required("TOKEN")}`, "Content-Type": "application/json" };
/** Of this run, so that no key of an earlier one comes again. */
const run = required("RUN");
const tag = `${base}/api/v1/projects/BENCH/tags/master`;

/** What is promised: 99 of 100 requests within so many milliseconds. */
const promisedMs = 300;
export const maxClients = 200;

/** The whole distribution, so that it can be drawn. */
export const trendStats = ["min", ...Array.from({ length: 99 }, (_, i) => `p(${i + 1})`), "max", "med"];

/** An open model: each iteration is due at its own instant, whether or not the last is done. */
export function constantRate(): Options {
  return {
    scenarios: {
      constant: {
        executor: "constant-arrival-rate",
        rate,
        timeUnit: "1s",
        duration: `${seconds}s`,
        preAllocatedVUs: 20,
        maxVUs: maxClients,
      },
    },
    thresholds: {
      checks: ["rate==1"],
      http_req_failed: ["rate==0"],
      dropped_iterations: ["count==0"],
      http_req_duration: [`p(99)<${promisedMs}`],
    },
    summaryTrendStats: trendStats,
  };
}

export function handleSummary(data: object) {
  return { [required("OUT")]: JSON.stringify(data) };
}

type Answer = RefinedResponse<ResponseType | undefined>;

function expectStatus(answer: Answer, ...statuses: number[]): Answer {
  if (!check(answer, { "the status is right": ({ status }) => statuses.includes(status) })) {
    console.error(`${answer.request.method} ${answer.url}: ${answer.status} ${answer.error} ${answer.body}`);
  }
  return answer;
}

/** The number of this iteration in the whole test. */
const number = () => exec.scenario.iterationInTest;
/** The id that loadtest/seed.ts gave the n-th task. */
const taskId = (n: number) => `01980d7e-8f00-7000-8000-${n.toString(16).padStart(12, "0")}`;
const taskUrl = (n: number) => `${base}/api/v1/tasks/${taskId(n)}`;
const key = () => ({ "Idempotency-Key": `${run}-${number()}` });

export function getTask(): void {
  expectStatus(http.get(taskUrl((number() * 7919) % tasks), { headers, tags: { name: "get" } }), 200);
}

export function listTasks(): void {
  expectStatus(http.get(`${tag}/tasks?limit=50`, { headers, tags: { name: "list" } }), 200);
}

export function createTask(): void {
  const body = JSON.stringify({
    title: `Made by the bench as number ${number()}`,
    description: "To be written and read",
    priority: "high",
  });
  expectStatus(
    http.post(`${tag}/tasks`, body, { headers: { ...headers, ...key() }, tags: { name: "create" } }),
    201,
  );
}

const etags = new Map<number, string>();
let turns = 0;

/** Each client has tasks of its own to change, whose versions nobody else raises. */
export function updateTask(): void {
  const own = (turns * maxClients + exec.vu.idInTest - 1) % tasks;
  turns = (turns + 1) % 40;
  let etag = etags.get(own);
  if (etag === undefined) {
    etag = http.get(taskUrl(own), { headers, tags: { name: "get" } }).headers.Etag ?? "";
  }
  const answer = http.patch(
    taskUrl(own),
    JSON.stringify({ title: `Changed by the bench as number ${number()}` }),
    { headers: { ...headers, ...key(), "If-Match": etag }, tags: { name: "update" } },
  );
  expectStatus(answer, 200);
  etags.set(own, answer.headers.Etag ?? "");
}

export function claimAndComplete(): void {
  const claimed = expectStatus(
    http.post(`${tag}/claims`, JSON.stringify({ ttlSeconds: 60 }), {
      headers: { ...headers, ...key() },
      tags: { name: "claim" },
    }),
    201,
  );
  if (claimed.status !== 201) return;
  const { id, fence } = claimed.json() as unknown as { id: string; fence: number };
  expectStatus(
    http.post(`${base}/api/v1/claims/${id}/complete`, JSON.stringify({ fence }), {
      headers,
      tags: { name: "complete" },
    }),
    200,
  );
}

/** A call without a session, as an agent of one call makes it; each other one sets a status. */
export function callTool(): void {
  const n = number();
  const id = taskId((n * 7919) % tasks);
  const params =
    n % 2 === 0
      ? { name: "get_task", arguments: { id } }
      : { name: "set_task_status", arguments: { id, status: n % 4 === 1 ? "in-progress" : "pending" } };
  const answer = http.post(
    `${base}/mcp`,
    JSON.stringify({ jsonrpc: "2.0", id: n, method: "tools/call", params }),
    {
      headers: { ...headers, Accept: "application/json, text/event-stream" },
      tags: { name: params.name },
    },
  );
  expectStatus(answer, 200);
  const { result } = answer.json() as unknown as { result?: { isError?: boolean } };
  if (!check(result, { "the tool did it": (found) => found !== undefined && found.isError !== true })) {
    console.error(`${params.name}: ${answer.body}`);
  }
}

/** Four of five read, one writes. */
export function mixed(): void {
  const which = number() % 10;
  if (which === 3) updateTask();
  else if (which === 7) createTask();
  else if ([1, 4, 9].includes(which)) listTasks();
  else getTask();
}

/** As it is asked far beyond what it can do: a refusal that says when to come again is a good answer. */
export function beyond(): void {
  const answer = http.get(taskUrl((number() * 7919) % tasks), { headers, tags: { name: "get" } });
  const refused = answer.status === 429 || answer.status === 503;
  expectStatus(answer, 200, 429, 503);
  if (refused)
    check(answer, { "a refusal says when to come again": ({ headers: of }) => "Retry-After" in of });
}
