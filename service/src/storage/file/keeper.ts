import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../../core/errors.ts";
import { adoptFile, adoptProject } from "./adopt.ts";
import type { Committed } from "./committed.ts";
import { enforce } from "./constraints.ts";
import type { Journal } from "./journal.ts";
import { type ChangeSet, changesIn, createDraft, type Draft, fileId, type Reading } from "./model.ts";
import { createRenderer } from "./render.ts";
import { byId, compare } from "./rows.ts";
import type { FileText, TasksFile } from "./tasks-file.ts";

/** Keeps the committed rows and tasks.json one: writes both, and takes in what others do to the file. */
export interface Keeper {
  /** Whether the file is another than the rows say; cheap as long as it is not touched. */
  isStale(): boolean;
  /**
   * Brings both together again, after a crash or an edit by somebody else; true when rows have changed. Only under the
   * process lock. Throws unavailable, and changes nothing, when the file is gone or cannot be read.
   */
  reconcile(): Promise<boolean>;
  /** Writes the changes for good, and makes them the committed state; when it throws, nothing has changed. */
  persist(draft: Draft): Promise<void>;
  /** The committed rows are others than this keeper has made them. */
  forget(): void;
}

interface KeeperParts {
  journal: Journal;
  file: TasksFile;
  committed: Committed;
  /** Of the project's folder: what its project is called. */
  name: string;
}

export function createKeeper({ journal, file, committed, name }: KeeperParts): Keeper {
  const { rows } = committed;
  const render = createRenderer();
  /** The text that the committed rows give, once it was needed: what a change does not touch is not written. */
  let rendered: string | undefined;

  const persist = async (draft: Draft) => {
    const state = draft.file.get(fileId);
    let text: string | undefined;
    if (state !== undefined && concernsFile(rows, changesIn(draft), state.projectId)) {
      const before = rows.projects.get(state.projectId);
      rendered ??= before === undefined ? "" : render(rows, state.projectId);
      const after = render(draft, state.projectId);
      if (after !== rendered) text = after;
    }
    const written = text === undefined ? undefined : await file.draft(text);
    if (state !== undefined && written !== undefined) {
      draft.file.put({ ...state, sha256: written.sha256, replaced: state.sha256 });
    }
    const changes = changesIn(draft);
    try {
      await journal.append(changes);
    } catch (error) {
      await written?.discard();
      throw error;
    }
    try {
      await written?.install();
    } catch (error) {
      await committed.revoke();
      await written?.discard();
      throw error;
    }
    committed.apply(changes);
    if (text !== undefined) rendered = text;
  };

  /** Not every program writes a file at once, so one that cannot be read is looked at again for a moment. */
  const patiently = async <T>(found: FileText, adopt: (found: FileText) => T): Promise<T> => {
    for (let look = 1, current = found; ; look += 1) {
      try {
        return adopt(current);
      } catch (error) {
        if (look === 5 || !(error instanceof AppError)) throw error;
        await sleep(look * 10);
        current = file.read() ?? current;
      }
    }
  };

  return {
    persist,

    isStale() {
      const state = rows.file.get(fileId);
      return state === undefined ? rows.organizations.all().length > 0 : file.hash() !== state.sha256;
    },

    async reconcile() {
      const state = rows.file.get(fileId);
      const hash = file.hash();
      if (hash === state?.sha256) return false;
      // Drafted and committed, but not installed when its process died.
      if (state !== undefined && hash === state.replaced && (await file.finish(state.sha256))) return false;
      const found = file.read();
      const draft = createDraft(rows);
      if (state === undefined) {
        const [first] = rows.organizations
          .all()
          .sort((a, b) => compare(a.createdAt, b.createdAt) || byId(a, b));
        if (first === undefined) return false;
        committed.number(
          draft,
          adoptProject(draft, { organizationId: first.id, name, label: file.label }, found),
        );
        if (found === undefined) {
          await persist(draft);
          return true;
        }
      } else {
        if (found === undefined) throw missing(file.label);
        const events = await patiently(found, (text) => adoptFile(draft, state, text, file.label));
        committed.number(draft, events);
      }
      enforce(draft, changesIn(draft));
      const changes = changesIn(draft);
      await journal.append(changes);
      committed.apply(changes);
      rendered = undefined;
      return true;
    },

    forget() {
      rendered = undefined;
    },
  };
}

/** Whether the changes touch a row that tasks.json shows something of. */
function concernsFile(rows: Reading, { puts, removed }: ChangeSet, projectId: string): boolean {
  const tags = [...rows.tags.where("project", projectId), ...(puts.tags ?? [])];
  const tagIds = new Set(tags.filter((tag) => tag.projectId === projectId).map(({ id }) => id));
  return (
    (puts.projects ?? []).some(({ id }) => id === projectId) ||
    (puts.tags ?? []).some((tag) => tagIds.has(tag.id)) ||
    (removed.tags ?? []).some((id) => tagIds.has(id)) ||
    (puts.tasks ?? []).some((task) => tagIds.has(task.tagId)) ||
    (removed.tasks ?? []).some((id) => rows.tasks.get(id)?.projectId === projectId) ||
    (puts.dependencies ?? []).some((edge) => tagIds.has(edge.tagId)) ||
    (removed.dependencies ?? []).some((id) => tagIds.has(rows.dependencies.get(id)?.tagId ?? ""))
  );
}

function missing(label: string): AppError {
  return new AppError(
    "unavailable",
    `${label} is gone. Put it back (git checkout -- ${label}), or move .taskmaster/task-master-pro away to begin anew.`,
  );
}
