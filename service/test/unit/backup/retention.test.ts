import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planRetention, type RetentionBackup, type RetentionRule } from "../../../src/backup/retention.ts";

const backup = (createdAt: string, marks: Partial<RetentionBackup> = {}): RetentionBackup => ({
  id: createdAt,
  createdAt: new Date(createdAt),
  checkedAt: null,
  restoredAt: null,
  ...marks,
});
const none: RetentionRule = { daily: 0, weekly: 0, monthly: 0 };
const now = new Date("2026-11-25T12:00:00Z");

const instants = fc.date({
  min: new Date("2024-12-20T00:00:00Z"),
  max: new Date("2026-01-10T00:00:00Z"),
  noInvalidDate: true,
});
const marked = fc.option(fc.constant(now), { nil: null });
const backups = fc.uniqueArray(
  fc.record({ id: fc.uuid(), createdAt: instants, checkedAt: marked, restoredAt: marked }),
  { selector: (each) => each.id, maxLength: 60 },
);
const rules = fc.record({ daily: fc.nat(9), weekly: fc.nat(6), monthly: fc.nat(6) });
const byAge = (list: RetentionBackup[]) =>
  [...list].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1));
const keptOf = (list: RetentionBackup[], rule: RetentionRule) =>
  new Set(planRetention(list, rule).keep.map((each) => each.id));

describe("retention", () => {
  test("the newest of each day, week and month, with its reasons", () => {
    const plan = planRetention(
      [
        backup("2026-09-30T23:59:59.000Z"),
        backup("2026-10-31T03:00:00.000Z"),
        backup("2026-11-22T03:00:00.000Z"),
        backup("2026-11-23T03:00:00.000Z", { restoredAt: now }),
        backup("2026-11-24T03:00:00.000Z", { checkedAt: now }),
        backup("2026-11-25T03:00:00.000Z"),
        backup("2026-11-25T04:00:00.000Z"),
      ],
      { daily: 2, weekly: 2, monthly: 2 },
    );
    expect(plan.keep).toEqual([
      {
        id: "2026-11-25T04:00:00.000Z",
        reasons: ["newest", "daily 2026-11-25", "weekly 2026-W48", "monthly 2026-11"],
      },
      { id: "2026-11-24T03:00:00.000Z", reasons: ["newest checked", "daily 2026-11-24"] },
      { id: "2026-11-23T03:00:00.000Z", reasons: ["newest proven by a restore"] },
      { id: "2026-11-22T03:00:00.000Z", reasons: ["weekly 2026-W47"] },
      { id: "2026-10-31T03:00:00.000Z", reasons: ["monthly 2026-10"] },
    ]);
    expect(plan.remove).toEqual(["2026-09-30T23:59:59.000Z", "2026-11-25T03:00:00.000Z"]);
  });

  test("weeks are those of ISO 8601, in UTC, across the turn of a year", () => {
    const weeks: [string, string][] = [
      ["2024-12-29T23:59:59Z", "2024-W52"],
      ["2024-12-30T00:00:00Z", "2025-W01"],
      ["2026-12-31T00:00:00Z", "2026-W53"],
      ["2027-01-03T23:59:59Z", "2026-W53"],
      ["2027-01-04T00:00:00Z", "2027-W01"],
      ["2021-01-01T00:00:00Z", "2020-W53"],
    ];
    for (const [at, week] of weeks) {
      const [kept] = planRetention([backup(at)], { ...none, weekly: 1 }).keep;
      expect(kept?.reasons, at).toContain(`weekly ${week}`);
    }
  });

  test("days without a backup do not count", () => {
    const old = ["2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-08-01T00:00:00Z"].map((at) =>
      backup(at),
    );
    expect(planRetention(old, { ...none, daily: 3 }).remove).toEqual([]);
  });

  test("of none, nothing; with a rule of nothing, only what is never removed", () => {
    expect(planRetention([], { daily: 7, weekly: 4, monthly: 12 })).toEqual({ keep: [], remove: [] });
    const list = [backup("2026-11-24T00:00:00Z"), backup("2026-11-25T00:00:00Z")];
    expect(planRetention(list, none)).toEqual({
      keep: [{ id: "2026-11-25T00:00:00Z", reasons: ["newest"] }],
      remove: ["2026-11-24T00:00:00Z"],
    });
  });

  test("every backup is either kept, with a reason, or removed", () => {
    fc.assert(
      fc.property(backups, rules, (list, rule) => {
        const plan = planRetention(list, rule);
        expect([...plan.keep.map((each) => each.id), ...plan.remove].sort()).toEqual(
          list.map((each) => each.id).sort(),
        );
        for (const each of plan.keep) expect(each.reasons.length).toBeGreaterThan(0);
        expect(plan.keep.length).toBeLessThanOrEqual(rule.daily + rule.weekly + rule.monthly + 3);
      }),
    );
  });

  test("the newest, the newest checked and the newest restored are never removed", () => {
    fc.assert(
      fc.property(backups, rules, (list, rule) => {
        const { remove } = planRetention(list, rule);
        const sorted = byAge(list);
        for (const kept of [
          sorted[0],
          sorted.find((each) => each.checkedAt !== null),
          sorted.find((each) => each.restoredAt !== null),
        ])
          if (kept !== undefined) expect(remove).not.toContain(kept.id);
      }),
    );
  });

  test("what was kept is kept again", () => {
    fc.assert(
      fc.property(backups, rules, (list, rule) => {
        const kept = keptOf(list, rule);
        const again = planRetention(
          list.filter((each) => kept.has(each.id)),
          rule,
        );
        expect(again.remove).toEqual([]);
      }),
    );
  });

  test("a larger rule keeps no less", () => {
    fc.assert(
      fc.property(backups, rules, rules, (list, rule, more) => {
        const larger = {
          daily: rule.daily + more.daily,
          weekly: rule.weekly + more.weekly,
          monthly: rule.monthly + more.monthly,
        };
        const kept = keptOf(list, larger);
        for (const id of keptOf(list, rule)) expect(kept.has(id)).toBe(true);
      }),
    );
  });

  test("the order in which they are given does not matter", () => {
    fc.assert(
      fc.property(backups, rules, (list, rule) => {
        expect(planRetention([...list].reverse(), rule)).toEqual(planRetention(list, rule));
      }),
    );
  });
});
