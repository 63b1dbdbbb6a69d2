import {
  type Client,
  ErrorCode,
  type EvaluationContext,
  type EvaluationDetails,
  NOOP_PROVIDER,
  OpenFeature,
  type Provider,
  ProviderEvents,
  ProviderStatus,
  type Logger as SdkLogger,
} from "@openfeature/server-sdk";
import type { FlagConfig } from "../config.ts";
import type { FlagSubject } from "../core/flags/service.ts";
import { type FlagName, type FlagReason, flagDefault } from "../core/index.ts";
import type { Logger } from "../log.ts";
import { DefinitionsProvider } from "./definitions.ts";
import { readDefinitions, watchDefinitions } from "./file.ts";
import type { OpenFlags } from "./open.ts";

interface Source {
  kind: "setting" | "file" | "flagd";
  domain: string;
  client: Client;
}

let opened = 0;

/** The flags of the configuration, behind OpenFeature; see openFlags. */
export async function openSources(config: FlagConfig, log: Logger): Promise<OpenFlags> {
  const logger = quietly(log);
  const sources: Source[] = [];
  const closers: (() => void | Promise<void>)[] = [];
  // A domain a source and not one provider over all: where flagd is not ready, settings must count all the same.
  const add = async (kind: Source["kind"], provider: Provider) => {
    const domain = `${kind}-${opened++}`;
    const client = OpenFeature.getClient(domain).setLogger(logger);
    if (kind === "flagd") closers.push(sayWhenAway(client, log));
    // A source that fails to start is tried again by its provider, and said by its events.
    await OpenFeature.setProviderAndWait(domain, provider).catch(() => {});
    sources.push({ kind, domain, client });
  };
  OpenFeature.setLogger(logger);

  if (config.settings.length > 0) {
    await add("setting", new DefinitionsProvider("setting", definitionsOf(config.settings), logger));
  }
  const { file, flagd } = config;
  if (file !== null) {
    const provider = readDefinitions(file, (text) => new DefinitionsProvider("file", text, logger));
    await add("file", provider);
    closers.push(watchDefinitions(file, (text) => provider.replace(text), log));
  }
  if (flagd !== null) {
    // Loaded only where it is asked for: gRPC is larger than all else together.
    const { createFlagdProvider } = await import("./flagd.ts");
    await add("flagd", createFlagdProvider(flagd, logger));
  }

  return {
    flags: {
      async evaluate(flag, subject) {
        let away = false;
        for (const source of sources) {
          const details = await source.client.getBooleanDetails(flag, flagDefault, contextOf(subject));
          if (saysNothing(details)) away ||= isAway(source);
          else return { on: details.value, reason: reasonOf(details, source) };
        }
        return { on: flagDefault, reason: away ? "unavailable" : "default" };
      },
    },
    async close() {
      for (const close of closers) await close();
      // Another provider in its place is how the SDK closes one.
      for (const { domain } of sources) await OpenFeature.setProviderAndWait(domain, NOOP_PROVIDER);
    },
  };
}

/** What rules can target. A rollout by fractions goes by the organization, so that those who work together see the same. */
function contextOf({ organizationId, organization, actor, role }: FlagSubject): EvaluationContext {
  return {
    targetingKey: organizationId,
    organizationId,
    organization,
    actorKind: actor.kind,
    actorId: actor.id,
    role,
  };
}

function saysNothing({ errorCode }: EvaluationDetails<boolean>): boolean {
  return errorCode === ErrorCode.FLAG_NOT_FOUND || errorCode === ErrorCode.PROVIDER_NOT_READY;
}

function isAway({ client }: Source): boolean {
  return client.providerStatus !== ProviderStatus.READY;
}

const reasons: Record<string, FlagReason> = {
  DEFAULT: "default",
  DISABLED: "disabled",
  ERROR: "error",
  SPLIT: "targeting",
  TARGETING_MATCH: "targeting",
};

function reasonOf({ reason = "" }: EvaluationDetails<boolean>, source: Source): FlagReason {
  if (source.kind === "setting") return "setting";
  return isAway(source) ? "stale" : (reasons[reason] ?? "static");
}

/** Settings in the form of a file's definitions. */
function definitionsOf(settings: readonly { flag: FlagName; on: boolean }[]): string {
  const flags = settings.map(({ flag, on }) => [
    flag,
    { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: on ? "on" : "off" },
  ]);
  return JSON.stringify({ flags: Object.fromEntries(flags) });
}

/** Until what is returned is called: the provider that takes its place at the end is ready at once. */
function sayWhenAway(client: Client, log: Logger): () => void {
  let away = false;
  const gone = () => {
    if (!away) log.warn("flagd cannot be reached; flags stay as it told them last, or have their defaults");
    away = true;
  };
  const back = () => {
    if (away) log.info("flagd can be reached again");
    away = false;
  };
  client.addHandler(ProviderEvents.Error, gone);
  client.addHandler(ProviderEvents.Stale, gone);
  client.addHandler(ProviderEvents.Ready, back);
  return () => client.removeHandler(ProviderEvents.Ready, back);
}

/** What matters is said in our own words; the SDK and its providers repeat theirs at every attempt. */
function quietly(log: Logger): SdkLogger {
  const say = (message: unknown, ...rest: unknown[]) =>
    log.debug({ source: "OpenFeature", rest }, String(message));
  return { error: say, warn: say, info: say, debug: () => {} };
}
