import { constantRate } from "./bench.ts";

export const options = constantRate();
export { handleSummary, listTasks as default } from "./bench.ts";
