import { SpanKind } from "@opentelemetry/api";
import type { Core } from "../core/index.ts";
import type { Spans } from "./spans.ts";

type UseCase = (...given: unknown[]) => unknown;

/** The same use cases, each a span by its name, where it is part of a request that is traced. */
export function observeCore(core: Core, spans: Spans): Core {
  const observed = Object.entries(core).map(([service, cases]) => [
    service,
    typeof cases === "function" ? cases : observeService(service, cases, spans),
  ]);
  const { events } = core;
  return {
    ...(Object.fromEntries(observed) as unknown as Core),
    events: {
      ...(observeService("events", events, spans) as typeof events),
      // What follows goes on for hours, and reads for all who follow the same project: that belongs to no request.
      follow: (...given) =>
        spans.outside(async () => {
          const following = await events.follow(...given);
          return { ...following, next: (after: number) => spans.outside(() => following.next(after)) };
        }),
    },
  };
}

function observeService(service: string, cases: object, spans: Spans): object {
  return Object.fromEntries(
    Object.entries(cases as Record<string, UseCase>).map(([name, run]) => [
      name,
      (...given: unknown[]) =>
        spans.recording()
          ? spans.within(`${service}.${name}`, { kind: SpanKind.INTERNAL, attributes: {} }, async () =>
              run(...given),
            )
          : run(...given),
    ]),
  );
}
