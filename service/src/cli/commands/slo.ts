import { type Command, InvalidArgumentError, Option } from "commander";
import { type CommonOptions, duration, examples, openOutput } from "../command.ts";
import type { Host } from "../host.ts";
import { createPrometheus } from "../prometheus.ts";
import { type LevelReport, lengthOf, readLevels } from "../service-levels.ts";

interface SloOptions extends CommonOptions {
  prometheus: string;
  window: number;
  job?: string;
  namespace?: string;
  markdown?: boolean;
}

export function addSlo(program: Command, host: Host): void {
  const slo = program
    .command("slo")
    .description("what was kept of the service levels, what is left of their budgets, and the worst routes")
    .requiredOption("--prometheus <url>", "the Prometheus that watches the servers")
    .addOption(
      new Option("--window <time>", "how far back, such as 30d; 5m to 400d")
        .argParser(windowOf)
        .default(30 * 86_400, "30d"),
    )
    .option("--job <name>", "the release, where Prometheus watches several: its label job")
    .option("--namespace <name>", "the same: its label namespace")
    .addOption(new Option("--markdown", "as Markdown, for a report").conflicts("json"))
    .option("--json", "as JSON; shares are from 0 to 1, times in seconds")
    .option("--no-color", "without colours; NO_COLOR says the same")
    .addHelpText(
      "after",
      `
Attained and budget come from what the rules of Prometheus record (docs/observability.md, "Service levels"), and the
budget is the window's own: with 99.9 % promised, 0.1 % of its requests. A Prometheus that asks for a token gets
TASKMASTER_PROMETHEUS_TOKEN. The exit code is 0 also where a level was missed; 3 where there is no data.`,
    );
  examples(
    slo,
    "slo --prometheus http://127.0.0.1:9090",
    "slo --prometheus https://prometheus.example.com --window 7d --namespace tasks",
    "slo --prometheus http://127.0.0.1:9090 --markdown > report.md",
  );
  slo.action(async (options: SloOptions) => {
    const interrupt = host.onInterrupt();
    try {
      const prometheus = createPrometheus(options.prometheus, host.config.prometheusToken, interrupt.signal);
      const now = Math.floor(Date.now() / 1000);
      const report = await readLevels(prometheus, options, options.window, now);
      const out = openOutput(host, options);
      if (out.json) out.value({ prometheus: prometheus.url, ...report });
      else if (options.markdown === true) out.quote(markdownOf(report));
      else show(host, options, prometheus.url, report);
    } finally {
      interrupt.dispose();
    }
  });
}

function windowOf(text: string): number {
  const seconds = duration(text);
  if (seconds < 300 || seconds > 400 * 86_400)
    throw new InvalidArgumentError("It must be from 5m to 400d, such as 30d.");
  return seconds;
}

const levelTitles = ["LEVEL", "PROMISED", "ATTAINED", "BUDGET LEFT", "DATA OF"];
const routeTitles = ["WORST ROUTES", "REQUESTS", "5XX", "OVER 300 MS", "P99"];

function show(host: Host, options: SloOptions, url: string, report: LevelReport): void {
  const out = openOutput(host, options);
  out.say(out.style("dim", out.oneLine(headOf(report).concat(url).join(" · "))));
  out.table(
    levelTitles.map((title) => ({ title })),
    report.levels.map((level) => {
      const [name = "", ...cells] = levelCells(level, report);
      const left = level.budgetRemaining;
      const style = left === null ? "dim" : left < 0 ? "red" : left < 0.25 ? "yellow" : "green";
      return [name, ...cells.map((text, place) => (place === 2 ? { text, style: style as "red" } : text))];
    }),
  );
  for (const note of notesOf(report)) out.say(`\n${note}`);
  out.say();
  if (report.worstRoutes.length === 0) out.say("No route failed, or was slow.");
  else
    out.table(
      routeTitles.map((title, place) => ({ title, ...(place === 0 ? { grows: true } : {}) })),
      report.worstRoutes.map(routeCells),
    );
}

function markdownOf(report: LevelReport): string {
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const table = (titles: readonly string[], rows: string[][]) =>
    [
      row(titles.map((title) => title.charAt(0) + title.slice(1).toLowerCase())),
      row(titles.map((_, place) => (place === 0 ? "---" : "---:"))),
      ...rows.map(row),
    ].join("\n");
  const routes = report.worstRoutes.map(routeCells).map(([name = "", ...cells]) => [`\`${name}\``, ...cells]);
  return [
    `# Service levels of ${headOf(report).slice(0, -1).join(", ")}`,
    `${report.from} to ${report.to}`,
    table(
      levelTitles,
      report.levels.map((level) => levelCells(level, report)),
    ),
    ...notesOf(report),
    routes.length === 0 ? "No route failed, or was slow." : table(routeTitles, routes),
  ].join("\n\n");
}

function headOf({ job, namespace, from, to }: LevelReport): string[] {
  return [job, ...(namespace === null ? [] : [namespace]), `${from} to ${to}`];
}

function levelCells(level: LevelReport["levels"][number], { windowSeconds }: LevelReport): string[] {
  const { slo, objective, attained, budgetRemaining, dataSeconds } = level;
  return [
    slo.replaceAll("_", " "),
    percent(objective),
    attained === null ? "nothing counted" : percent(attained),
    budgetRemaining === null ? "" : `${(budgetRemaining * 100).toFixed(1)} %`,
    `${Math.round((100 * dataSeconds) / windowSeconds)} % of it`,
  ];
}

function routeCells({
  method,
  route,
  requests,
  failed,
  slow,
  p99,
}: LevelReport["worstRoutes"][number]): string[] {
  const latest = p99 === null ? "" : `${p99.toPrecision(2)} s`;
  return [`${method} ${route}`, String(requests), String(failed), slow === null ? "" : String(slow), latest];
}

/** Whoever reads a share of thirty days must know that it is of three. */
function notesOf({ levels, windowSeconds }: LevelReport): string[] {
  const short = levels.filter(({ dataSeconds }) => dataSeconds < 0.95 * windowSeconds);
  if (short.length === 0) return [];
  const parts = short.map(({ slo, dataSeconds }) => `${slo.replaceAll("_", " ")} ${lengthOf(dataSeconds)}`);
  return [`Of the window of ${lengthOf(windowSeconds)} there is data of less: ${parts.join(", ")}.`];
}

/** As exact as a promise of 99.9 % needs, and never rounded up to what was not kept. */
function percent(share: number): string {
  return `${(Math.floor(share * 100_000 + 1e-6) / 1000).toString()} %`;
}
