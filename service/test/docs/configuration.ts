import { writeFile } from "node:fs/promises";
import { describeConfig, loadConfig } from "../../src/config.ts";

/** docs/configuration.md, out of what the program itself knows of its settings. */
export function renderConfiguration(): string {
  const rows = describeConfig(loadConfig({})).map(({ variable, value, description }) => [
    `\`${variable}\``,
    description,
    // What is worked out is said in words, and a value as it is written.
    /^[^\s]+$/.test(value) ? `\`${value}\`` : value,
  ]);
  const table = [["variable", "meaning", "without it"], ...rows].map((row) =>
    row.map((cell) => cell.replaceAll("|", "\\|")),
  );
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => [...(row[column] ?? "")].length)));
  const line = (cells: string[]) =>
    `| ${cells.map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - [...cell].length)).join(" | ")} |`;
  const [head = [], ...body] = table;
  return `# Configuration

<!-- Written by \`make configuration\` from service/src/config.ts. -->

The program is configured by its environment alone, which is read once, at the start. A setting that is wrong, or that nobody knows, is said with
what it should be, and the program does not start. \`task-master-pro config\` shows what is in force and where it comes from, secrets hidden.

In the chart these are values of \`config\`, but for those that it sets itself and for secrets, which come by \`extraEnv\` or a value of their own
([deployment.md](deployment.md)).

${[line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n")}
`;
}

if (import.meta.main)
  await writeFile(new URL("../../../docs/configuration.md", import.meta.url), renderConfiguration());
