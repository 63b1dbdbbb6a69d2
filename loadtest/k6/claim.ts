import { constantRate } from "./bench.ts";

export const options = constantRate();
export { claimAndComplete as default, handleSummary } from "./bench.ts";
