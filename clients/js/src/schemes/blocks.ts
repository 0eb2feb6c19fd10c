/** Blocks along an axis, each with a separate scheme (SPEC.md section 9.6). */

import type { Plain } from "../canonical.js";
import * as draws from "../draws/index.js";
import type { Draw } from "../draws/index.js";
import { DrawError, Invalid } from "../errors.js";
import { product } from "../fans.js";
import type { Json } from "../json.js";
import { type Scheme, type Tensor, tensorOf } from "./base.js";
import * as fields from "./fields.js";

const MAX_PARTS = 256;
const MAX_DEPTH = 32;

/** Return the scheme `blocks`, whose parts are tensors of `schemes`. */
export function blocksScheme(schemes: ReadonlyMap<string, Scheme>): Scheme {
  return {
    name: "blocks",
    aliases: [],
    sizeField: "scheme",
    parameters: { axis: fields.axis(0) },
    lower: (tensor) => lower(tensor, schemes),
    nested: (tensor) => ({ parts: tensor.parts.map(canonicalPart) }),
    blockCount: (tensor) => tensor.parts.reduce((total, part) => total + part.tensor.blockCount, 0),
  };
}

function canonicalPart(part: { readonly size: number; readonly tensor: Tensor }): Plain {
  const { shape: _shape, dtype: _dtype, ...rest } = part.tensor.canonical();
  return { size: part.size, ...rest };
}

function lower(tensor: Tensor, schemes: ReadonlyMap<string, Scheme>): Draw {
  const { shape, rank } = tensor,
    given = tensor.nested.parts!,
    chosen = tensor.number("axis");
  if (!Array.isArray(given)) throw new Invalid("must be an array of tensors", ["parts"]);
  if (given.length > MAX_PARTS) throw new Invalid(`${given.length} parts; at most ${MAX_PARTS}`, ["parts"]);
  if (tensor.depth >= MAX_DEPTH) throw new Invalid("blocks are nested too deeply", ["parts"]);
  if (chosen < -rank || chosen >= rank)
    throw new DrawError("axis", `axis ${chosen} is not an axis of a shape of rank ${rank}`);
  const axis = chosen < 0 ? chosen + rank : chosen;
  tensor.parts = given.map((part, n) => {
    try {
      return partOf(part, tensor, axis, schemes);
    } catch (error) {
      throw error instanceof Invalid ? error.within("parts", n) : error;
    }
  });
  const total = tensor.parts.reduce((sum, part) => sum + BigInt(part.size), 0n);
  if (total !== BigInt(shape[axis]!))
    throw new DrawError("parts", `the sizes add up to ${total}, and axis ${chosen} has ${shape[axis]}`);
  const counted = tensor.blockCount;
  if (counted > MAX_PARTS)
    throw new DrawError(
      "parts",
      `the parts and the parts within them count as ${counted}; the maximum is ${MAX_PARTS}`,
    );
  const made = tensor.parts.filter((part) => !part.tensor.isEmpty).map((part) => part.tensor.draw);
  if (made.length > 1 && made.some(draws.isWhole)) {
    throw new DrawError(
      "parts",
      "an orthogonal or sparse matrix must be the full tensor, or have a number if it is orthogonal",
    );
  }
  const stacks = made.flatMap(draws.stacksOf).sort((a, b) => a.first - b.first);
  if (stacks.some((each, n) => n > 0 && stacks[n - 1]!.first + stacks[n - 1]!.count > each.first)) {
    throw new DrawError("parts", "two orthogonal matrices have one number: give each part another, from 1 on");
  }
  const inner = product(shape.slice(axis + 1));
  return draws.blocks(
    total * inner,
    tensor.parts.map((part) => [BigInt(part.size) * inner, part.tensor.draw] as const),
  );
}

function partOf(
  part: Json,
  tensor: Tensor,
  axis: number,
  schemes: ReadonlyMap<string, Scheme>,
): { size: number; tensor: Tensor } {
  if (!(part instanceof Map)) throw new Invalid("must be an object");
  for (const field of ["shape", "dtype"]) {
    if (part.has(field))
      throw new Invalid("a part has a size; the rest of its shape and its dtype are the tensor's", [field]);
  }
  if (!part.has("size")) throw new Invalid("this field is required", ["size"]);
  let size: number;
  try {
    size = fields.asDimension(part.get("size")!);
  } catch (error) {
    throw error instanceof Invalid ? error.within("size") : error;
  }
  const own = new Map(part);
  own.delete("size");
  const shape = tensor.shape.map((each, n) => (n === axis ? size : each)),
    faults: Invalid[] = [];
  const { layout } = tensor.defaults;
  const found = tensorOf(
    own,
    schemes,
    layout === undefined ? {} : { layout },
    faults,
    { shape, dtype: tensor.dtype },
    tensor.depth + 1,
  );
  if (!found) throw faults[0]!;
  return { size, tensor: found };
}
