import { createRequire } from "node:module";
import { sign } from "@octokit/webhooks-methods";

type Json = Record<string, unknown>;

/** JSON, of which the package's types say that it is a module. */
const require = createRequire(import.meta.url);
const examples: { name: string; examples: Json[] }[] = require("@octokit/webhooks-examples");

/** One of GitHub's own example payloads. */
export function example(name: string, action?: string): Json {
  const found = examples
    .find((event) => event.name === name)
    ?.examples.find((payload) => action === undefined || payload.action === action);
  if (found === undefined) throw new Error(`GitHub gives no example of ${name} ${action}`);
  return structuredClone(found);
}

export const issueUrl = (number: number) => `https://github.com/Codertocat/Hello-World/issues/${number}`;
export const pullUrl = (number: number) => `https://github.com/Codertocat/Hello-World/pull/${number}`;

/** An `issues` payload: GitHub's example, of another issue and moment. */
export function issuePayload(
  number: number,
  action: "closed" | "reopened",
  { reason = "completed" as string | null, at = "2026-11-26T10:00:00Z" } = {},
): Json {
  const payload = example("issues", "reopened");
  const closed = action === "closed";
  const issue = {
    ...(payload.issue as Json),
    html_url: issueUrl(number),
    number,
    state: closed ? "closed" : "open",
    state_reason: closed ? reason : "reopened",
    closed_at: closed ? at : null,
    updated_at: at,
  };
  return { ...payload, action, issue };
}

/** A `pull_request` payload for one that was closed. */
export function pullPayload(number: number, merged: boolean, at = "2026-11-26T10:00:00Z"): Json {
  const payload = example("pull_request", "closed");
  const pull = {
    ...(payload.pull_request as Json),
    html_url: pullUrl(number),
    number,
    merged,
    updated_at: at,
  };
  return { ...payload, pull_request: pull };
}

export interface SignedDelivery {
  raw: string;
  headers: Record<string, string>;
}

let count = 0;

/** A delivery as GitHub makes it, signed by Octokit and not by what is tested. */
export async function deliver(
  secret: string,
  event: string,
  payload: Json,
  delivery = `72d3162e-cc78-11e3-81ab-${String(++count).padStart(12, "0")}`,
): Promise<SignedDelivery> {
  const raw = JSON.stringify(payload);
  return {
    raw,
    headers: {
      "user-agent": "GitHub-Hookshot/044aadd",
      "x-github-event": event,
      "x-github-delivery": delivery,
      "x-hub-signature-256": await sign(secret, raw),
    },
  };
}
