/** Where the fields of a recipe are in its text, which may not be valid JSON yet. */

export type Span = readonly [number, number];

interface Container {
  readonly kind: "object" | "array";
  readonly pointer: string;
  /** Texts of the members that are not containers, as JSON. */
  readonly members: Map<string, string>;
  readonly parent: Container | null;
  key: string | null;
  index: number;
  isAfterColon: boolean;
}

/** A place of the text, and the member that belongs there. */
export interface Place {
  readonly role: "key" | "value";
  /** The object around the place, with its members also behind the place. */
  readonly container: Container;
  /** The member to which the value belongs. */
  readonly key: string | null;
  /** The string at the place, with its quotation marks; an empty span if there is none. */
  readonly token: Span;
}

export interface Located {
  /** The span of each value, by JSON pointer. */
  readonly values: ReadonlyMap<string, Span>;
  /** The span of each member's name, by the pointer of its value. */
  readonly names: ReadonlyMap<string, Span>;
  /** The place of the caret; null outside of objects and within numbers. */
  readonly place: Place | null;
}

const TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\]:,]|[^\s{}[\]:,"]+/g;

/** Return where the fields are, and what is at `caret`. */
export function locate(text: string, caret = -1): Located {
  const values = new Map<string, Span>(),
    names = new Map<string, Span>(),
    starts: number[] = [];
  let top: Container | null = null,
    place: Place | null = null,
    last = 0;
  const here = (): string => {
    if (!top) return "";
    return `${top.pointer}/${top.kind === "array" ? top.index : escaped(top.key ?? "")}`;
  };
  const note = (token: Span): void => {
    if (top) place = { role: top.kind === "object" && !top.isAfterColon ? "key" : "value", container: top, key: top.key, token };
  };
  for (const match of text.matchAll(TOKEN)) {
    const token = match[0],
      start = match.index,
      end = start + token.length;
    if (caret >= 0 && caret <= start && caret >= last && !place) note([caret, caret]);
    const isString = token.startsWith('"');
    // An open string is taken up to the caret only: what follows it on the line is not a part of it.
    if (isString && caret > start && caret < end + (isClosed(token) ? 0 : 1)) note([start, isClosed(token) ? end : caret]);
    last = end;
    if (token === "{" || token === "[") {
      const pointer = here();
      starts.push(start);
      const kind = token === "{" ? "object" : "array";
      top = { kind, pointer, members: new Map(), parent: top, key: null, index: 0, isAfterColon: false };
    } else if (token === "}" || token === "]") {
      if (!top) continue;
      values.set(top.pointer, [starts.pop()!, end]);
      top = top.parent;
    } else if (token === ",") {
      if (!top) continue;
      top.index++;
      top.isAfterColon = false;
      top.key = null;
    } else if (token === ":") {
      if (top) top.isAfterColon = true;
    } else if (top?.kind === "object" && !top.isAfterColon) {
      top.key = isString ? parsed(token) : token;
      names.set(here(), [start, end]);
    } else {
      values.set(here(), [start, end]);
      if (top?.key) top.members.set(top.key, token);
    }
  }
  if (caret >= last && !place) note([caret, caret]);
  for (let at: Container | null = top; at; at = at.parent) values.set(at.pointer, [starts.pop()!, text.length]);
  return { values, names, place };
}

const escaped = (name: string) => name.replaceAll("~", "~0").replaceAll("/", "~1");
const isClosed = (token: string) => token.length > 1 && /(?:^|[^\\])(?:\\\\)*"$/.test(token.slice(1));

/** Return the string of a token, which may be incomplete. */
export function parsed(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return token.replaceAll('"', "");
  }
}

/** Return the span to mark for a fault: that of the field, of its name, or of the nearest one around it. */
export function spanOf(text: string, { values, names }: Located, pointer: string, detail: string): Span {
  const character = /at character (\d+)$/.exec(detail);
  if (character) {
    const at = Math.min(Number(character[1]), Math.max(text.length - 1, 0));
    return [at, at + 1];
  }
  for (let path = pointer; ; path = path.slice(0, path.lastIndexOf("/"))) {
    const value = values.get(path);
    if (value && path === pointer && value[1] - value[0] < 200) return value;
    const found = names.get(path) ?? value;
    if (found) return path === "" ? [found[0], Math.min(found[0] + 1, text.length)] : found;
    if (!path) return [0, Math.min(1, text.length)];
  }
}

/** Return the text with another seed. Everything else of it stays. */
export function withSeed(text: string, seed: string): string {
  const { values } = locate(text),
    span = values.get("/seed");
  if (span) return text.slice(0, span[0]) + seed + text.slice(span[1]);
  const start = text.indexOf("{") + 1;
  if (!start) return text;
  const isEmpty = /^\s*\}/.test(text.slice(start));
  return `${text.slice(0, start)}"seed": ${seed}${isEmpty ? "" : ", "}${text.slice(start)}`;
}
