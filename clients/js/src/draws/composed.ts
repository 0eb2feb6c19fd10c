/** Draws that consist of others, tables, waves and matrices (SPEC.md sections 6.7 to 6.15). */

import { type DType, dtypeOf, encoded } from "../dtypes.js";
import { DrawError } from "../errors.js";
import { HALF, Rational, TWO, max } from "../rational.js";
import * as scalars from "../scalars.js";
import { EXACT, NOTHING, checkRandom, fill, inside, scalar, tooLarge, whole } from "./plain.js";
import type {
  Arange,
  Blocks,
  Draw,
  Mapped,
  MappedFunction,
  Orthogonal,
  Plain,
  Sparse,
  Stack,
  Table,
  Waves,
} from "./types.js";

export const MAX_TABLE = 4096;
const MAX_ROWS = 2n ** 32n;
const MAX_MATRICES = 4096n;
const MAX_LINES = 2n ** 42n;
const TURN = TWO.pow(96);

/** Return a table of these values, each rounded as a constant is. */
export function table(values: readonly Rational[], run: bigint, dtype: DType): Table {
  const numbers = values.map((value) => fill(value, dtype).value);
  return { kind: "table", values: numbers.map((each) => encoded(each, dtype)), run, numbers: numbers.map(Number) };
}

/** Return the integers start, start + step, ..., `size` of them. */
export function arange(start: bigint, step: bigint, size: bigint, dtype: DType): Arange {
  if (dtype.kind === "scale") checkRandom(dtype);
  for (const [field, value] of [
    ["start", start],
    ["step", start + step * (size - 1n)],
  ] as const) {
    if (dtype.kind === "integer") whole(field, Rational.of(value), dtype);
    else if (value > EXACT || value < -EXACT) {
      throw new DrawError(
        field,
        `${value} is out of range: at ${dtype.name} an integer is at most ${EXACT} in magnitude`,
      );
    } else fill(Rational.of(value), dtype, field);
  }
  return { kind: "arange", start, step, size };
}

/** Return blocks of these lengths and draws, which fill the period. Those of length 0 are left out. */
export function blocks(period: bigint, parts: readonly (readonly [bigint, Draw])[]): Draw {
  const kept = parts.filter(([length]) => length);
  if (!kept.length) return NOTHING;
  const starts: bigint[] = [];
  let total = 0n;
  for (const [length] of kept) {
    starts.push(total);
    total += length;
  }
  if (total !== period) throw new Error(`blocks of ${total} elements do not fill a period of ${period}`);
  return kept.length === 1 ? kept[0]![1] : { kind: "blocks", period, starts, draws: kept.map(([, draw]) => draw) };
}

/** Return the number of elements of draw number j in a period. */
export function blockLength(draw: Blocks, j: number): bigint {
  return (draw.starts[j + 1] ?? draw.period) - draw.starts[j]!;
}

/** Return the function of a uniform number on [low, high]. Its values are clamped to `ends`. */
export function mapped(
  name: MappedFunction,
  low: Rational,
  high: Rational,
  ends: readonly [Rational, Rational],
  dtype: DType,
): Mapped {
  checkRandom(dtype);
  if (low.compare(high) >= 0) throw new DrawError("low", "low must be less than high");
  if (dtype.kind === "complex") throw new DrawError("dtype", "this scheme has no complex storage type");
  for (const end of ends) if (end.abs().compare(dtype.largest) > 0) throw tooLarge("high", end, dtype);
  const double = dtypeOf("F64");
  const center = scalar("low", low.add(high).mul(HALF), double),
    halfWidth = scalar("high", high.sub(low).mul(HALF), double);
  return { kind: "mapped", function: name, center, halfWidth, ...inside(...ends, dtype) };
}

/** Return rows of waves. A column has a frequency in turns a row, and a phase in quarters of a turn. */
export function waves(
  columns: readonly (readonly [Rational, number])[],
  rows: bigint,
  amplitudes: readonly Rational[],
  dtype: DType,
  first = 0n,
  run = 1n,
): Waves {
  checkRandom(dtype);
  if (first + rows > MAX_ROWS) throw new DrawError("shape", `there are more than ${MAX_ROWS} rows`);
  const most = amplitudes
    .map((each) => each.abs())
    .reduce(max)
    .mul(TWO);
  if (most.compare(dtype.largest) > 0) throw tooLarge("shape", most, dtype);
  const modulus = 1n << 96n;
  return {
    kind: "waves",
    first,
    rows,
    frequencies: columns.map(([turns]) => ((turns.mul(TURN).round() % modulus) + modulus) % modulus),
    quarters: columns.map(([, quarter]) => quarter),
    amplitudes: amplitudes.map((each) => scalars.rounded(each, dtypeOf("F64"))),
    run,
  };
}

/** Return `draw` with zeros in each of `lines` lines. */
export function sparse(draw: Plain, size: number, inner: bigint, lines: bigint, zeros: number): Sparse {
  if (BigInt(size) >= MAX_ROWS)
    throw new DrawError("shape", `a line has at most ${MAX_ROWS - 1n} elements, not ${size}`);
  if (lines > MAX_LINES) throw new DrawError("shape", `there are ${lines} lines: at most ${MAX_LINES}`);
  return { kind: "sparse", draw, size, inner, zeros };
}

/** Return the uniform (Haar) distribution on matrices of orthonormal columns or rows, times `gain`. */
export function orthogonal(gain: Rational, rows: bigint, columns: bigint, dtype: DType): Orthogonal {
  checkRandom(dtype);
  if (dtype.kind === "complex")
    throw new DrawError("dtype", "unitary matrices are not supported: use a real storage type");
  if (gain.mul(TWO).compare(dtype.largest) > 0) throw tooLarge("gain", gain.mul(TWO), dtype);
  return { kind: "orthogonal", gain: scalar("gain", gain, dtype), rows: Number(rows), columns: Number(columns) };
}

/** Return `count` independent matrices, numbered from `first` on. */
export function stack(matrix: Orthogonal, first: number, count: bigint): Stack {
  if (count > MAX_MATRICES) {
    throw new DrawError("batch_axes", `${count} matrices are too many: the maximum is ${MAX_MATRICES}`);
  }
  return { kind: "stack", matrix, first, count: Number(count) };
}

/** Return whether the draw has an orthogonal matrix. */
export function hasMatrix(draw: Draw): boolean {
  return draw.kind === "blocks" ? draw.draws.some(hasMatrix) : draw.kind === "orthogonal" || draw.kind === "stack";
}

/** Return the stacks in the draw. */
export function stacksOf(draw: Draw): Stack[] {
  return draw.kind === "blocks" ? draw.draws.flatMap(stacksOf) : draw.kind === "stack" ? [draw] : [];
}

/** Return whether the kernels generate the draw at this type. */
export function isPlain(draw: Draw, dtype: DType): draw is Plain {
  if (draw.kind === "fill") return true;
  const isKernel = dtype.kind === "real" && !dtype.isConverted;
  return isKernel && (draw.kind === "uniform" || draw.kind === "normal" || draw.kind === "truncated");
}

/** Check that no element is the constant 0, for a type without 0. */
export function checkPositive(draw: Draw): void {
  if (draw.kind === "blocks") draw.draws.forEach(checkPositive);
  else if (draw.kind === "fill" && draw.value === 0) {
    throw new DrawError("dtype", "F8_E8M0 has powers of 2 only, and elements of this scheme are 0");
  }
}

/** Return whether a tensor can have only one such draw. Two would be equal, because they use the same words. */
export function isWhole(draw: Draw): boolean {
  if (draw.kind === "blocks") return draw.draws.some(isWhole);
  if (draw.kind === "stack") return draw.first === 0;
  return ["orthogonal", "sparse", "quantized"].includes(draw.kind);
}
