/** JSON by RFC 8259: no name twice, no NaN, and numbers that keep their text (SPEC.md section 2.1). */

import { Invalid, RecipeError } from "./errors.js";

/** A number as it is written: a float64 cannot hold every seed, and 2.0 is not an integer. */
export class JsonNumber {
  constructor(readonly text: string) {}
  /** True if it is written without fraction and exponent. */
  get isInteger(): boolean {
    return /^-?[0-9]+$/.test(this.text);
  }
  /** The nearest float64; +0 for -0. */
  get value(): number {
    return Number(this.text) + 0;
  }
}

export type Json = null | boolean | string | JsonNumber | Json[] | JsonObject;
export type JsonObject = Map<string, Json>;

/** Most objects and arrays within one another. A recipe has fewer than 100. */
const MAX_DEPTH = 200;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Parser {
  at = 0;
  constructor(readonly text: string) {}

  fail(detail: string): never {
    throw new Invalid(`not JSON: ${detail} at character ${this.at}`);
  }

  match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) return null;
    this.at = pattern.lastIndex;
    return found[0];
  }

  take(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  value(depth: number): Json {
    if (depth > MAX_DEPTH) this.fail("nested too deeply");
    this.match(SPACE);
    let found: Json;
    const first = this.text[this.at];
    if (first === "{") found = this.object(depth);
    else if (first === "[") found = this.array(depth);
    else if (first === '"') found = this.string();
    else if (this.take("true")) found = true;
    else if (this.take("false")) found = false;
    else if (this.take("null")) found = null;
    else {
      const number = this.match(NUMBER);
      if (number === null) this.fail(first === undefined ? "the text ends too early" : "a value is expected");
      found = new JsonNumber(number);
    }
    this.match(SPACE);
    return found;
  }

  object(depth: number): JsonObject {
    const found: JsonObject = new Map();
    this.at++;
    this.match(SPACE);
    if (this.take("}")) return found;
    do {
      this.match(SPACE);
      if (this.text[this.at] !== '"') this.fail("a name in quotation marks is expected");
      const name = this.string();
      this.match(SPACE);
      if (!this.take(":")) this.fail("a colon is expected");
      if (found.has(name)) throw new Invalid("this name is twice in one object", [name]);
      try {
        found.set(name, this.value(depth + 1));
      } catch (error) {
        throw error instanceof Invalid && error.path.length ? error.within(name) : error;
      }
    } while (this.take(","));
    if (!this.take("}")) this.fail("a comma or } is expected");
    return found;
  }

  array(depth: number): Json[] {
    const found: Json[] = [];
    this.at++;
    this.match(SPACE);
    if (this.take("]")) return found;
    do {
      try {
        found.push(this.value(depth + 1));
      } catch (error) {
        throw error instanceof Invalid && error.path.length ? error.within(found.length) : error;
      }
    } while (this.take(","));
    if (!this.take("]")) this.fail("a comma or ] is expected");
    return found;
  }

  string(): string {
    let found = "";
    this.at++;
    for (;;) {
      found += this.match(PLAIN);
      if (this.take('"')) return found;
      if (!this.take("\\")) this.fail("a string ends too early, or has a control character");
      const escape = this.text[this.at++] ?? "";
      if (escape === "u") {
        const digits = this.text.slice(this.at, this.at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("\\u needs four hexadecimal digits");
        found += String.fromCharCode(parseInt(digits, 16));
        this.at += 4;
      } else {
        if (!Object.hasOwn(ESCAPES, escape)) this.fail("an unknown escape");
        found += ESCAPES[escape];
      }
    }
  }
}

/** Return the JSON value of a text, or of its UTF-8 bytes. Throws `RecipeError` where it is not JSON. */
export function parseJson(text: string | Uint8Array): Json {
  let decoded: string;
  try {
    decoded = typeof text === "string" ? text : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text);
  } catch {
    throw new RecipeError([{ pointer: "", detail: "the text is not UTF-8" }]);
  }
  const parser = new Parser(decoded);
  try {
    const found = parser.value(0);
    if (parser.at !== decoded.length) parser.fail("there is text after the value");
    return found;
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
    const path = error.path.map((part) => "/" + String(part).replaceAll("~", "~0").replaceAll("/", "~1")).join("");
    throw new RecipeError([{ pointer: path, detail: error.detail }]);
  }
}

/**
 * Return a JavaScript value as JSON. Integers may be `bigint`. A number beyond 2^53 - 1 counts as a real, since it may
 * have been rounded.
 */
export function toJson(value: unknown, depth = 0): Json {
  if (depth > MAX_DEPTH) throw new RecipeError([{ pointer: "", detail: "the recipe is nested too deeply" }]);
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "bigint") return new JsonNumber(String(value));
  if (typeof value === "number") {
    const text = String(value);
    return new JsonNumber(
      Number.isInteger(value) && !Number.isSafeInteger(value) && !/e/.test(text) ? text + "e0" : text,
    );
  }
  if (Array.isArray(value)) return Array.from(value, (each) => toJson(each, depth + 1)); // map would skip holes
  if (value instanceof JsonNumber) return value;
  if (value instanceof Map) return new Map([...value].map(([name, each]) => [String(name), toJson(each, depth + 1)]));
  if (typeof value === "object") {
    return new Map(
      Object.entries(value)
        .filter(([, each]) => each !== undefined)
        .map(([name, each]) => [name, toJson(each, depth + 1)]),
    );
  }
  throw new RecipeError([{ pointer: "", detail: `a recipe has no values of type ${typeof value}` }]);
}

/** Return a text of a value. Values of the same types with the same spelling have the same text. */
export function textOf(value: Json): string {
  if (value instanceof JsonNumber) return value.text;
  if (Array.isArray(value)) return `[${value.map(textOf).join()}]`;
  if (value instanceof Map)
    return `{${[...value].map(([name, each]) => `${JSON.stringify(name)}:${textOf(each)}`).join()}}`;
  return JSON.stringify(value);
}
