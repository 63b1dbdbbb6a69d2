import { constantRate } from "./bench.ts";

export const options = constantRate();
export { getTask as default, handleSummary } from "./bench.ts";
