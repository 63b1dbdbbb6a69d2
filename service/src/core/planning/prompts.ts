import type { TaskRecord } from "../storage.ts";

/** Long texts are cut for the model: what a task is about stands at the beginning. */
const maximumText = 20_000;

/** What a model is told of a task. */
export function contextOf(task: TaskRecord): Record<string, unknown> {
  const { localId, title, description, details, testStrategy, status, priority, dependencies } = task;
  const cut = (text: string) => text.slice(0, maximumText);
  return {
    id: localId,
    title,
    description: cut(description),
    details: cut(details),
    testStrategy: cut(testStrategy),
    status,
    priority,
    dependencies,
  };
}

const numbering =
  "Number them from 1 in the order in which they are best done. In dependencies name, by these numbers, what must be " +
  "done before; leave it empty where nothing must.";
const words =
  "Write title (a few words, what is to be done), description (one or two sentences), details (what whoever does it " +
  "must know) and testStrategy (how to see that it is done). Write in the language of what you are given.";

export const instructions = {
  expand: (count: number | undefined) =>
    `Break the task down into ${count === undefined ? "between 2 and 10" : `exactly ${count}`} subtasks that together do all of it ` +
    `and nothing else. ${words} ${numbering} Where there are wishes or a hint, follow what they say about the subtasks.`,
  parse: (count: number | undefined) =>
    `Make ${count === undefined ? "as many tasks as it needs, at most 30," : `about ${count} tasks`} of the requirements document, so that whoever ` +
    `does them all has done what it asks for. ${words} ${numbering} Give each a priority. Leave out what is present already.`,
  analyze:
    "Judge how complex each of the tasks is for one developer or coding agent. Answer for every one of them, once, by its " +
    "id: score (1 is trivial, 10 is the most complex), recommendedSubtasks (0 where it needs none), expansionPrompt (what " +
    "to look to when it is broken down) and reasoning (one or two sentences).",
  draft: `Write one task that does what the wishes say. ${words} Give it a priority. Do not repeat a task that is present.`,
  revise:
    `Revise the task as the wishes say, and leave everything else in it as it is. ${words} Answer with all four texts, ` +
    "also those that stay.",
  note: "Write the note that the wishes ask for, to be added to the task's details. Answer with the note alone.",
};
