import { type Command, Option } from "commander";
import { type CommonOptions, duration, examples, openOutput } from "../command.ts";
import type { Host } from "../host.ts";
import { findServer } from "../place.ts";
import { type ExitCode, exitCodes } from "../problem.ts";

interface SmokeOptions extends CommonOptions {
  timeout: number;
}

export function addSmoke(program: Command, host: Host): void {
  const smoke = program
    .command("smoke")
    .description("go a user's way through a server, in a project of its own that is gone afterwards")
    .argument("[url]", "the server, such as https://tasks.example.com; the profile's by default")
    .addOption(
      new Option("--timeout <time>", "a server that needs longer in all has failed")
        .argParser(duration)
        .default(30, "30s"),
    )
    .option("--profile <name>", "a server that you are logged in to")
    .option("--json", "the report as JSON")
    .option("--no-color", "without colours; NO_COLOR says the same")
    .addHelpText(
      "after",
      `
Makes a project, two tasks and a dependency, claims and completes what is ready, reads the events and the export, and
deletes the project, also when a step fails. That takes a second or two, and some more where the server was just
started. The token (TASKMASTER_TOKEN, or the profile's) needs the role admin or owner and every scope, because only
they may delete a project.

Exit codes: 0 all well, 1 the server answered wrong, 2 wrong command line, 5 the token is not good or may not do it,
6 no answer, not now, or not within --timeout, 130 stopped by Ctrl-C.`,
    );
  examples(smoke, "smoke https://tasks.example.com", "smoke --profile staging --timeout 5s --json");
  smoke.action(async (given: string | undefined, options: SmokeOptions) => {
    const { server, token } = await findServer(host, { ...options, ...(given && { server: given }) });
    const interrupt = host.onInterrupt();
    const late = AbortSignal.timeout(options.timeout * 1000);
    try {
      // Loaded here: whoever lists tasks should not wait for it.
      const { runJourney } = await import("../../smoke/journey.ts");
      const signal = AbortSignal.any([interrupt.signal, late]);
      const report = await runJourney(server, token, { signal });
      show(host, options, server, report);
      if (report.failure === "called off" && !interrupt.signal.aborted) host.exitCode = exitCodes.unavailable;
      else host.exitCode = report.failure === null ? exitCodes.ok : codes[report.failure];
    } finally {
      interrupt.dispose();
    }
  });
}

type Report = Awaited<ReturnType<typeof import("../../smoke/journey.ts").runJourney>>;

const codes: Record<NonNullable<Report["failure"]>, ExitCode> = {
  unavailable: exitCodes.unavailable,
  "called off": exitCodes.interrupted,
  forbidden: exitCodes.forbidden,
  wrong: exitCodes.failed,
};

function show(host: Host, options: SmokeOptions, server: string, report: Report): void {
  const out = openOutput(host, options);
  if (out.json) {
    out.value({ server, ...report });
    return;
  }
  out.say(out.style("dim", server));
  out.table(
    [{ title: "" }, { title: "STEP" }, { title: "MS" }, { title: "WHAT WAS SEEN", grows: true }],
    report.steps.map(({ name, ok, ms, detail }) => [
      ok ? { text: "ok", style: "green" as const } : { text: "not ok", style: "red" as const },
      name,
      String(ms),
      // Whole, where it says what is wrong: the reader has no other place to find it.
      ok ? detail : "see below",
    ]),
  );
  for (const { name, ok, detail } of report.steps) if (!ok) out.quote(`\nnot ok: ${name}\n${detail}`);
  const seconds = (report.ms / 1000).toFixed(2);
  const limit = report.failure === "called off" ? ` It was to take ${options.timeout} s at most.` : "";
  out.say(report.ok ? `\nAll well, in ${seconds} s.` : `\nNot well, after ${seconds} s.${limit}`);
}
