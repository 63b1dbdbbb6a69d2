// A process that makes or restores a backup and kills itself, as hard as can be, at the wanted moment: before or after
// the nth thing that it does to the store, or when it reports its nth progress.
import { createBackup } from "../../src/backup/create.ts";
import { createForms } from "../../src/backup/forms.ts";
import { openStore } from "../../src/backup/open-store.ts";
import { restoreBackup } from "../../src/backup/restore.ts";
import type { BackupStore } from "../../src/backup/store.ts";

export interface ChildOrder {
  command: "create" | "restore";
  connectionString: string;
  embedded: boolean;
  directory: string;
  scratchDirectory: string;
  /** To restore. */
  id: string;
  killAt: number;
}

const order = JSON.parse(process.argv[2] ?? "") as ChildOrder;
let moments = 0;
function moment(): void {
  moments += 1;
  if (moments === order.killAt) process.kill(process.pid, "SIGKILL");
}

function watched(store: BackupStore): BackupStore {
  return new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return async (...args: unknown[]) => {
        moment();
        const result: unknown = await member.apply(target, args);
        moment();
        return result;
      };
    },
  });
}

const run = {
  store: watched(await openStore({ kind: "folder", directory: order.directory })),
  forms: createForms(process.env),
  encryption: null,
  decryption: null,
  scratchDirectory: order.scratchDirectory,
  program: "0.0.0-test",
  progress: { step: moment, say: moment },
  signal: new AbortController().signal,
};
const { connectionString, embedded, id } = order;
if (order.command === "create") await createBackup(run, { connectionString, embedded });
else await restoreBackup(run, { id, connectionString, embedded, replace: true, migrate: true });
process.stdout.write(`${moments}\n`);
