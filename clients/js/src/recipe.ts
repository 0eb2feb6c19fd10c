/** The recipe: what a user asks for, its one canonical text, and its digest (SPEC.md sections 2 and 3). */

import { byCodeUnits, canonicalJson } from "./canonical.js";
import { dialectOf, inItsWords, translated } from "./dialects/index.js";
import type { DType } from "./dtypes.js";
import { FileError, type Fault, Invalid, RecipeError, pointer } from "./errors.js";
import { type Json, JsonNumber, type JsonObject, parseJson, textOf, toJson } from "./json.js";
import { MAX_NAMES, checkName, checkRepeated, countNames, writtenOut } from "./names.js";
import { type Defaults, type Tensor, asDType, tensorOf } from "./schemes/base.js";
import { SCHEMES } from "./schemes/index.js";
import { sha256 } from "./sha256.js";
import { instead } from "./suggestions.js";

export const STREAM = "fanin/1";
const ONLY_TENSOR = "weight";
const SEED = /^(?:0|[1-9][0-9]{0,19})$/;
const MAX_FAULTS = 100;
/** Most bytes of a header's JSON that the official reader of safetensors accepts. */
export const MAX_HEADER_BYTES = 100_000_000;
const MEMBERS = ["stream", "seed", "dtype", "layout", "dialect", "tensors", "repeated"];

/** Anything that stands for a recipe: its text, its UTF-8 bytes, an object, or a `Recipe`. */
export type RecipeLike = Recipe | string | Uint8Array | object;

export class Recipe {
  private text: string | null = null;
  private hash: string | null = null;

  constructor(
    readonly seed: bigint,
    /** Tensors by name. Those of one repeated name are one object. */
    readonly tensors: ReadonlyMap<string, Tensor>,
  ) {}

  /** Return the recipe that a text, bytes or an object stand for. Throws `RecipeError`. */
  static from(recipe: RecipeLike): Recipe {
    if (recipe instanceof Recipe) return recipe;
    return recipeOf(typeof recipe === "string" || recipe instanceof Uint8Array ? parseJson(recipe) : toJson(recipe));
  }

  /** The canonical text (RFC 8785). All spellings of one recipe have the same text. */
  get canonical(): string {
    if (this.text === null) {
      const texts = new Map<Tensor, string>();
      const members = [...this.tensors.keys()].sort(byCodeUnits).map((name) => {
        const tensor = this.tensors.get(name)!;
        let text = texts.get(tensor);
        if (text === undefined) texts.set(tensor, (text = canonicalJson(tensor.canonical())));
        return `${JSON.stringify(name)}:${text}`;
      });
      this.text = `{"seed":"${this.seed}","stream":"${STREAM}","tensors":{${members.join(",")}}}`;
    }
    return this.text;
  }

  /** SHA-256 of the canonical text, 64 hexadecimal digits. */
  get digest(): string {
    return (this.hash ??= sha256(this.canonical));
  }

  /** Return the recipe with another seed, a number or its decimal digits. */
  seeded(seed: number | bigint | string): Recipe {
    try {
      return new Recipe(asSeed(toJson(seed)), this.tensors);
    } catch (error) {
      throw error instanceof Invalid ? new RecipeError([{ pointer: "/seed", detail: error.detail }]) : error;
    }
  }
}

function asSeed(json: Json): bigint {
  const text =
    typeof json === "string" && SEED.test(json)
      ? json
      : json instanceof JsonNumber && json.isInteger && json.text.length < 30
        ? json.text
        : null;
  const value = text === null ? -1n : BigInt(text);
  if (value < 0n || value >= 2n ** 64n) {
    throw new Invalid(
      "must be an integer from 0 to 2^64 - 1, as a number (a bigint beyond 2^53 - 1) or a decimal string",
    );
  }
  return value;
}

/** Return the recipe of a JSON value. */
function recipeOf(json: Json): Recipe {
  if (!(json instanceof Map)) throw new RecipeError([{ pointer: "", detail: "a recipe is a JSON object" }]);
  const isShort = !json.has("tensors") && (json.has("shape") || json.has("scheme"));
  const document = isShort ? long(json) : json;
  const faults: Invalid[] = [];
  const found = read(document, faults);
  if (faults.length || !found) throw new RecipeError(faults.slice(0, MAX_FAULTS).map((each) => asFault(each, isShort)));
  return found;
}

function asFault({ detail, path }: Invalid, isShort: boolean): Fault {
  const isOwn = isShort && path[0] === "tensors" && path[1] === ONLY_TENSOR;
  return { pointer: pointer(isOwn ? path.slice(2) : path), detail };
}

/** Return the recipe that the short form of section 2.4 stands for. */
function long(document: JsonObject): JsonObject {
  const shared: JsonObject = new Map(),
    tensor: JsonObject = new Map();
  for (const [name, value] of document) {
    (["stream", "seed", "dtype", "layout", "dialect"].includes(name) ? shared : tensor).set(name, value);
  }
  return shared.set("tensors", new Map([[ONLY_TENSOR, tensor]]));
}

function read(document: JsonObject, faults: Invalid[]): Recipe | null {
  const member = <T>(name: string, fallback: T, parse: (json: Json) => T): T => {
    if (!document.has(name)) return fallback;
    try {
      return parse(document.get(name)!);
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      faults.push(error.within(name));
      return fallback;
    }
  };
  const oneOf =
    (...words: string[]) =>
    (json: Json): string => {
      if (typeof json !== "string" || !words.includes(json)) throw new Invalid(`must be one of ${words.join(", ")}`);
      return json;
    };
  for (const name of document.keys())
    if (!MEMBERS.includes(name)) faults.push(new Invalid(`a recipe has no such member${instead(name, MEMBERS)}`, [name]));
  member("stream", STREAM, oneOf(STREAM));
  const seed = member("seed", 0n, asSeed);
  const dtype = member<DType | undefined>("dtype", undefined, asDType);
  const layout = member<string | undefined>("layout", undefined, oneOf("keras", "torch"));
  const before = faults.length;
  const dialect = member("dialect", "fanin", dialectOf);
  if (faults.length > before) return null; // nobody knows what the tensors mean
  const defaults: Defaults = { ...(dtype && { dtype }), ...(layout !== undefined && { layout }) };
  const tensors = objects(document, "tensors", true, faults),
    repeated = objects(document, "repeated", false, faults);
  const total = [...repeated.keys()].reduce((sum, name) => sum + countNames(name), tensors.size);
  if (document.has("repeated") && total > MAX_NAMES) {
    faults.push(new Invalid(`${total} tensors; no file has more than ${MAX_NAMES}`, ["repeated"]));
    return null;
  }
  return gathered(seed, tensors, repeated, dialect, defaults, faults);
}

function objects(document: JsonObject, name: string, isRequired: boolean, faults: Invalid[]): JsonObject {
  const found = document.get(name);
  if (found instanceof Map) return found;
  if (found !== undefined) faults.push(new Invalid("must be an object of tensors by name", [name]));
  else if (isRequired) faults.push(new Invalid("this field is required", [name]));
  return new Map();
}

function gathered(
  seed: bigint,
  tensors: JsonObject,
  repeated: JsonObject,
  dialect: string,
  defaults: Defaults,
  faults: Invalid[],
): Recipe {
  const found = new Map<string, Tensor>(),
    known = new Map<string, Tensor>();
  for (const [member, given, check] of [
    ["tensors", tensors, checkName],
    ["repeated", repeated, checkRepeated],
  ] as const) {
    for (const [name, json] of given) {
      if (faults.length >= MAX_FAULTS) break;
      const own: Invalid[] = [];
      try {
        check(name);
      } catch (error) {
        if (!(error instanceof Invalid)) throw error;
        own.push(error);
      }
      // Most tensors of a recipe are equal to others. They are validated once, and share one object.
      const key = textOf(json);
      const tensor = known.get(key) ?? one(json, dialect, defaults, own);
      if (tensor) known.set(key, tensor);
      faults.push(...own.map((each) => each.within(member, name)));
      if (own.length || !tensor) continue;
      for (const written of member === "repeated" ? writtenOut(name) : [name]) {
        if (found.has(written)) {
          faults.push(new Invalid(`${written} is named twice`, [member, name]));
          break;
        }
        found.set(written, tensor);
      }
    }
  }
  return new Recipe(seed, found);
}

function one(json: Json, dialect: string, defaults: Defaults, faults: Invalid[]): Tensor | null {
  if (!(json instanceof Map)) {
    faults.push(new Invalid("must be an object"));
    return null;
  }
  try {
    const own = json.has("dialect") ? dialectMember(json) : dialect;
    if (own === "fanin") {
      const members = new Map(json);
      members.delete("dialect");
      return tensorOf(members, SCHEMES, defaults, faults);
    }
    const inner: Invalid[] = [];
    const found = tensorOf(translated(json, own), SCHEMES, defaults, inner);
    faults.push(...inner.map((each) => inItsWords(json, own, each)));
    return found;
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
    faults.push(error);
    return null;
  }
}

function dialectMember(json: JsonObject): string {
  try {
    return dialectOf(json.get("dialect")!);
  } catch (error) {
    throw error instanceof Invalid ? error.within("dialect") : error;
  }
}

/** Return the recipe in the header of a Fanin file. `start` has at least the header. */
export function recipeInHeader(start: Uint8Array): Recipe {
  const length = start.length >= 8 ? new DataView(start.buffer, start.byteOffset).getBigUint64(0, true) : -1n;
  if (length < 2n || length > MAX_HEADER_BYTES || BigInt(start.length) < 8n + length) {
    throw new FileError("the file is not a safetensors file, or its header is not complete");
  }
  let header: Json;
  try {
    header = parseJson(start.subarray(8, 8 + Number(length)));
  } catch {
    throw new FileError("the header of the file is not JSON");
  }
  const metadata = header instanceof Map ? header.get("__metadata__") : undefined;
  const text = metadata instanceof Map ? metadata.get("fanin.recipe") : undefined;
  if (typeof text !== "string") throw new FileError("the file has no recipe in its header");
  return Recipe.from(text);
}
