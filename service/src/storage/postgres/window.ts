/**
 * The oldest migration that this program can run on. A database that has more is accepted: migrations only add while
 * two programs share one database, so that a rollout and its way back need no downtime.
 */
export const schemaMinimum = "20261123000000_init";
