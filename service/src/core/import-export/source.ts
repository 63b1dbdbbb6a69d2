/**
 * What an import keeps so that an export can give the same file back: the members of each object in their order, each
 * with the JSON text of its value where the product's own fields do not say exactly the same. `null` stands for
 * "write what the fields say".
 *
 * The third element stands only on an `id` that the file does not say or that cannot be used: the local id that
 * quarantine gave instead. With a null text the member was missing.
 */
export type MemberSource = [key: string, raw: string | null, localId?: string];

/** The file: its form, its top-level members in order, and whether it ended in a newline. */
export interface ProjectSource {
  form: "tagged" | "flat" | "array";
  members: ({ tag: string } | { key: string; raw: string })[];
  finalNewline: boolean;
}

/** A tag as imported: the name it had in the file, and its members ("tasks" has a null text); a bare list has none. */
export interface TagSource {
  importedAs: string;
  members: MemberSource[] | null;
}
