import { buildProgram } from "../cli/program.ts";
import { report } from "../cli/report.ts";
import { readVersion } from "../version.ts";
import { createHost } from "./host.ts";

const host = createHost();
const argv = process.argv.slice(2);

// Whoever reads only the beginning, as head does, has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(host.exitCode);
});

const program = buildProgram(host, readVersion());
const [first = ""] = argv;
const isClients = program.commands.some((command) => [command.name(), ...command.aliases()].includes(first));
if (!isClients) {
  // Most of the program is the server, and whoever works with tasks should not wait for it.
  const { addServer } = await import("./server-commands.ts");
  addServer(program, host);
}

// The first process of a container is not ended by a signal that nobody handles; a killed migration heals at the next run.
if (process.pid === 1) {
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.on(signal, () => {
      // A server and a backup stop in a way of their own.
      if (process.listenerCount(signal) === 1) process.exit(code);
    });
  }
}

try {
  await program.parseAsync();
} catch (error) {
  if (!report(host, error, argv)) {
    const { reportServer } = await import("./server-commands.ts");
    host.exitCode = reportServer(error);
  }
}
process.exitCode ??= host.exitCode;
