import { Resolver } from "node:dns/promises";
import type { Resolve } from "./sender.ts";

export interface ResolverOptions {
  /** Instead of the system's: addresses, each with a port if it is not 53. */
  servers?: string[];
}

/**
 * Asks the name servers, and not the system's own function: that one blocks one of the few threads which the whole
 * process shares for files and names, so that a name whose servers are silent would hold up everything else. So the
 * hosts file and search domains count for nothing here.
 */
export function createResolver({ servers }: ResolverOptions = {}): Resolve {
  return async (name, signal) => {
    const resolver = new Resolver({ timeout: 3000, tries: 2 });
    if (servers !== undefined) resolver.setServers(servers);
    const cancel = () => resolver.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      const found = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
      const addresses = found.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
      if (addresses.length === 0) throw (found[0] as PromiseRejectedResult).reason;
      return addresses;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  };
}
