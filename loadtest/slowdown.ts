import { Server } from "node:http";

/**
 * Loaded into a server before its own code (--import): each request costs it so many milliseconds of processor time
 * more, so that what is to notice a slower build can be shown one. See compare.ts.
 */
const ms = Number(process.env.BENCH_SLOWDOWN_MS);
const emit: (this: Server, event: string, ...rest: unknown[]) => boolean = Server.prototype.emit;

function slowed(this: Server, event: string, ...rest: unknown[]): boolean {
  if (event === "request") {
    // By the clock: the kernel counts a thread's processor time in steps that are larger than what is to be spent.
    const started = performance.now();
    while (performance.now() - started < ms);
  }
  return emit.call(this, event, ...rest);
}
Object.assign(Server.prototype, { emit: slowed });
