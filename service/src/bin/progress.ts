import { MultiBar } from "cli-progress";

export interface Progress {
  /** A step of known length goes on: `done` of `total`, in whatever unit the step counts. */
  step(name: string, done: number, total: number): void;
  /** Something worth a line. */
  say(event: Record<string, unknown>, text: string): void;
  close(): void;
}

/** A line of JSON at most this often, where nobody watches a bar. */
const quietMs = 2_000;

/** On standard error, so that what a command answers stays alone on standard output. */
export function openProgress(): Progress {
  return process.stderr.isTTY ? bars() : lines();
}

function bars(): Progress {
  const multi = new MultiBar({
    format: "{bar} {percentage}%  {name}",
    barsize: 30,
    hideCursor: true,
    barCompleteChar: "█",
    barIncompleteChar: "░",
  });
  const shown = new Map<string, ReturnType<typeof multi.create>>();
  return {
    step(name, done, total) {
      const bar = shown.get(name) ?? multi.create(Math.max(total, 1), 0, { name });
      shown.set(name, bar);
      bar.setTotal(Math.max(total, 1));
      bar.update(Math.min(done, total), { name });
    },
    say: (_event, text) => multi.log(`${text}\n`),
    close() {
      // It draws ten times a second, so that the last step of a quick run was not drawn yet.
      multi.update();
      multi.stop();
    },
  };
}

function lines(): Progress {
  const last = new Map<string, number>();
  const write = (event: Record<string, unknown>) =>
    process.stderr.write(`${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`);
  return {
    step(name, done, total) {
      const now = Date.now();
      const before = last.get(name) ?? now;
      last.set(name, before);
      if (done < total && now - before < quietMs) return;
      last.set(name, now);
      write({ event: "progress", step: name, done, total });
    },
    say: (event) => write(event),
    close: () => {},
  };
}
