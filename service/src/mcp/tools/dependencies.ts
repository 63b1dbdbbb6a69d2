import { Type } from "typebox";
import { QuarantinedDependency, TaskSummary } from "../../core/index.ts";
import { firstThatFit } from "../budget.ts";
import { changing, Id, keyed, place, placed, placeOf, referenceIn } from "../place.ts";
import { defineTool, reads, removes, sets, type Tool } from "../tool.ts";

const Total = Type.Integer({ description: "How many there are; the answer may show fewer." });

const addDependency = defineTool({
  name: "add_dependency",
  title: "Make a task wait for another",
  description:
    "Make a task (id) wait for another (dependsOn) of the same tag. Refused with cycle, naming its path, where the two " +
    "would wait for each other. Nothing happens when it waits already.",
  mode: "standard",
  annotations: sets,
  input: { ...changing, id: Id, dependsOn: Id },
  output: { ...placed, dependsOn: Type.Array(TaskSummary, { description: "All that the task waits for." }) },
  async run(given, { id, dependsOn, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const list = await call.core.dependencies.add(
      call.ctx,
      referenceIn(where, id),
      referenceIn(where, dependsOn),
    );
    return {
      text: `Task ${id} waits for ${list.dependsOn.map(({ localId }) => localId).join(", ")}, in tag ${where.tag}.`,
      content: { ...where, dependsOn: list.dependsOn },
    };
  },
});

const removeDependency = defineTool({
  name: "remove_dependency",
  title: "Let a task wait no longer",
  description:
    "Take away that a task (id) waits for another (dependsOn). Refused with not_found when it does not.",
  mode: "standard",
  annotations: sets,
  input: { ...changing, id: Id, dependsOn: Id },
  output: { ...placed, id: Type.String(), dependsOn: Type.String() },
  async run(given, { id, dependsOn, ...input }) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    await call.core.dependencies.remove(call.ctx, referenceIn(where, id), referenceIn(where, dependsOn));
    return {
      text: `Task ${id} does not wait for ${dependsOn} any more, in tag ${where.tag}.`,
      content: { ...where, id, dependsOn },
    };
  },
});

const validateDependencies = defineTool({
  name: "validate_dependencies",
  title: "Check a tag's dependencies",
  description:
    "List the dependencies that an import brought and that cannot hold (missing tasks, cycles, two meanings). All others " +
    "are sound always: no change can break them.",
  mode: "standard",
  annotations: reads,
  input: place,
  output: { ...placed, valid: Type.Boolean(), total: Total, problems: Type.Array(QuarantinedDependency) },
  async run(call, input) {
    const where = await placeOf(call, input);
    const { valid, problems } = await call.core.dependencies.validate(call.ctx, where.project, where.tag);
    return {
      text: valid
        ? `All dependencies of tag ${where.tag} hold.`
        : `${problems.length} dependencies of tag ${where.tag} cannot hold.`,
      content: { ...where, valid, total: problems.length, problems: firstThatFit(problems) },
    };
  },
});

const fixDependencies = defineTool({
  name: "fix_dependencies",
  title: "Mend a tag's dependencies",
  description:
    "Activate the imported dependencies that can hold by now, and remove those that cannot, for good. Look at them with " +
    "validate_dependencies first.",
  mode: "all",
  annotations: removes,
  input: changing,
  output: {
    ...placed,
    activated: Type.Array(QuarantinedDependency),
    removed: Type.Array(QuarantinedDependency),
    totals: Type.Object({ activated: Total, removed: Total }, { additionalProperties: false }),
  },
  async run(given, input) {
    const call = keyed(given, input);
    const where = await placeOf(call, input);
    const { activated, removed } = await call.core.dependencies.fix(call.ctx, where.project, where.tag);
    return {
      text: `Tag ${where.tag}: ${activated.length} dependencies activated, ${removed.length} removed.`,
      content: {
        ...where,
        activated: firstThatFit(activated),
        removed: firstThatFit(removed),
        totals: { activated: activated.length, removed: removed.length },
      },
    };
  },
});

export const dependencyTools: Tool[] = [
  addDependency,
  removeDependency,
  validateDependencies,
  fixDependencies,
];
