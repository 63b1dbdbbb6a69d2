/** What a scrape found. */
export interface Scrape {
  /** Every metric that is told of, with or without a sample, and its type. */
  types: ReadonlyMap<string, string>;
  /** Each sample by its name and labels as they are written. */
  samples: ReadonlyMap<string, number>;
  /** The one sample of that name with these labels, whatever others it has; undefined when there is none. */
  find(name: string, labels?: Record<string, string>): number | undefined;
}

/** Reads the text form of Prometheus, with no library of the program's in between. Throws at a line that is none of it. */
export async function scrape(address: string): Promise<Scrape> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`the scrape was answered ${response.status}`);
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    const [, typed, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (typed !== undefined && type !== undefined) types.set(typed, type);
    if (line === "" || line.startsWith("#")) continue;
    const [, series, value] = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/.exec(line) ?? [];
    if (series === undefined || value === undefined) throw new Error(`no sample: ${line}`);
    if (samples.has(series)) throw new Error(`twice: ${series}`);
    samples.set(series, Number(value));
  }
  return {
    types,
    samples,
    find(name, labels = {}) {
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      const found = [...samples].filter(
        ([series]) => series.split("{", 1)[0] === name && wanted.every((pair) => series.includes(pair)),
      );
      if (found.length > 1)
        throw new Error(`several of ${name}: ${found.map(([series]) => series).join(", ")}`);
      return found[0]?.[1];
    },
  };
}
