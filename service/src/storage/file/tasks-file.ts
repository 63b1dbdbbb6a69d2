import { createHash } from "node:crypto";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../../core/errors.ts";
import { draftOf, syncDirectory, writeDraft } from "./journal.ts";

export interface FileText {
  text: string;
  /** Of the bytes, in hex. */
  sha256: string;
}

/** The tasks.json of a project's folder. */
export interface TasksFile {
  path: string;
  /** Whether the file is another than at the last `read` or `install`, as the file system tells without reading it. */
  isTouched(): boolean;
  /** Undefined when there is none. Throws unavailable when it is no UTF-8. */
  read(): FileText | undefined;
  /** Writes beside the file what is to become of it; durable when this resolves. */
  draft(text: string): Promise<Draft>;
  /** Installs what a crash left drafted, if it is this; false when there is no such draft. */
  finish(sha256: string): Promise<boolean>;
}

interface Draft {
  /** Puts it into the place of the file, for good. */
  install(): Promise<void>;
  discard(): Promise<void>;
}

export function openTasksFile(file: string): TasksFile {
  let known = "";

  /** Where the file really lies: a link to it stays a link. */
  const target = (): string => {
    try {
      return realpathSync(file);
    } catch {
      return file;
    }
  };

  const identify = (): string => {
    const found = statSync(file, { bigint: true, throwIfNoEntry: false });
    return found === undefined ? "none" : `${found.ino} ${found.mtimeNs} ${found.size}`;
  };

  const install = async (draft: string, place: string) => {
    await rename(draft, place);
    known = identify();
    await syncDirectory(path.dirname(place));
  };

  return {
    path: file,
    isTouched: () => identify() !== known,

    read() {
      // Before the text: a change in between shows as a touch.
      known = identify();
      if (known === "none") return undefined;
      const bytes = readFileSync(file);
      try {
        const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
        return { text, sha256: digest(bytes) };
      } catch (error) {
        throw new AppError("unavailable", `${file} is no text in UTF-8; save it as that.`, { cause: error });
      }
    },

    async draft(text) {
      const place = target();
      const mode = (statSync(place, { throwIfNoEntry: false })?.mode ?? 0o644) & 0o777;
      const draft = await writeDraft(place, text, mode);
      return {
        install: async () => await install(draft, place),
        discard: async () => await rm(draft, { force: true }),
      };
    },

    async finish(sha256) {
      const [place, draft] = [target(), draftOf(target())];
      const left = await readFile(draft).catch(() => undefined);
      if (left === undefined || digest(left) !== sha256) return false;
      await install(draft, place);
      return true;
    },
  };
}

/** SHA-256, in hex. */
export function digest(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
