/**
 * The oldest migration that this program can run on. A database that has more is accepted: migrations only add while
 * two programs share one database, so that a rollout and its way back need no downtime.
 */
export const schemaMinimum = "20261127050100_edges_out_of_order";

/**
 * The newest migration that this program knows. One that came later is accepted while it only expands; a contract step
 * takes away something that this program may still use.
 */
export const schemaKnown = "20261127050100_edges_out_of_order";
