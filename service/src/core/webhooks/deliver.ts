import { record, type Services } from "../change.ts";
import { systemActor } from "../context.ts";
import { isOn } from "../flags/service.ts";
import type { ClaimedDelivery, Transaction } from "../storage.ts";
import { type RetryPolicy, retryDelay } from "./retries.ts";
import type { DisabledReason } from "./schema.ts";
import { signedHeaders } from "./signature.ts";

/** A message on its way: what to send where, and how to say what came of it. */
export interface OutgoingMessage {
  id: string;
  organizationId: string;
  webhookId: string;
  fence: number;
  attempts: number;
  url: string;
  headers: Record<string, string>;
  body: string;
  /** The W3C traceparent of what it tells of; null when nobody traced it. */
  trace: string | null;
}

/** What came of one attempt. */
export type Outcome =
  | { kind: "answered"; status: number; retryAfterSeconds: number | null; durationMs: number }
  /** No answer; the error is a sentence for the delivery log. */
  | { kind: "failed"; error: string; durationMs: number }
  /** Not tried to its end, because the server stops. */
  | { kind: "interrupted" };

/** What the sending needs; for no caller, but for the server itself. */
export interface Deliveries {
  /** Takes what is due, signed and ready to be sent; see DeliveryClaim. */
  take(claim: {
    limit: number;
    underWay: { webhook: string; count: number }[];
    leaseSeconds: number;
  }): Promise<OutgoingMessage[]>;
  /** Writes down what came of a message that was taken: delivered, to be tried again, or given up. */
  settle(message: Attempted, outcome: Outcome): Promise<void>;
}

type Attempted = Pick<OutgoingMessage, "id" | "organizationId" | "webhookId" | "fence" | "attempts">;

/** Messages to one webhook at the same time, from one process. */
const perWebhook = 4;
/** How long a message waits, at first and then again, while webhooks are switched off. */
const offSeconds = 60;
export const disabledError = "The webhook was disabled.";

export function createDeliveries(services: Services, policy: RetryPolicy): Deliveries {
  async function prepare(claimed: ClaimedDelivery): Promise<OutgoingMessage | undefined> {
    if (!(await isOn(services, "webhooks", claimed.organizationId))) {
      // It waits for the feature to come back, without counting as an attempt.
      await services.storage.transaction(claimed.organizationId, (tx) =>
        tx.deliveries.release(claimed.id, claimed.fence, offSeconds),
      );
      return undefined;
    }
    const secrets = await openSecrets(services, claimed.secrets);
    if (secrets.length === 0) {
      const error =
        "The webhook's secret cannot be read, since the server's own secret was changed; rotate the webhook's.";
      await settle(claimed, { kind: "failed", error, durationMs: 0 });
      return undefined;
    }
    const { id, organizationId, webhookId, fence, attempts, url, type, createdAt, data, trace } = claimed;
    const body = JSON.stringify({ type, timestamp: createdAt, data });
    const headers = await signedHeaders(id, claimed.now, body, secrets);
    return { id, organizationId, webhookId, fence, attempts, url, headers, body, trace };
  }

  async function settle(message: Attempted, outcome: Outcome): Promise<void> {
    const { id, fence, webhookId } = message;
    await services.storage.transaction(message.organizationId, async (tx) => {
      if (outcome.kind === "interrupted") {
        await tx.deliveries.release(id, fence, 0);
        return;
      }
      const { durationMs } = outcome;
      const responseStatus = outcome.kind === "answered" ? outcome.status : null;
      if (responseStatus !== null && responseStatus >= 200 && responseStatus < 300) {
        const result = { id, fence, responseStatus, durationMs, error: null, retryInSeconds: null };
        if (await tx.deliveries.settle(result)) await tx.webhooks.succeeded(webhookId);
        return;
      }
      const error = outcome.kind === "failed" ? outcome.error : refusalOf(outcome.status);
      const asked = outcome.kind === "answered" ? outcome.retryAfterSeconds : null;
      const gone = responseStatus === 410;
      const retryInSeconds = gone
        ? null
        : (retryDelay(policy, message.attempts, asked, Math.random()) ?? null);
      const written = await tx.deliveries.settle({
        id,
        fence,
        responseStatus,
        durationMs,
        error,
        retryInSeconds,
      });
      if (!written) return;
      const failingHours = await tx.webhooks.failed(webhookId);
      if (gone) await disable(tx, webhookId, "gone");
      else if (retryInSeconds === null && (failingHours ?? 0) >= policy.disableAfterHours) {
        await disable(tx, webhookId, "failing");
      }
    });
  }

  return {
    async take(claim) {
      const claimed = await services.storage.upkeep.claimDeliveries({ ...claim, perWebhook });
      const prepared = await Promise.all(claimed.map(prepare));
      return prepared.filter((message) => message !== undefined);
    },
    settle,
  };
}

function refusalOf(status: number): string {
  const redirect =
    status >= 300 && status < 400 ? " Redirects are not followed; name the address itself." : "";
  return `The receiver answered ${status}.${redirect}`;
}

/** Those that this server can read. */
async function openSecrets(services: Services, sealed: readonly string[]): Promise<string[]> {
  const opened = await Promise.allSettled(sealed.map((one) => services.sealer.open(one)));
  return opened.filter((result) => result.status === "fulfilled").map(({ value }) => value);
}

async function disable(tx: Transaction, webhookId: string, reason: DisabledReason): Promise<void> {
  if (!(await tx.webhooks.disable(webhookId, reason))) return;
  await tx.deliveries.giveUp(webhookId, disabledError);
  const ctx = { actor: systemActor, requestId: "webhook" };
  await record(tx, ctx, "webhook.disabled", {}, { webhook: webhookId, reason });
}
