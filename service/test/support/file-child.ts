/**
 * A process that works on a project's folder: `node file-child.ts DIRECTORY CHANGES [STEP]`. Each change is one
 * transaction of a title and a comment; its number is written to standard output once it is acknowledged. With a STEP it
 * kills itself by SIGKILL before that step of its writing, counted over all its calls of the file system, and in the
 * middle of the step where that is a write.
 */
import { writeSync } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const [directory = "", changes = "1", fatal] = process.argv.slice(2);
let step = 0;
let counting = false;

/** Whether this is the step to die at. */
function isLast(): boolean {
  if (!counting || fatal === undefined) return false;
  step += 1;
  return step === Number(fatal);
}
function die(): never {
  process.kill(process.pid, "SIGKILL");
  // The signal comes in a moment; nothing may happen until then.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
}

const { open, rename, link, unlink, rm, writeFile } = fs;
function guard<A extends unknown[], R>(call: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    if (isLast()) die();
    return call(...args);
  };
}
Object.assign(fs, {
  rename: guard(rename),
  link: guard(link),
  unlink: guard(unlink),
  rm: guard(rm),
  writeFile: guard(writeFile),
  open: guard(async (...args: Parameters<typeof open>) => watch(await open(...args))),
});
syncBuiltinESMExports();

function watch(handle: FileHandle): FileHandle {
  const write = handle.writeFile.bind(handle);
  handle.writeFile = async (data, options) => {
    if (isLast()) {
      const bytes = Buffer.from(data as string | Buffer);
      await write(bytes.subarray(0, bytes.length / 2));
      die();
    }
    await write(data, options);
  };
  handle.sync = guard(handle.sync.bind(handle));
  handle.truncate = guard(handle.truncate.bind(handle));
  return handle;
}

const { newId } = await import("../../src/core/ids.ts");
const { openFolderCore } = await import("./folder.ts");
const { storage, owner, key, close } = await openFolderCore(directory);
counting = true;
for (let change = 1; change <= Number(changes); change += 1) {
  const number = await storage.transaction(owner.organizationId, async (tx) => {
    const task = await tx.tasks.find({ project: key, tag: "master", localId: "1" });
    if (task === undefined) throw new Error("there is no task 1");
    const next = Number(task.title) + 1;
    await tx.tasks.update(task.id, { title: String(next) }, task.version);
    await tx.comments.insert({ id: newId(), taskId: task.id, author: owner.actor, body: String(next) });
    await tx.events.append([
      {
        type: "task.updated",
        projectId: task.projectId,
        taskId: task.id,
        actor: owner.actor,
        requestId: "child",
        data: { next },
      },
    ]);
    return next;
  });
  writeSync(1, `${number}\n`);
}
counting = false;
await close();
writeSync(1, `steps ${step}\n`);
