/** Tensors and slices of tensors as typed arrays. */

import type { Generator } from "./composed.js";
import { type DType, type DTypeName, dtypeOf, widened } from "./dtypes.js";
import type { Entry } from "./layout.js";
import { pow2 } from "./bits.js";

export type TypedArray =
  | Float64Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Uint32Array
  | Int32Array
  | Uint16Array
  | Int16Array
  | Uint8Array
  | Int8Array;

/** Elements of one tensor, in row-major order. */
export interface TensorData {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DTypeName;
  /** The elements. C64 has the real and the imaginary part of each. BF16, F16, the types F8 and F4 have bits: see `numbers`. */
  readonly data: TypedArray;
}

/** One index for each axis: a number, `[start, stop]`, `[start, stop, step]`, or null for all. Negative ones count from the end. */
export type Index = readonly (number | null | readonly (number | null)[])[];

interface Axis {
  readonly start: number;
  readonly length: number;
  readonly step: number;
  readonly size: number;
  readonly isKept: boolean;
}

/** Elements of which a few are taken that are generated together. */
const SPAN = 1 << 16;
const ARRAYS: Readonly<Record<string, { new (buffer: ArrayBuffer): TypedArray }>> = {
  F64: Float64Array,
  F32: Float32Array,
  C64: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  U32: Uint32Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
};

function typed(bytes: Uint8Array<ArrayBuffer>, dtype: DType): TypedArray {
  const array = ARRAYS[dtype.name] ?? (dtype.size === 2 ? Uint16Array : Uint8Array);
  return new array(bytes.buffer);
}

/** Return all elements of a tensor. */
export function wholeTensor(generator: Generator, entry: Entry): TensorData {
  const { name, shape, dtype } = entry,
    bytes = new Uint8Array(Number(entry.count) * dtype.size);
  if (bytes.length) generator.fill(entry.draw, entry.stream, dtype, 0n, bytes);
  return { name, shape, dtype: dtype.name, data: typed(bytes, dtype) };
}

/** Return a tensor from its bytes in a file, as a service sends them. */
export function ofFileBytes({ name, shape, dtype, count }: Entry, bytes: Uint8Array<ArrayBuffer>): TensorData {
  const data = dtype.bits < 8 ? Uint8Array.from({ length: Number(count) }, (_, n) => (bytes[n >> 1]! >> (4 * (n & 1))) & 15) : bytes;
  return { name, shape, dtype: dtype.name, data: typed(data, dtype) };
}

/** Return the elements that an index selects. Axes with a number are gone. Throws `RangeError` and `TypeError`. */
export function sliceOf(generator: Generator, entry: Entry, index: Index): TensorData {
  const { name, shape, dtype } = entry;
  if (!Array.isArray(index)) throw new TypeError("an index is an array with an item for each axis");
  if (index.length > shape.length) throw new RangeError(`${index.length} indices for a tensor of rank ${shape.length}`);
  const axes = shape.map((size, axis) => axisOf(size, index[axis] ?? null, axis));
  const kept = axes.filter((axis) => axis.isKept).map((axis) => axis.length);
  const count = axes.reduce((product, axis) => product * axis.length, 1);
  const bytes = new Uint8Array(count * dtype.size);
  if (count) writeSlice(generator, entry, axes, bytes);
  return { name, shape: kept, dtype: dtype.name, data: typed(bytes, dtype) };
}

function axisOf(size: number, part: Index[number], axis: number): Axis {
  if (typeof part === "number") {
    if (!Number.isInteger(part) || part < -size || part >= size)
      throw new RangeError(`index ${part} is out of bounds for axis ${axis} with size ${size}`);
    return { start: part < 0 ? part + size : part, length: 1, step: 1, size, isKept: false };
  }
  const range = part ?? [null];
  if (!Array.isArray(range) || range.length < 1 || range.length > 3)
    throw new TypeError(`the index of axis ${axis} is neither a number, [start], [start, stop], [start, stop, step] nor null`);
  const [from, to, step = 1] = range as readonly (number | null)[];
  if (step === null || !Number.isInteger(step) || step < 1)
    throw new RangeError(`the step ${step} of axis ${axis} must be an integer from 1 on`);
  const end = (value: number | null | undefined, missing: number) => {
    if (value === null || value === undefined) return missing;
    if (!Number.isInteger(value)) throw new RangeError(`the index ${value} of axis ${axis} is not an integer`);
    return Math.min(Math.max(value < 0 ? value + size : value, 0), size);
  };
  const start = end(from, 0),
    stop = end(to, size);
  return { start, length: Math.max(Math.ceil((stop - start) / step), 0), step, size, isKept: true };
}

function writeSlice(generator: Generator, entry: Entry, axes: readonly Axis[], out: Uint8Array): void {
  // Axes from `inner` on are selected fully, `block` elements together.
  let inner = axes.length,
    block = 1n,
    at = 0;
  while (inner && axes[inner - 1]!.length === axes[inner - 1]!.size) block *= BigInt(axes[--inner]!.size);
  const last = inner ? axes[inner - 1]! : { start: 0, length: 1, step: 1, size: 1, isKept: false };
  const take = (first: bigint, count: number, step: number) => {
    at += run(generator, entry, first, count, step, out, at);
  };
  const from = (axis: number, base: bigint): void => {
    if (axis < inner - 1) {
      const { start, length, step, size } = axes[axis]!;
      for (let n = 0; n < length; n++) from(axis + 1, base * BigInt(size) + BigInt(start + n * step));
      return;
    }
    const first = (base * BigInt(last.size) + BigInt(last.start)) * block;
    if (last.step === 1) take(first, last.length * Number(block), 1);
    else if (block === 1n) take(first, last.length, last.step);
    else for (let n = 0; n < last.length; n++) take(first + BigInt(n * last.step) * block, Number(block), 1);
  };
  from(0, 0n);
}

/** Write elements first, first + step, ... to `out` from byte `at` on; return the number of bytes. */
function run(
  generator: Generator,
  entry: Entry,
  first: bigint,
  count: number,
  step: number,
  out: Uint8Array,
  at: number,
): number {
  const { draw, stream, dtype } = entry,
    { size } = dtype;
  if (step === 1) {
    generator.fill(draw, stream, dtype, first, out.subarray(at, at + count * size));
    return count * size;
  }
  const together = Math.max(Math.floor(SPAN / step), 1);
  for (let n = 0; n < count; n += together) {
    const taken = Math.min(together, count - n),
      made = new Uint8Array(((taken - 1) * step + 1) * size);
    generator.fill(draw, stream, dtype, first + BigInt(n) * BigInt(step), made);
    for (let k = 0; k < taken; k++) out.set(made.subarray(k * step * size, (k * step + 1) * size), at + (n + k) * size);
  }
  return count * size;
}

/** Return the elements as float64 numbers, of C64 the parts in turns. Integers beyond 2^53 are rounded. */
export function numbers({ data, dtype }: TensorData): Float64Array {
  const type = dtypeOf(dtype);
  if (type.kind === "scale") return Float64Array.from(data as Uint8Array, (bits) => pow2(bits - 127));
  if (type.kind === "real" && type.size < 4)
    return Float64Array.from(data as Uint8Array, (bits) => widened(bits, type));
  return Float64Array.from({ length: data.length }, (_, n) => Number(data[n]));
}
