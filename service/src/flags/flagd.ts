import { FlagdProvider } from "@openfeature/flagd-provider";
import type { Logger, Provider } from "@openfeature/server-sdk";

const deadlineMs = 500;

/**
 * Flags of a flagd (https://flagd.dev), as its sync service (port 8015) tells them. They are evaluated here, by what was
 * told last: asked over the network, every request would wait for a flagd that is away.
 */
export function createFlagdProvider(
  { host, port }: { host: string; port: number },
  logger: Logger,
): Provider {
  const provider = new FlagdProvider(
    { host, port, resolverType: "in-process", deadlineMs, tls: false },
    logger,
  );
  const close = provider.onClose.bind(provider);
  provider.onClose = async () => {
    stopReconnecting(provider);
    await close();
  };
  return provider;
}

/**
 * Closed while flagd is away, the provider (0.16.1) tries for ever to connect with a client that is closed, and so keeps
 * the process from ending. What would begin the next try is in its private parts only.
 */
function stopReconnecting(provider: FlagdProvider): void {
  const service: unknown = Reflect.get(provider, "_service");
  const fetcher: unknown =
    typeof service === "object" && service !== null && Reflect.get(service, "_dataFetcher");
  if (typeof fetcher === "object" && fetcher !== null) Reflect.set(fetcher, "reconnect", () => {});
}
