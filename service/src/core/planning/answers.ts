import { type Static, type TProperties, Type } from "typebox";
import { Priority, strict } from "../schema.ts";

/** The forms of what is asked of a language model. Its ids are its own, good within one answer; the server gives real ones. */
const title = Type.String({ minLength: 1, maxLength: 500, pattern: "\\S" });
const text = Type.String({ maxLength: 20_000 });
const words = { title, description: text, details: text, testStrategy: text };

const id = Type.Integer({ minimum: 1, maximum: 1000, description: "Counted from 1, in the order of work." });
const waitsFor = Type.Array(Type.Integer({ minimum: 1, maximum: 1000 }), {
  maxItems: 50,
  description: "The ids, in this answer, of what must be done before.",
});
const numbered = <P extends TProperties>(more: P) =>
  Type.Object({ id, ...words, ...more, dependencies: waitsFor }, strict);

export const SubtasksAnswer = Type.Object(
  { subtasks: Type.Array(numbered({}), { minItems: 1, maxItems: 50 }) },
  strict,
);
export const TasksAnswer = Type.Object(
  { tasks: Type.Array(numbered({ priority: Priority }), { minItems: 1, maxItems: 100 }) },
  strict,
);
export const ComplexityAnswer = Type.Object(
  {
    tasks: Type.Array(
      Type.Object(
        {
          id: Type.String({ description: "The id that the task has in the question." }),
          score: Type.Number({ minimum: 1, maximum: 10, description: "10 is the most complex." }),
          recommendedSubtasks: Type.Integer({ minimum: 0, maximum: 50 }),
          expansionPrompt: text,
          reasoning: text,
        },
        strict,
      ),
    ),
  },
  strict,
);
export const DraftAnswer = Type.Object({ ...words, priority: Priority }, strict);
export const RevisionAnswer = Type.Object(words, strict);
export const NoteAnswer = Type.Object({ note: Type.String({ minLength: 1, maxLength: 20_000 }) }, strict);

export type Numbered = Pick<
  Static<typeof SubtasksAnswer>["subtasks"][number],
  "id" | "title" | "description" | "details" | "testStrategy" | "dependencies"
>;

/** What is wrong with the numbers of a list: each once, each that is waited for there, and nothing waiting for itself. */
export function numberFaults(items: Pick<Numbered, "id" | "dependencies">[]): string[] {
  const ids = new Set(items.map(({ id: own }) => own));
  if (ids.size < items.length) return ["Two of them have the same id."];
  const faults = items.flatMap(({ id: own, dependencies }) =>
    dependencies.filter((one) => !ids.has(one)).map((one) => `${own} waits for ${one}, which is not there.`),
  );
  return faults.length > 0 ? faults : cycleFaults(items);
}

function cycleFaults(items: Pick<Numbered, "id" | "dependencies">[]): string[] {
  const left = new Map(items.map(({ id: own, dependencies }) => [own, dependencies]));
  for (let before = -1; before !== left.size; ) {
    before = left.size;
    for (const [own, dependencies] of left) {
      if (!dependencies.some((one) => left.has(one))) left.delete(own);
    }
  }
  return left.size === 0 ? [] : [`These wait for each other in a circle: ${[...left.keys()].join(", ")}.`];
}
