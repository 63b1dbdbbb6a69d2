import { constantRate } from "./bench.ts";

export const options = constantRate();
export { handleSummary, updateTask as default } from "./bench.ts";
