import { constantRate } from "./bench.ts";

export const options = constantRate();
export { callTool as default, handleSummary } from "./bench.ts";
