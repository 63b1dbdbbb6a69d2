import { constantRate } from "./bench.ts";

export const options = constantRate();
export { handleSummary, mixed as default } from "./bench.ts";
