import { type Static, type TSchema, Type } from "typebox";
import { Compile, type Validator } from "typebox/compile";
import { invalidInput } from "../errors.ts";
import { readTarget } from "../links/url.ts";
import type { Trigger } from "./schema.ts";

/** What a delivery says, brought to what matters here. */
export interface Told {
  trigger: Trigger;
  /** The canonical address of the issue or pull request. */
  url: string;
  /** As a sentence goes on: "was closed as completed". */
  what: string;
  /** Who did it at GitHub. */
  by: string;
  /** When, by GitHub's clock; RFC 3339, UTC. */
  at: string;
}

// The members that are read, of https://docs.github.com/en/webhooks/webhook-events-and-payloads; the rest is GitHub's.
const subject = { html_url: Type.String(), updated_at: Type.String() };
const envelope = {
  action: Type.String(),
  sender: Type.Optional(Type.Object({ login: Type.String() })),
};
const issues = Compile(
  Type.Object({
    ...envelope,
    issue: Type.Object({
      ...subject,
      state_reason: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    }),
  }),
);
const pullRequest = Compile(
  Type.Object({
    ...envelope,
    pull_request: Type.Object({
      ...subject,
      merged: Type.Optional(Type.Union([Type.Boolean(), Type.Null()])),
    }),
  }),
);

/** The events that are read at all; all others are ignored unread. */
export const readEvents: readonly string[] = ["issues", "pull_request"];

/** A sentence for what is of no interest. Throws invalid_input for what is no such event. */
export function readDelivery(event: string, text: string): Told | string {
  return event === "issues" ? readIssues(text) : readPullRequest(text);
}

function readIssues(text: string): Told | string {
  const { action, issue, sender } = read(issues, text);
  const reason = issue.state_reason ?? "completed";
  if (action === "reopened") {
    return told("issueReopened", "was opened again", issue, sender);
  }
  if (action !== "closed") return `Nothing follows from issues that are ${shown(action)}.`;
  const planned = reason !== "not_planned" && reason !== "duplicate";
  const how = planned ? "completed" : reason === "duplicate" ? "a duplicate" : "not planned";
  return told(planned ? "issueClosed" : "issueNotPlanned", `was closed as ${how}`, issue, sender);
}

function readPullRequest(text: string): Told | string {
  const { action, pull_request: pull, sender } = read(pullRequest, text);
  if (action !== "closed") return `Nothing follows from pull requests that are ${shown(action)}.`;
  if (pull.merged !== true) return "The pull request was closed without being merged.";
  return told("pullRequestMerged", "was merged", pull, sender);
}

function told(
  trigger: Trigger,
  what: string,
  { html_url, updated_at }: { html_url: string; updated_at: string },
  sender: { login: string } | undefined,
): Told | string {
  const target = readTarget(html_url);
  if (target === undefined) return "Its address is none that a task can link to.";
  const at = Date.parse(updated_at);
  if (Number.isNaN(at)) throw invalidInput("", "updated_at is no instant.");
  return { trigger, url: target.url, what, by: shown(sender?.login ?? ""), at: new Date(at).toISOString() };
}

/** What others have written, fit for a sentence. */
function shown(word: string): string {
  return /^[A-Za-z0-9_[\]-]{1,100}$/.test(word) ? word : "unknown";
}

function read<T extends TSchema>(validator: Validator<Type.TProperties, T>, text: string): Static<T> {
  let payload: unknown;
  try {
    payload = JSON.parse(text);
  } catch {
    throw invalidInput("", "The body is not JSON; choose application/json as the webhook's content type.");
  }
  if (validator.Check(payload)) return payload;
  const [fault] = validator.Errors(payload);
  throw invalidInput(
    fault?.instancePath ?? "",
    `It is not such an event: ${fault?.message ?? "it differs"}.`,
  );
}
