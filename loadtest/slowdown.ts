import { Server } from "node:http";

/**
 * Loaded into a server before its own code (--import): each request costs it so many milliseconds of processor time
 * more, so that what is to notice a slower build can be shown one. See compare.ts.
 */
const ms = Number(process.env.BENCH_SLOWDOWN_MS);
const emit: (this: Server, event: string, ...rest: unknown[]) => boolean = Server.prototype.emit;

function slowed(this: Server, event: string, ...rest: unknown[]): boolean {
  if (event === "request") {
    const { user, system } = process.threadCpuUsage();
    for (let spent = 0; spent < ms * 1000; ) {
      const now = process.threadCpuUsage();
      spent = now.user + now.system - user - system;
    }
  }
  return emit.call(this, event, ...rest);
}
Object.assign(Server.prototype, { emit: slowed });
