import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  /** Empty for one that has none. */
  parentId: string;
  name: string;
  kind: "internal" | "server" | "client";
  /** Nanoseconds since 1970. */
  start: bigint;
  end: bigint;
  attributes: Record<string, string | number | boolean>;
  links: { traceId: string; spanId: string }[];
  failed: boolean;
}

export interface Collector {
  /** As OTEL_EXPORTER_OTLP_ENDPOINT takes it. */
  endpoint: string;
  requests: { path: string; headers: IncomingHttpHeaders; bytes: Buffer }[];
  spans: ReceivedSpan[];
  resources: Record<string, string | number | boolean>[];
  /** The spans of that trace, when so many have come; rejects after ten seconds. */
  trace(traceId: string, count: number): Promise<ReceivedSpan[]>;
  close(): Promise<void>;
}

/** A real receiver of OTLP over HTTP, which takes the protobuf apart by the wire format alone; it answers 200 unless told how else. */
export async function openCollector(
  answer: (response: ServerResponse) => void = (response) => response.writeHead(200).end(),
): Promise<Collector> {
  const requests: Collector["requests"] = [];
  const spans: ReceivedSpan[] = [];
  const resources: Collector["resources"] = [];
  const server = createServer(async (incoming, response) => {
    const bytes = await buffer(incoming);
    requests.push({ path: incoming.url ?? "", headers: incoming.headers, bytes });
    for (const batch of messages(bytes, 1)) {
      resources.push(...messages(batch, 1).map((resource) => attributesOf(messages(resource, 1))));
      for (const scope of messages(batch, 2)) spans.push(...messages(scope, 2).map(spanOf));
    }
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    spans,
    resources,
    async trace(traceId, count) {
      const end = Date.now() + 10_000;
      for (;;) {
        const found = spans.filter((span) => span.traceId === traceId);
        if (found.length >= count) return found;
        if (Date.now() > end) {
          throw new Error(`${found.length} spans came: ${found.map(({ name }) => name).join(", ")}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const kinds = ["internal", "internal", "server", "client"] as const;

/** opentelemetry/proto/trace/v1/trace.proto */
function spanOf(bytes: Buffer): ReceivedSpan {
  const fields = read(bytes);
  const hex = (field: number) => (first(fields, field) as Buffer | undefined)?.toString("hex") ?? "";
  const status = first(fields, 15) as Buffer | undefined;
  return {
    traceId: hex(1),
    spanId: hex(2),
    parentId: hex(4),
    name: String(first(fields, 5)),
    kind: kinds[Number(first(fields, 6) ?? 0)] ?? "internal",
    start: (first(fields, 7) as Buffer).readBigUInt64LE(),
    end: (first(fields, 8) as Buffer).readBigUInt64LE(),
    attributes: attributesOf(messages(bytes, 9)),
    links: messages(bytes, 13).map((link) => {
      const linked = read(link);
      return {
        traceId: (first(linked, 1) as Buffer).toString("hex"),
        spanId: (first(linked, 2) as Buffer).toString("hex"),
      };
    }),
    failed: status !== undefined && first(read(status), 3) === 2n,
  };
}

function attributesOf(pairs: Buffer[]): Record<string, string | number | boolean> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const fields = read(pair);
      const [value] = read(first(fields, 2) as Buffer);
      if (value === undefined) throw new Error("an attribute has no value");
      const [kind, content] = value;
      const key = String(first(fields, 1));
      if (kind === 1) return [key, String(content)];
      if (kind === 2) return [key, content === 1n];
      if (kind === 3) return [key, Number(content)];
      if (kind === 4) return [key, (content as Buffer).readDoubleLE()];
      throw new Error(`an attribute is of the kind ${kind}`);
    }),
  );
}

type Field = [number: number, value: bigint | Buffer];

function messages(bytes: Buffer, number: number): Buffer[] {
  return read(bytes).flatMap(([field, value]) => (field === number ? [value as Buffer] : []));
}

function first(fields: Field[], number: number): bigint | Buffer | undefined {
  return fields.find(([field]) => field === number)?.[1];
}

/** The fields of a message, by the wire format of Protocol Buffers; numbers of fixed size stay bytes. */
function read(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("a number is cut off");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const type = tag & 7;
    if (type === 0) {
      fields.push([tag >> 3, varint()]);
      continue;
    }
    const length = type === 2 ? Number(varint()) : type === 1 ? 8 : type === 5 ? 4 : undefined;
    if (length === undefined || at + length > bytes.length) throw new Error(`no field of the type ${type}`);
    fields.push([tag >> 3, bytes.subarray(at, at + length)]);
    at += length;
  }
  return fields;
}
