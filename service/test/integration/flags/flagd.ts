import { Server, ServerCredentials, type ServerWritableStream } from "@grpc/grpc-js";

/** A gRPC server that speaks flagd's sync protocol (flagd.sync.v1.FlagSyncService), without flagd behind it. */
export interface SyncServer {
  port: number;
  /** Tells the definitions to all who listen, now and later. */
  tell(definitions: string): void;
  stop(): void;
}

export async function startSyncServer(definitions: string, port = 0): Promise<SyncServer> {
  let told = definitions;
  const listeners = new Set<ServerWritableStream<Buffer, string>>();
  const server = new Server();
  server.addService(
    {
      syncFlags: {
        path: "/flagd.sync.v1.FlagSyncService/SyncFlags",
        requestStream: false,
        responseStream: true,
        requestSerialize: (request: Buffer) => request,
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: syncFlagsResponse,
        responseDeserialize: (bytes: Buffer) => bytes.toString(),
      },
    },
    {
      syncFlags: (call: ServerWritableStream<Buffer, string>) => {
        listeners.add(call);
        call.on("cancelled", () => listeners.delete(call));
        call.write(told);
      },
    },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, free) =>
      error === null ? resolve(free) : reject(error),
    );
  });
  return {
    port: bound,
    tell(next) {
      told = next;
      for (const listener of listeners) listener.write(next);
    },
    stop: () => server.forceShutdown(),
  };
}

/** The message SyncFlagsResponse in protobuf's wire format: flag_configuration is its field 1, a string. */
function syncFlagsResponse(definitions: string): Buffer {
  const text = Buffer.from(definitions);
  const length: number[] = [];
  let left = text.length;
  for (; left > 127; left >>>= 7) length.push((left & 127) | 128);
  return Buffer.concat([Buffer.from([0x0a, ...length, left]), text]);
}
