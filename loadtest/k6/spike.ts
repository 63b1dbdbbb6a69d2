import http from "k6/http";
import type { Options } from "k6/options";
import { maxClients, rate, seconds, trendStats } from "./bench.ts";

// A refusal is an answer here, and no failure.
http.setResponseCallback(http.expectedStatuses(200, 429, 503));

const stage = (start: number, duration: number, aSecond: number, clients: number) =>
  ({
    executor: "constant-arrival-rate",
    rate: aSecond,
    timeUnit: "1s",
    startTime: `${start}s`,
    duration: `${duration}s`,
    preAllocatedVUs: clients,
    maxVUs: clients,
    gracefulStop: "5s",
  }) as const;

/** Ten times as much for a while; five seconds behind it everything is as it was. */
export const options: Options = {
  scenarios: {
    before: stage(0, seconds, rate, maxClients),
    spike: stage(seconds, seconds, rate * 10, 1_000),
    after: stage(seconds * 2 + 5, seconds, rate, maxClients),
  },
  thresholds: {
    checks: ["rate==1"],
    http_req_failed: ["rate==0"],
    "dropped_iterations{scenario:before}": ["count==0"],
    "dropped_iterations{scenario:after}": ["count==0"],
    "http_req_duration{scenario:before}": ["p(99)<300"],
    "http_req_duration{scenario:after}": ["p(99)<300"],
  },
  summaryTrendStats: trendStats,
};
export { beyond as default, handleSummary } from "./bench.ts";
