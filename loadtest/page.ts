import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { type Chart, type Distribution, print, resultsFolder, type Shown } from "./results.ts";

/** Makes loadtest/results/index.html of the goals, distributions and curves in all results that are there, for people. */

type Result = Shown & { measuredAt?: string; machine?: { cpus: number; model: string; gigabytes: number } };

const width = 460;
const height = 200;
const margin = { left: 52, right: 12, top: 10, bottom: 34 };
const colours = ["#2b6cb0", "#c05621", "#2f855a", "#805ad5", "#b83280", "#4a5568"];

const quoted = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
const short = (value: number) =>
  value >= 1_000_000
    ? `${value / 1_000_000} M`
    : value >= 1000
      ? `${value / 1000} k`
      : String(Number(value.toPrecision(3)));

/** Maps a range of values to a range of the picture. */
function scale([from, to]: [number, number], [start, end]: [number, number], log = false) {
  const place = log ? Math.log10 : (value: number) => value;
  const span = place(to) - place(from) || 1;
  return (value: number) => start + ((place(value) - place(from)) / span) * (end - start);
}

/** About four round numbers up to the greatest. */
function ticks(greatest: number): number[] {
  const step = 10 ** Math.floor(Math.log10(greatest / 4));
  const wide = [1, 2, 5, 10].map((factor) => factor * step).find((one) => greatest / one <= 5) ?? step * 10;
  return Array.from({ length: Math.ceil(greatest / wide) + 1 }, (_, i) => i * wide);
}

function picture(title: string, inside: string): string {
  return `<figure><figcaption>${quoted(title)}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${quoted(title)}">${inside}</svg></figure>`;
}

function axes(
  y: ReturnType<typeof scale>,
  yTicks: number[],
  xLabels: [number, string][],
  yName: string,
  xName: string,
): string {
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const lines = yTicks.map(
    (tick) =>
      `<line class="grid" x1="${margin.left}" x2="${right}" y1="${y(tick)}" y2="${y(tick)}"/><text x="${margin.left - 6}" y="${y(tick) + 4}" text-anchor="end">${short(tick)}</text>`,
  );
  const labels = xLabels.map(
    ([x, label]) => `<text x="${x}" y="${bottom + 14}" text-anchor="middle">${quoted(label)}</text>`,
  );
  return `${lines.join("")}${labels.join("")}<text class="name" x="${right}" y="${height - 4}" text-anchor="end">${quoted(xName)}</text><text class="name" x="4" y="${height - 4}">${quoted(yName)}</text>`;
}

/** Bars of equal width on a logarithmic axis: how large a share of the requests took how long. */
function drawDistribution({ name, percentiles }: Distribution): string {
  const [least, greatest] = [Math.max(percentiles[0] ?? 0.01, 0.01), percentiles.at(-1) ?? 1];
  const count = 30;
  const edge = (i: number) => least * (greatest / least) ** (i / count);
  /** The share of the requests that took no longer. */
  const shareUpTo = (value: number) => {
    const above = percentiles.findIndex((one) => one > value);
    if (above <= 0) return above === 0 ? 0 : 1;
    const [low, high] = [percentiles[above - 1] ?? 0, percentiles[above] ?? 0];
    return (above - 1 + (value - low) / (high - low)) / 100;
  };
  const shares = Array.from(
    { length: count },
    (_, i) => shareUpTo(edge(i + 1)) - (i === 0 ? 0 : shareUpTo(edge(i))),
  );
  const yTicks = ticks(Math.max(...shares) * 100);
  const x = scale([least, greatest], [margin.left, width - margin.right], true);
  const y = scale([0, yTicks.at(-1) ?? 1], [height - margin.bottom, margin.top]);
  const bars = shares.map((share, i) => {
    const top = y(share * 100);
    return `<rect x="${x(edge(i)) + 0.5}" width="${x(edge(i + 1)) - x(edge(i)) - 1}" y="${top}" height="${y(0) - top}"/>`;
  });
  const marks = [50, 99].map((share) => {
    const value = percentiles[share] ?? 0;
    return `<line class="mark" x1="${x(value)}" x2="${x(value)}" y1="${margin.top}" y2="${y(0)}"/><text x="${x(value) + 3}" y="${margin.top + 8}">p${share}: ${short(value)} ms</text>`;
  });
  const labels = Array.from({ length: 5 }, (_, i): [number, string] => [
    x(edge(i * 7.5)),
    short(edge(i * 7.5)),
  ]);
  return picture(name, axes(y, yTicks, labels, "% of requests", "ms") + bars.join("") + marks.join(""));
}

function drawChart({ title, x: xName, y: yName, logX = false, lines }: Chart): string {
  const points = lines.flatMap((line) => line.points);
  const xs = points.map(([x]) => x);
  const yTicks = ticks(Math.max(...points.map(([, y]) => y), 1e-9));
  const [least, greatest] = [Math.min(...xs), Math.max(...xs)];
  const x = scale([least, greatest], [margin.left + 8, width - margin.right - 8], logX);
  const y = scale([0, yTicks.at(-1) ?? 1], [height - margin.bottom, margin.top]);
  const labelled = xs.length > 12 ? [least, (least + greatest) / 2, greatest] : [...new Set(xs)];
  const drawn = lines.map(({ name, points: own }, i) => {
    const colour = colours[i % colours.length];
    const path = own.map(([px, py]) => `${x(px)},${y(py)}`).join(" ");
    const dots =
      own.length > 12
        ? ""
        : own.map(([px, py]) => `<circle cx="${x(px)}" cy="${y(py)}" r="3" fill="${colour}"/>`).join("");
    const [lastX, lastY] = own.at(-1) ?? [0, 0];
    return `<polyline points="${path}" stroke="${colour}"/>${dots}<text x="${x(lastX)}" y="${y(lastY) - 6}" text-anchor="end" fill="${colour}">${quoted(name)}</text>`;
  });
  const labels = labelled.map((value): [number, string] => [x(value), short(value)]);
  return picture(title, axes(y, yTicks, labels, yName, xName) + drawn.join(""));
}

function drawResult(name: string, { measuredAt, machine, goals, distributions, charts }: Result): string {
  const rows = goals?.map(
    (one) =>
      `<tr class="${one.met ? "met" : "missed"}"><td>${quoted(one.id)}</td><td>${quoted(one.what)}</td><td>${quoted(one.value)}</td><td>${quoted(one.goal)}</td><td>${one.met ? "met" : "missed"}</td></tr>`,
  );
  const table =
    rows === undefined
      ? ""
      : `<table><thead><tr><th></th><th>what</th><th>measured</th><th>goal</th><th></th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
  const on =
    machine === undefined ? "" : `, ${machine.cpus} processors (${machine.model}), ${machine.gigabytes} GB`;
  const pictures = [...(charts ?? []).map(drawChart), ...(distributions ?? []).map(drawDistribution)];
  return `<section><h2>${quoted(name)}</h2><p>${quoted(`${measuredAt ?? ""}${on}`)}</p>${table}<div class="pictures">${pictures.join("")}</div></section>`;
}

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:1020px;margin:2rem auto;padding:0 1rem;color:#1a202c}
h2{margin:2.5rem 0 0}p{color:#4a5568;margin:0 0 .8rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #e2e8f0}
.met td:last-child{color:#2f855a}.missed td:last-child{color:#c53030;font-weight:600}.pictures{display:grid;grid-template-columns:1fr 1fr;gap:1rem;margin-top:1rem}
figure{margin:0}figcaption{font-weight:600}svg{width:100%}text{font:11px system-ui,sans-serif;fill:#4a5568}polyline{fill:none;stroke-width:2}rect{fill:#2b6cb0}
.grid{stroke:#e2e8f0}.mark{stroke:#c05621;stroke-dasharray:3 3}.name{font-style:italic}`;

/** Returns the file. */
export async function writePage(): Promise<string> {
  const names = (await readdir(resultsFolder)).filter((name) => name.endsWith(".json")).sort();
  const sections: string[] = [];
  for (const name of names) {
    const result = JSON.parse(await readFile(path.join(resultsFolder, name), "utf8")) as Result;
    if (result.goals === undefined && result.distributions === undefined && result.charts === undefined)
      continue;
    sections.push(drawResult(path.basename(name, ".json"), result));
  }
  if (sections.length === 0) sections.push("<p>Nothing yet: <code>make help</code> lists the benches.</p>");
  const file = path.join(resultsFolder, "index.html");
  const title = "What the benches found";
  await writeFile(
    file,
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${style}</style><h1>${title}</h1>${sections.join("\n")}</html>\n`,
  );
  return file;
}

if (import.meta.main) print(`${path.relative(process.cwd(), await writePage())} shows it.`);
