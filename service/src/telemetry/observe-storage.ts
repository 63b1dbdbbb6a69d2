import { SpanKind } from "@opentelemetry/api";
import type { Storage, Transaction } from "../core/storage.ts";
import type { Spans } from "./spans.ts";

const options = { kind: SpanKind.INTERNAL, attributes: {} };

/**
 * The same storage, whose transactions are spans where they are part of a request that is traced. Their events keep the place in
 * the trace, for the webhooks that are told of them.
 */
export function observeStorage(storage: Storage, spans: Spans): Storage {
  return {
    ...storage,
    snapshot: (organizationId, work) =>
      spans.within("snapshot", options, () => storage.snapshot(organizationId, work)),
    transaction: (organizationId, work) =>
      spans.within("transaction", options, () =>
        storage.transaction(organizationId, (tx) => work(marking(tx, spans))),
      ),
    // It wakes whoever waits, on behalf of whoever writes.
    watch: (projectId, wake) => spans.outside(() => storage.watch(projectId, () => spans.outside(wake))),
  };
}

function marking(tx: Transaction, spans: Spans): Transaction {
  if (spans.traceparent() === undefined) return tx;
  return {
    ...tx,
    events: { ...tx.events, append: (events) => tx.events.append(events, spans.traceparent()) },
  };
}
