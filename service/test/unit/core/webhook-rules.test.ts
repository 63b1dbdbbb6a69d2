import { Webhook } from "standardwebhooks";
import { expect, it } from "vitest";
import { eventPatterns, eventTypes } from "../../../src/core/index.ts";
import { dayOfRetries, retryDelay } from "../../../src/core/webhooks/retries.ts";
import { newWebhookSecret, signedHeaders } from "../../../src/core/webhooks/signature.ts";

it("tries eight times over about a day, each wait evenly from nothing to twice its mean", () => {
  const waits = (random: number) => {
    const all: number[] = [];
    for (let attempts = 1; ; attempts++) {
      const wait = retryDelay(dayOfRetries, attempts, null, random);
      if (wait === undefined) return all;
      all.push(wait);
    }
  };
  expect(waits(0)).toEqual([0, 0, 0, 0, 0, 0, 0]);
  const sum = (all: number[]) => all.reduce((total, wait) => total + wait, 0) / 3600;
  expect(sum(waits(0.5))).toBeGreaterThan(24);
  expect(sum(waits(0.5))).toBeLessThan(28);
  expect(waits(1)).toEqual(waits(0.5).map((wait) => wait * 2));
});

it("takes Retry-After for the least wait, up to a bound, and never for another attempt", () => {
  expect(retryDelay(dayOfRetries, 1, 60, 0.5)).toBe(60);
  expect(retryDelay(dayOfRetries, 3, 60, 0.5)).toBe(1800);
  expect(retryDelay(dayOfRetries, 1, 1e9, 0.5)).toBe(6 * 3600);
  expect(retryDelay(dayOfRetries, 8, 60, 0.5)).toBeUndefined();
});

it("signs as the example of Standard Webhooks, and as its library, also what is no ASCII", async () => {
  const example = await signedHeaders("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, '{"test": 2432232314}', [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  ]);
  expect(example["webhook-signature"]).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  const body = JSON.stringify({ title: "Prüfung 🔒 \u2028" });
  const secret = newWebhookSecret();
  const headers = await signedHeaders("x", Math.floor(Date.now() / 1000), body, [secret]);
  expect(headers["webhook-signature"]).toBe(
    new Webhook(secret).sign("x", new Date(Number(headers["webhook-timestamp"]) * 1000), body),
  );
});

it("knows a pattern for each noun that there are events of", () => {
  expect(eventPatterns.slice(0, 2)).toEqual(["*", "organization.*"]);
  for (const type of eventTypes) expect(eventPatterns).toContain(`${type.split(".")[0]}.*`);
  expect(new Set(eventPatterns).size).toBe(eventPatterns.length);
});
