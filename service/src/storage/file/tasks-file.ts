import { createHash } from "node:crypto";
import { readFileSync, realpathSync, statSync } from "node:fs";
import { readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { AppError } from "../../core/errors.ts";
import { draftOf, syncDirectory, writeDraft } from "./journal.ts";
import { absent } from "./model.ts";

export interface FileText {
  text: string;
  /** Of the bytes, in hex. */
  sha256: string;
}

/** The tasks.json of a project's folder. */
export interface TasksFile {
  /** What messages call it: clients see them, so it says nothing of where the project's folder lies. */
  label: string;
  /** The SHA-256 of what is there now, or `absent`; the file is only read when the file system shows a change. */
  hash(): string;
  /** Undefined when there is none. Throws unavailable when it is no UTF-8. */
  read(): FileText | undefined;
  /** Writes beside the file what is to become of it; durable when this resolves. */
  draft(text: string): Promise<FileDraft>;
  /** Installs what a crash left drafted, if it is this; false when there is no such draft. */
  finish(sha256: string): Promise<boolean>;
}

interface FileDraft {
  /** Of its bytes, in hex. */
  sha256: string;
  /** Puts it into the place of the file, for good. */
  install(): Promise<void>;
  discard(): Promise<void>;
}

export function openTasksFile(root: string): TasksFile {
  const label = ".taskmaster/tasks/tasks.json";
  const file = path.join(root, label);
  let known: { identity: string; hash: string } | undefined;

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
    return found === undefined ? absent : `${found.ino} ${found.mtimeNs} ${found.ctimeNs} ${found.size}`;
  };

  const load = () => {
    // Before the bytes: a change in between shows as one at the next look.
    const identity = identify();
    const bytes = identity === absent ? undefined : readFileSync(file);
    const hash = bytes === undefined ? absent : hashOf(bytes);
    known = { identity, hash };
    return { bytes, hash };
  };

  const install = async (draft: string, place: string, hash: string) => {
    await rename(draft, place);
    known = { identity: identify(), hash };
    await syncDirectory(path.dirname(place));
  };

  return {
    label,

    hash() {
      if (known?.identity !== identify()) load();
      return known?.hash ?? absent;
    },

    read() {
      const { bytes, hash } = load();
      if (bytes === undefined) return undefined;
      try {
        const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
        return { text, sha256: hash };
      } catch (error) {
        throw new AppError("unavailable", `${label} is no text in UTF-8; save it as that.`, { cause: error });
      }
    },

    async draft(text) {
      const place = target();
      const mode = (statSync(place, { throwIfNoEntry: false })?.mode ?? 0o644) & 0o777;
      const draft = await writeDraft(place, text, mode);
      const sha256 = hashOf(text);
      return {
        sha256,
        install: async () => await install(draft, place, sha256),
        discard: async () => await rm(draft, { force: true }),
      };
    },

    async finish(sha256) {
      const [place, draft] = [target(), draftOf(target())];
      const left = await readFile(draft).catch(() => undefined);
      if (left === undefined || hashOf(left) !== sha256) return false;
      await install(draft, place, sha256);
      return true;
    },
  };
}

/** SHA-256, in hex. */
function hashOf(content: string | Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}
