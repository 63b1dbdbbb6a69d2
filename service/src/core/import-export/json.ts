import { isObject, isSame } from "../json.ts";
import { type JsonMember, type JsonNode, nodeValue, parseJson } from "./parse.ts";

/** The node's text without white space between its tokens; numbers and texts stay as they are written. */
export function compact(node: JsonNode, text: string): string {
  if (node.kind === "object") {
    const members = node.members.map((member) => `${nameText(member, text)}:${compact(member.value, text)}`);
    return `{${members.join(",")}}`;
  }
  if (node.kind === "array") {
    return `[${node.items.map((item) => compact(item, text)).join(",")}]`;
  }
  return text.slice(node.start, node.end);
}

function nameText(member: JsonMember, text: string): string {
  return text.slice(member.start, member.end);
}

/**
 * The text for a value that was imported as `raw` and may have changed since: what still says the same keeps its
 * text and place, so a change of one member is a change of one line.
 */
export function updateText(raw: string, value: unknown): string {
  const { root, text } = parseJson(raw);
  return root === undefined ? JSON.stringify(value) : updateNode(root, text, value);
}

function updateNode(node: JsonNode, text: string, value: unknown): string {
  if (isSame(nodeValue(node, text), value)) {
    return compact(node, text);
  }
  if (node.kind !== "object" || !isObject(value)) {
    return JSON.stringify(value);
  }
  const kept = node.members.filter((member) => Object.hasOwn(value, member.key));
  const names = new Set(kept.map((member) => member.key));
  const added = Object.keys(value).filter((key) => !names.has(key));
  const members = [
    ...kept.map((member) => `${nameText(member, text)}:${updateNode(member.value, text, value[member.key])}`),
    ...added.map((key) => `${JSON.stringify(key)}:${JSON.stringify(value[key])}`),
  ];
  return `{${members.join(",")}}`;
}

/** Writes JSON as JSON.stringify does with an indentation of two spaces. */
export interface JsonWriter {
  open(bracket: "{" | "["): void;
  close(bracket: "}" | "]"): void;
  /** The name of the next value, inside an object. */
  key(name: string): void;
  /** A value as JSON without white space between its tokens. */
  value(json: string): void;
  /** A value as another writer has written it, for this depth. */
  written(text: string): void;
  toString(): string;
}

/** `depth` is how many objects and lists lie around what is written. */
export function createJsonWriter(depth = 0): JsonWriter {
  const chunks: string[] = [];
  const open: { list: boolean; empty: boolean }[] = [];
  const breaks: string[] = [];

  const newline = (): void => {
    const at = depth + open.length;
    breaks[at] ??= `\n${"  ".repeat(at)}`;
    chunks.push(breaks[at] ?? "");
  };
  const next = (): void => {
    const container = open.at(-1);
    if (container !== undefined) {
      if (!container.empty) {
        chunks.push(",");
      }
      container.empty = false;
      newline();
    }
  };
  const nextItem = (): void => {
    if (open.at(-1)?.list === true) {
      next();
    }
  };

  const writer: JsonWriter = {
    open(bracket) {
      nextItem();
      chunks.push(bracket);
      open.push({ list: bracket === "[", empty: true });
    },
    close(bracket) {
      if (open.pop()?.empty === false) {
        newline();
      }
      chunks.push(bracket);
    },
    key(name) {
      next();
      chunks.push(JSON.stringify(name), ": ");
    },
    value(json) {
      if (!json.startsWith("{") && !json.startsWith("[")) {
        nextItem();
        chunks.push(json);
        return;
      }
      // By hand and without recursion: an expression over whole texts runs out of stack on one of a few megabytes.
      let at = 0;
      while (at < json.length) {
        const first = json.charAt(at);
        let end = at + 1;
        if (first === "{" || first === "[") {
          writer.open(first);
        } else if (first === "}" || first === "]") {
          writer.close(first);
        } else if (first !== ",") {
          end = first === '"' ? textEnd(json, at) : scalarEnd(json, at);
          if (json.charAt(end) === ":") {
            next();
            chunks.push(json.slice(at, end), ": ");
            end += 1;
          } else {
            nextItem();
            chunks.push(json.slice(at, end));
          }
        }
        at = end;
      }
    },
    written(text) {
      nextItem();
      chunks.push(text);
    },
    toString: () => chunks.join(""),
  };
  return writer;
}

/** The offset behind the text that begins at `start`. */
function textEnd(json: string, start: number): number {
  let quote = start;
  let escapes: number;
  do {
    quote = json.indexOf('"', quote + 1);
    escapes = 0;
    while (json.charAt(quote - 1 - escapes) === "\\") {
      escapes += 1;
    }
  } while (escapes % 2 === 1);
  return quote + 1;
}

/** The offset behind the number or word that begins at `start`. */
function scalarEnd(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && !",]}".includes(json.charAt(at))) {
    at += 1;
  }
  return at;
}
