/** Elements of a tensor as numbers: all of them, or runs that are spread over it. */

import type { Generator } from "../../src/composed.js";
import type { Draw } from "../../src/draws/index.js";
import { type DType, widened } from "../../src/dtypes.js";
import { NotSupportedError } from "../../src/errors.js";
import { product } from "../../src/fans.js";
import type { Entry } from "../../src/layout.js";
import { type Index, numbers, sliceOf } from "../../src/tensors.js";

/** Most elements of a sample. */
const MOST = 1 << 17;
const RUNS = 64;
/** Most elements of an orthogonal matrix, which is generated completely. */
const MATRIX = 1 << 20;
const QUANTIZED = 1 << 22;

/** Throws `NotSupportedError` where a few elements need more work than a page should do. */
export function checkWork(draw: Draw): void {
  const parts = draw.kind === "blocks" ? draw.draws : [draw];
  for (const part of parts) {
    const matrix = part.kind === "stack" ? part.matrix : part;
    if (matrix.kind === "orthogonal" && matrix.rows * matrix.columns > MATRIX) {
      throw new NotSupportedError(
        `an orthogonal matrix is generated completely, and ${matrix.rows} x ${matrix.columns} takes too long for this page: at most ${MATRIX} elements`,
      );
    }
    if (part.kind === "quantized") {
      if (part.rows * part.columns > QUANTIZED && part.rule === "two_level")
        throw new NotSupportedError("the scale of this tensor depends on all of its elements, which are too many");
      checkWork(part.draw);
    }
  }
}

/** Return elements of a draw of the entry, at a storage type. C64 has the real and the imaginary part of each in turns. */
export function sample(generator: Generator, entry: Entry, draw: Draw = entry.draw, dtype: DType = entry.dtype): Float64Array {
  checkWork(draw);
  const bytes = new Uint8Array(sampled(entry) * dtype.size);
  let at = 0;
  for (const [first, count] of runs(entry)) {
    const end = at + count * dtype.size;
    if (count) generator.fill(draw, entry.stream, dtype, first, bytes.subarray(at, end));
    at = end;
  }
  return decoded(bytes, dtype);
}

/** Return the number of elements of a sample. */
export const sampled = (entry: Entry): number => (entry.count <= BigInt(MOST) ? Number(entry.count) : MOST);

function* runs(entry: Entry): globalThis.Generator<[bigint, number]> {
  if (entry.count <= BigInt(MOST)) {
    yield [0n, Number(entry.count)];
    return;
  }
  const length = MOST / RUNS,
    step = (entry.count - BigInt(length)) / BigInt(RUNS - 1);
  for (let n = 0; n < RUNS; n++) yield [BigInt(n) * step, length];
}

function decoded(bytes: Uint8Array<ArrayBuffer>, dtype: DType): Float64Array {
  const { buffer } = bytes;
  if (dtype.name === "F64") return new Float64Array(buffer);
  if (dtype.name === "F32" || dtype.name === "C64") return Float64Array.from(new Float32Array(buffer));
  if (dtype.kind === "real" && dtype.size < 4) {
    const bits = dtype.size === 2 ? new Uint16Array(buffer) : bytes;
    const found = new Float64Array(bits.length);
    for (let n = 0; n < bits.length; n++) found[n] = widened(bits[n]!, dtype);
    return found;
  }
  const arrays: Record<string, new (buffer: ArrayBuffer) => Uint8Array | Int32Array | BigInt64Array | BigUint64Array> = {
    U64: BigUint64Array,
    I64: BigInt64Array,
    U32: Uint32Array as never,
    I32: Int32Array,
    U16: Uint16Array as never,
    I16: Int16Array as never,
    I8: Int8Array as never,
  };
  const data = new (arrays[dtype.name] ?? Uint8Array)(buffer);
  return numbers({ name: "", shape: [], dtype: dtype.name, data: data as Uint8Array });
}

/** The sizes of the matrix as which a tensor is shown: the first axis by the rest, or the rest by the last axis. */
export function matrixOf(shape: readonly number[], isTorch: boolean): [number, number] {
  const size = (sizes: readonly number[]) => Number(product(sizes));
  if (shape.length < 2) return [1, size(shape)];
  return isTorch ? [shape[0]!, size(shape.slice(1))] : [size(shape.slice(0, -1)), shape.at(-1)!];
}

/** Return a part of the tensor as a matrix of these sizes. */
export function part(
  generator: Generator,
  entry: Entry,
  matrix: readonly [number, number],
  rows: readonly [number, number],
  columns: readonly [number, number],
): Float64Array {
  checkWork(entry.draw);
  const index: Index = [rows, columns];
  return numbers(sliceOf(generator, { ...entry, shape: matrix }, index));
}
