/** Where a defect was met, in the program's own words: nothing of it may come from a client. */
export interface DefectPlace {
  part: "rest" | "mcp" | "upkeep" | "webhooks" | "process";
  /** The route's template, the tool, the work, or how the process ended. */
  what: string;
  method?: string;
  /** As in the log. A client may have chosen it. */
  requestId?: string;
}

/** Tells of a defect to whoever mends the program, beside the log. Never throws and never waits. */
export type TellDefect = (error: unknown, place: DefectPlace) => void;
