import type { FlagConfig } from "../../../src/config.ts";
import type { FlagSubject } from "../../../src/core/flags/service.ts";
import { newId } from "../../../src/core/ids.ts";
import { openFlags } from "../../../src/flags/open.ts";
import { createLog } from "../../../src/log.ts";

export const subject: FlagSubject = {
  organizationId: newId(),
  organization: "acme",
  actor: { kind: "agent", id: newId(), name: "Robot" },
  role: "agent",
};

export async function openTestFlags(config: Partial<FlagConfig>) {
  const lines: string[] = [];
  const log = createLog({ logLevel: "info" }, { write: (line) => void lines.push(line) });
  return { lines, ...(await openFlags({ settings: [], file: null, flagd: null, ...config }, log)) };
}

/** Definitions in flagd's form: each flag's rule, or just its state. */
export function definitions(rules: Record<string, boolean | { to: boolean; when: object }>): string {
  const flags = Object.entries(rules).map(([flag, rule]) => {
    const state = typeof rule === "boolean" ? rule : !rule.to;
    const targeting = typeof rule === "boolean" ? {} : { if: [rule.when, rule.to ? "yes" : "no", null] };
    return [
      flag,
      {
        state: "ENABLED",
        variants: { yes: true, no: false },
        defaultVariant: state ? "yes" : "no",
        targeting,
      },
    ];
  });
  return JSON.stringify({
    $schema: "https://flagd.dev/schema/v0/flags.json",
    flags: Object.fromEntries(flags),
  });
}
