import { describeConfig, loadConfig } from "../config.ts";

export function showConfig({ json }: { json: boolean }): void {
  const rows = describeConfig(loadConfig(process.env));
  if (json) {
    process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
    return;
  }
  const width = (column: "variable" | "value" | "source") =>
    Math.max(...rows.map((row) => row[column].length));
  const [variable, value, source] = [width("variable"), width("value"), width("source")];
  for (const row of rows) {
    process.stdout.write(
      `${row.variable.padEnd(variable)}  ${row.value.padEnd(value)}  ${row.source.padEnd(source)}  ${row.description}\n`,
    );
  }
}
