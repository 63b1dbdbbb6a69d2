import { describeConfig, loadConfig } from "../config.ts";
import { print } from "./print.ts";

export function showConfig({ json }: { json: boolean }): void {
  const rows = describeConfig(loadConfig(process.env));
  const width = (column: "variable" | "value" | "source") =>
    Math.max(...rows.map((row) => row[column].length));
  const [variable, value, source] = [width("variable"), width("value"), width("source")];
  const lines = rows.map(
    (row) =>
      `${row.variable.padEnd(variable)}  ${row.value.padEnd(value)}  ${row.source.padEnd(source)}  ${row.description}`,
  );
  print(json, rows, lines.join("\n"));
}
