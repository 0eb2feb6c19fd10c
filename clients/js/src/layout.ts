/** The layout of a recipe's safetensors file: its header and the place of each tensor (SPEC.md section 8). */

import { byCodePoints } from "./canonical.js";
import type { Draw } from "./draws/index.js";
import { type DType, RANK, fileBytes } from "./dtypes.js";
import { RecipeError, pointer } from "./errors.js";
import { product } from "./fans.js";
import { MAX_HEADER_BYTES, Recipe, type RecipeLike, STREAM } from "./recipe.js";
import type { Tensor } from "./schemes/base.js";
import type { Stream } from "./streams.js";

const MAX_FILE_BYTES = 2n ** 63n - 1n;

/** One tensor in the file. */
export interface Entry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly draw: Draw;
  readonly stream: Stream;
  /** Number of its elements. */
  readonly count: bigint;
  /** Offset of its first byte in the file. */
  readonly start: bigint;
  /** Offset in the file of the byte after its last byte. */
  readonly stop: bigint;
}

/** The place of everything in the file of one recipe. Nothing is generated. */
export class FileLayout {
  /** Tensors in file order, without gaps. */
  readonly entries: readonly Entry[];
  /** The bytes before the tensors' data: length, JSON and padding. */
  readonly header: Uint8Array;
  /** Bytes of the file. */
  readonly size: bigint;
  private readonly places: ReadonlyMap<string, number>;

  private constructor(readonly recipe: Recipe) {
    const { tensors } = recipe,
      names = [...tensors.keys()].sort(byCodePoints);
    names.sort((a, b) => RANK.get(tensors.get(a)!.dtype.name)! - RANK.get(tensors.get(b)!.dtype.name)!);
    const offsets = offsetsOf(recipe, names);
    this.header = encodedHeader(recipe, names, offsets);
    const data = BigInt(this.header.length);
    this.entries = names.map((name, n) => {
      const { shape, dtype, draw } = tensors.get(name)!,
        stream = { version: STREAM, seed: recipe.seed, name };
      return {
        name,
        shape,
        dtype,
        draw,
        stream,
        count: product(shape),
        start: data + offsets[n]!,
        stop: data + offsets[n + 1]!,
      };
    });
    this.size = data + offsets[names.length]!;
    this.places = new Map(names.map((name, n) => [name, n]));
  }

  /** Return the layout of a recipe's file. Throws `RecipeError`, also where the file is too large for the format. */
  static of(recipe: RecipeLike | FileLayout): FileLayout {
    return recipe instanceof FileLayout ? recipe : new FileLayout(Recipe.from(recipe));
  }

  /** Return the tensor of this name. */
  entry(name: string): Entry {
    const place = this.places.get(name);
    if (place === undefined) throw new RangeError(`the recipe has no tensor ${JSON.stringify(name)}`);
    return this.entries[place]!;
  }

  /** Return the index of the first entry that ends after `offset`, a position in the file. */
  indexAt(offset: bigint): number {
    let low = 0,
      high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.entries[middle]!.stop > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** Return the offsets of the tensors' first bytes in the data, and of the byte after the last one. */
function offsetsOf(recipe: Recipe, names: readonly string[]): bigint[] {
  const sizes = new Map<Tensor, bigint>(),
    found = [0n];
  let total = 0n;
  for (const name of names) {
    const tensor = recipe.tensors.get(name)!;
    let size = sizes.get(tensor);
    if (size === undefined) {
      const { shape, dtype } = tensor;
      if (dtype.bits < 8 && (shape.at(-1) ?? 1) % 2) {
        const detail = `[${shape.join(", ")}]: the last size must be even, because a byte has two elements of ${dtype.name}`;
        throw new RecipeError([{ pointer: pointer(["tensors", name, "shape"]), detail }]);
      }
      if (fileBytes(dtype, product(shape.map((each) => each || 1))) > MAX_FILE_BYTES) {
        throw new RecipeError([
          { pointer: pointer(["tensors", name, "shape"]), detail: "the sizes multiply to 2^63 bytes or more" },
        ]);
      }
      sizes.set(tensor, (size = fileBytes(dtype, product(shape))));
    }
    total += size;
    found.push(total);
  }
  if (total > MAX_FILE_BYTES - BigInt(MAX_HEADER_BYTES)) {
    throw new RecipeError([{ pointer: "/tensors", detail: `the tensors take ${total} bytes, more than 2^63 allows` }]);
  }
  return found;
}

function encodedHeader(recipe: Recipe, names: readonly string[], offsets: readonly bigint[]): Uint8Array {
  const begun = new Map<Tensor, string>();
  const members = names.map((name, n) => {
    const tensor = recipe.tensors.get(name)!;
    let start = begun.get(tensor);
    if (start === undefined)
      begun.set(
        tensor,
        (start = `{"dtype":"${tensor.dtype.name}","shape":[${tensor.shape.join(",")}],"data_offsets":[`),
      );
    return `,${JSON.stringify(name)}:${start}${offsets[n]},${offsets[n + 1]}]}`;
  });
  const text = `{"__metadata__":{"format":"pt","fanin.recipe":${JSON.stringify(recipe.canonical)}}${members.join("")}}`;
  const json = new TextEncoder().encode(text),
    length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new RecipeError([
      {
        pointer: "/tensors",
        detail: `the file header takes ${length} bytes; safetensors readers allow ${MAX_HEADER_BYTES}`,
      },
    ]);
  }
  const found = new Uint8Array(8 + length).fill(32);
  new DataView(found.buffer).setBigUint64(0, BigInt(length), true);
  found.set(json, 8);
  return found;
}
