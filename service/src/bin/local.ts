import type { Transport } from "../cli/transport.ts";
export async function openLocal(path: string): Promise<Transport> {
  throw new Error(`not yet: ${path}`);
}
