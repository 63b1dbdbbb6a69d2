/** How long a message is tried for. */
export interface RetryPolicy {
  /** The mean wait after the first, second, … failed attempt; after the last of them there is one more attempt. */
  meanDelaysSeconds: readonly number[];
  /** The most that a Retry-After is believed. */
  longestRetryAfterSeconds: number;
  /** A webhook whose message is given up, and that has taken none for so long, is disabled. */
  disableAfterHours: number;
}

/** Eight attempts over about a day, as Standard Webhooks advises. */
export const dayOfRetries: RetryPolicy = {
  meanDelaysSeconds: [5, 300, 1800, 7200, 18_000, 28_800, 36_000],
  longestRetryAfterSeconds: 21_600,
  disableAfterHours: 72,
};

/**
 * Seconds until the next attempt; undefined when that was the last. With full jitter, so that receivers that were away
 * together are not met by everything at once when they come back: evenly from nothing to twice the mean.
 */
export function retryDelay(
  policy: RetryPolicy,
  attempts: number,
  retryAfterSeconds: number | null,
  random: number,
): number | undefined {
  const mean = policy.meanDelaysSeconds[attempts - 1];
  if (mean === undefined) return undefined;
  const asked = Math.min(retryAfterSeconds ?? 0, policy.longestRetryAfterSeconds);
  return Math.max(2 * mean * random, asked);
}
