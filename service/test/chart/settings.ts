import { readFile, writeFile } from "node:fs/promises";
import { describeConfig, loadConfig } from "../../src/config.ts";

/** The chart's own: it sets them from other values, or they are secret and come by extraEnv. One is the command line's alone. */
const elsewhere =
  /^(DATABASE_URL|REDIS_URL|HOST|PORT|TASKMASTER_METRICS_PORT|SENTRY_ENVIRONMENT|TASKMASTER_DATA_DIRECTORY|TASKMASTER_SERVER|TASKMASTER_BACKUP_.*|OTEL_EXPORTER_.*|OTEL_TRACES_.*|.*_(SECRET|TOKEN|PRIVATE_KEY|API_KEY|PASSWORD|DSN))$/;

/** Writes the settings that the program knows into the schema of the chart's values, so that a misspelt one is found early. */
const file = new URL("../../../charts/task-master-pro/values.schema.json", import.meta.url);
const schema = JSON.parse(await readFile(file, "utf8"));
const settings = describeConfig(loadConfig({})).filter(({ variable }) => !elsewhere.test(variable));
schema.properties.config = {
  type: "object",
  description: "Written by `make chart-settings` from what the program itself knows.",
  additionalProperties: false,
  properties: Object.fromEntries(
    settings.map(({ variable, description }) => [
      variable,
      { type: ["string", "integer", "boolean"], description },
    ]),
  ),
};
const text = `${JSON.stringify(schema, null, 2)}\n`;
if (process.argv[2] === "--check") {
  if (JSON.stringify(JSON.parse(await readFile(file, "utf8"))) !== JSON.stringify(schema)) {
    process.stderr.write(
      "The chart does not know the program's settings any more. Run: make chart-settings\n",
    );
    process.exitCode = 1;
  }
} else {
  await writeFile(file, text);
}
