import { parseArgs } from "node:util";

/** A number that an option takes. */
export interface NumberOption {
  default: number;
  /** The least that it may be... */
  from?: number;
  /** ...or what it must be more than. */
  above?: number;
  /** Fractions are allowed. */
  fraction?: boolean;
}

/**
 * Reads the command line of a bench: --help prints the help and ends the process, and a wrong one ends it with exit code 2, naming
 * what is wrong. `texts` are options that take any text, and that may be left out.
 */
export function readOptions<N extends string, T extends string = never>(
  help: string,
  numbers: Record<N, NumberOption>,
  texts: readonly T[] = [],
  positionals = false,
): { numbers: Record<N, number>; texts: Partial<Record<T, string>>; positionals: string[] } {
  const given = parse([...Object.keys(numbers), ...texts], positionals);
  if (given.values.help === true) {
    process.stdout.write(help);
    process.exit(0);
  }
  const read = Object.entries<NumberOption>(numbers).map(([name, option]) => {
    const { from = Number.NEGATIVE_INFINITY, above = Number.NEGATIVE_INFINITY, fraction = false } = option;
    const value = Number(given.values[name] ?? option.default);
    if (!(value >= from && value > above) || !(fraction || Number.isInteger(value))) {
      const bound = option.from === undefined ? `above ${above}` : `from ${from}`;
      refuse(`--${name} takes a ${fraction ? "number" : "whole number"} ${bound}.`);
    }
    return [name, value];
  });
  return {
    numbers: Object.fromEntries(read) as Record<N, number>,
    texts: given.values as Partial<Record<T, string>>,
    positionals: given.positionals,
  };
}

/** Ends the process, since its command line is wrong. */
export function refuse(what: string): never {
  process.stderr.write(`${what}\n`);
  process.exit(2);
}

function parse(names: string[], allowPositionals: boolean) {
  const options = {
    ...Object.fromEntries(names.map((name) => [name, { type: "string" as const }])),
    help: { type: "boolean" as const },
  };
  try {
    return parseArgs({ allowPositionals, options }) as {
      values: Record<string, string | boolean | undefined>;
      positionals: string[];
    };
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}
