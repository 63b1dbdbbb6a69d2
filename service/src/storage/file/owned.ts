import type { Tx } from "./engine.ts";
import type { Rows, TableName } from "./model.ts";

type Owned = { [N in TableName]: Rows[N] extends { organizationId: string } ? N : never }[TableName];

/** An organization's rows: another's are as if they were not there. */
export function owned(organizationId: string) {
  const own = <R extends { organizationId: string }>(row: R | undefined): R | undefined =>
    row?.organizationId === organizationId ? row : undefined;

  return {
    own,

    /** The row as it is behind its lock: while we waited it may have changed, or have gone. */
    async getLocked<N extends Owned>(tx: Tx, table: N, id: string): Promise<Rows[N] | undefined> {
      if (own(tx.rows[table].get(id)) === undefined) return undefined;
      await tx.lock(table, id);
      return own<Rows[N]>(tx.rows[table].get(id));
    },
  };
}
