import { constantRate } from "./bench.ts";

export const options = constantRate();
export { createTask as default, handleSummary } from "./bench.ts";
