import { AppError, type Core, type ErrorCode, type Outcome } from "../core/index.ts";

/** Why a claim was not given, or one that was given did not hold any more. */
export const refusals = [
  "claimed",
  "conflict",
  "nothing_ready",
  "unavailable",
  "claim_ended",
  "stale_fence",
] as const;
export type Refusal = (typeof refusals)[number];

export const attemptOutcomes = ["delivered", "refused", "failed"] as const;

export interface CoreObserver {
  claimRefused(reason: Refusal): void;
  webhookAttempted(outcome: (typeof attemptOutcomes)[number], seconds: number): void;
}

/** The same use cases, which tell of what storage cannot know: refusals leave nothing behind. */
export function observeCore(core: Core, observer: CoreObserver): Core {
  const { claims, webhooks } = core;

  async function refusing<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      if (result === null) observer.claimRefused("nothing_ready");
      return result;
    } catch (error) {
      const reason = error instanceof AppError ? refusalOf(error.code) : undefined;
      if (reason !== undefined) observer.claimRefused(reason);
      throw error;
    }
  }

  return {
    ...core,
    claims: {
      ...claims,
      claimNext: (...of) => refusing(claims.claimNext(...of)),
      claim: (...of) => refusing(claims.claim(...of)),
      heartbeat: (...of) => refusing(claims.heartbeat(...of)),
      release: (...of) => refusing(claims.release(...of)),
      complete: (...of) => refusing(claims.complete(...of)),
      fail: (...of) => refusing(claims.fail(...of)),
    },
    webhooks: {
      ...webhooks,
      async settle(message, outcome) {
        await webhooks.settle(message, outcome);
        // One that a stop cut short says nothing of the receiver.
        if (outcome.kind === "interrupted") return;
        observer.webhookAttempted(attemptOutcome(outcome), outcome.durationMs / 1000);
      },
    },
  };
}

/** Undefined for what is no answer of the claims: a caller who may not, a task that is not there, input that is none. */
function refusalOf(code: ErrorCode): Refusal | undefined {
  return refusals.find((reason) => reason === code);
}

function attemptOutcome(
  outcome: Exclude<Outcome, { kind: "interrupted" }>,
): (typeof attemptOutcomes)[number] {
  if (outcome.kind === "failed") return "failed";
  return outcome.status >= 200 && outcome.status < 300 ? "delivered" : "refused";
}
