// k6: a constant rate of reads and writes through the ingress, due whether or not the last one is done (an open model).
import { check } from "k6";
import exec from "k6/execution";
import http from "k6/http";

const { RATE, SECONDS, RUN, URL, HOST, TOKEN, PROJECT } = __ENV;

export const options = {
  scenarios: {
    constant: {
      executor: "constant-arrival-rate",
      rate: Number(RATE),
      timeUnit: "1s",
      duration: `${SECONDS}s`,
      preAllocatedVUs: 50,
      maxVUs: 400,
    },
  },
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
};

const headers = { Host: HOST, Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" };
const api = `${URL}/api/v1/projects/${PROJECT}/tags/master`;

export default function () {
  const number = exec.scenario.iterationInTest;
  // One in five writes. The key is what makes a repeat safe; here nothing is repeated, nor what an earlier run wrote.
  const answer =
    number % 5 === 0
      ? http.post(`${api}/tasks`, JSON.stringify({ title: `load ${number}` }), {
          headers: { ...headers, "Idempotency-Key": `${PROJECT}-${RUN}-${number}` },
          tags: { name: "write" },
        })
      : http.get(`${api}/tasks?limit=5`, { headers, tags: { name: "read" } });
  if (!check(answer, { "2xx": ({ status }) => status >= 200 && status < 300 })) {
    console.error(
      `${new Date().toISOString()} ${answer.status} ${answer.error} ${String(answer.body).slice(0, 200)}`,
    );
  }
}

export function handleSummary({ metrics }) {
  return { stdout: `${JSON.stringify(metrics)}\n` };
}
