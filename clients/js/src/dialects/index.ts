/** Dialects: the initializers of torch, Keras and JAX, under their names there, as schemes (SPEC.md section 2.6). */

import { dtypeOf } from "../dtypes.js";
import { Invalid } from "../errors.js";
import { type Json, JsonNumber, type JsonObject, toJson } from "../json.js";
import { JAX } from "./jax.js";
import { KERAS } from "./keras.js";
import type { Initializer, Library, Values } from "./library.js";
import { instead } from "../suggestions.js";
import { TORCH } from "./torch.js";

/** The initializers of each library, by its name. */
export const DIALECTS: ReadonlyMap<string, Library> = new Map([
  ["torch", TORCH],
  ["keras", KERAS],
  ["jax", JAX],
]);
const SHARED = ["shape", "dtype", "scheme", "dialect"];

export function dialectOf(json: Json): string {
  if (json !== "fanin" && (typeof json !== "string" || !DIALECTS.has(json))) {
    throw new Invalid("unknown dialect; there are fanin, torch, keras, jax");
  }
  return json;
}

/** The names in a library of the parameters of schemes. */
const NAMES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  torch: { low: ["a"], high: ["b"], value: ["val"], negative_slope: ["a"] },
  keras: { low: ["minval"], high: ["maxval"], std: ["stddev"], in_axes: ["input_axes"], out_axes: ["output_axes"] },
  jax: {
    low: ["lower"],
    high: ["upper", "scale"],
    std: ["stddev"],
    gain: ["scale"],
    in_axes: ["in_axis"],
    out_axes: ["out_axis"],
    batch_axes: ["batch_axis"],
  },
};

/** Return the fault of a translated tensor in the names of its dialect. */
export function inItsWords(tensor: JsonObject, dialect: string, { detail, path }: Invalid): Invalid {
  const initializer = DIALECTS.get(dialect)!.get(tensor.get("scheme") as string)!;
  const isKnown = (name: string) => Object.hasOwn(initializer.parameters, name);
  const names = new Map(Object.entries(NAMES[dialect]!));
  const theirs = (name: string) => names.get(name)?.find(isKnown) ?? name;
  const [first, ...rest] = path;
  const field = String(first);
  const found = theirs(field);
  const words = detail.replace(/\w+/g, theirs);
  if (!isKnown(found) && !SHARED.includes(found)) return new Invalid(words, ["scheme"]);
  return new Invalid(words, [found, ...(found === field ? rest : [])]);
}

/** Return the members of the tensor without a dialect. Throws `Invalid`. */
export function translated(tensor: JsonObject, dialect: string): JsonObject {
  const name = tensor.get("scheme"),
    library = DIALECTS.get(dialect)!;
  const initializer = typeof name === "string" ? library.get(name) : undefined;
  if (!initializer) throw new Invalid(`${dialect} has no such initializer${typeof name === "string" ? instead(name, [...library.keys()]) : ""}`, ["scheme"]);
  const found: JsonObject = new Map();
  for (const field of ["shape", "dtype"]) if (tensor.has(field)) found.set(field, tensor.get(field)!);
  const given = tensor.get("shape");
  if (!Array.isArray(given) || !given.every((size) => size instanceof JsonNumber && size.isInteger)) {
    return found.set("scheme", "zeros"); // the validation of the tensor reports the wrong shape
  }
  const shape = given.map((size) => (size as JsonNumber).value);
  const members = initializer.make(shape, valuesOf(tensor, initializer));
  for (const [field, value] of Object.entries(members)) found.set(field, toJson(value));
  return found;
}

function valuesOf(tensor: JsonObject, initializer: Initializer): Values {
  const found: Values = {};
  for (const field of tensor.keys()) {
    if (!SHARED.includes(field) && !Object.hasOwn(initializer.parameters, field))
      throw new Invalid(`the initializer has no such parameter${instead(field, Object.keys(initializer.parameters))}`, [field]);
  }
  for (const [field, parameter] of Object.entries(initializer.parameters)) {
    if (tensor.has(field)) {
      try {
        found[field] = parameter.parse(tensor.get(field)!, dtypeOf("F32"));
      } catch (error) {
        throw error instanceof Invalid ? error.within(field) : error;
      }
    } else if (parameter.default === undefined) {
      throw new Invalid("this field is required", [field]);
    } else {
      found[field] = parameter.default;
    }
  }
  return found;
}
