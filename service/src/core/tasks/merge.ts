import { isObject } from "../json.ts";
import type { JsonObject } from "../schema.ts";

/** RFC 7396 on an object: null removes a member, an object is merged, anything else replaces. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const result = new Map(Object.entries(target));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else if (isObject(value)) {
      const old = result.get(key);
      result.set(key, mergePatch(isObject(old) ? old : {}, value));
    } else result.set(key, value);
  }
  return Object.fromEntries(result);
}
