/**
 * Quantized tensors, from float32 numbers (SPEC.md section 6.16). A part is generated in tiles: rectangles of complete
 * groups of the matrix. `Math.fround` of one float64 operation on float32 numbers is that operation of float32.
 */

import { frexp, pow2, roundEven } from "./bits.js";
import type { Generator } from "./composed.js";
import type { Quantized } from "./draws/index.js";
import { type DType, dtypeOf, narrow, widened } from "./dtypes.js";
import { LARGEST, LEAST_RANGE } from "./draws/quantization.js";
import type { Stream } from "./streams.js";

/** Elements of the matrix in a tile, unless one group has more. */
const TILE = 1 << 17;
const F32 = dtypeOf("F32"),
  E4M3 = dtypeOf("F8_E4M3");
/** The number of a group of eight that AWQ stores in each 4 bits of a word, from the lowest. */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7],
  ORDER = [0, 1, 2, 3, 4, 5, 6, 7];
const { fround, max, min, ceil, floor } = Math;

interface Scale {
  readonly stored: number;
  readonly divisor: number;
  readonly zero: number;
}

/** Sizes of a part of one matrix, in stored elements. Rows of a flipped part are columns of the matrix. */
class Shape {
  readonly isFlipped: boolean;
  /** Rows and columns of the matrix that one stored element stands for. */
  readonly down: number;
  readonly across: number;
  readonly rows: number;
  readonly columns: number;
  /** Stored rows and columns that have complete groups and complete elements. */
  readonly rowStep: number;
  readonly columnStep: number;

  constructor(draw: Quantized) {
    this.isFlipped = draw.packing === "gptq" || draw.packing === "awq";
    const packed = { none: 1, bytes: 2, words: 8, gptq: 8, awq: 8 }[draw.packing],
      [tall, wide] = draw.group;
    if (draw.part === "data") [this.down, this.across] = draw.packing === "awq" ? [packed, 1] : [1, packed];
    else [this.down, this.across] = [draw.part === "zero_point" ? tall * packed : tall, wide];
    const sizes = [ceil(draw.rows / this.down), ceil(draw.columns / this.across)] as const;
    const steps = [leastMultiple(this.down, tall) / this.down, leastMultiple(this.across, wide) / this.across] as const;
    [this.rows, this.columns] = this.isFlipped ? [sizes[1], sizes[0]] : sizes;
    [this.rowStep, this.columnStep] = this.isFlipped ? [steps[1], steps[0]] : steps;
  }
}

function leastMultiple(a: number, b: number): number {
  let [x, y] = [a, b];
  while (y) [x, y] = [y, x % y];
  return (a / x) * b;
}

/** Write elements [first, first + n) of a part to `out`. */
export function writeQuantized(
  generator: Generator,
  draw: Quantized,
  stream: Stream,
  dtype: DType,
  first: bigint,
  out: Uint8Array,
): void {
  const shape = new Shape(draw),
    each = BigInt(shape.rows) * BigInt(shape.columns),
    count = out.length / dtype.size;
  const name = draw.twin === null ? stream.name : stream.name.slice(0, stream.name.lastIndexOf(".") + 1) + draw.twin;
  for (let at = 0; at < count;) {
    const matrix = (first + BigInt(at)) / each,
      start = Number((first + BigInt(at)) % each);
    const stop = min(Number(each), start + count - at);
    const part = out.subarray(at * dtype.size, (at + stop - start) * dtype.size);
    writeSpan(generator, draw, shape, { ...stream, name }, matrix, start, stop, dtype, part);
    at += stop - start;
  }
}

/** Write elements [start, stop) of one matrix's part. */
function writeSpan(
  generator: Generator,
  draw: Quantized,
  shape: Shape,
  stream: Stream,
  matrix: bigint,
  start: number,
  stop: number,
  dtype: DType,
  out: Uint8Array,
): void {
  const { rows, columns, rowStep, columnStep } = shape,
    view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  const top = floor(start / columns),
    bottom = ceil(stop / columns),
    isOneRow = bottom - top === 1;
  const left = isOneRow ? floor((start % columns) / columnStep) * columnStep : 0;
  const right = isOneRow ? min(ceil((((stop - 1) % columns) + 1) / columnStep) * columnStep, columns) : columns;
  const cell = rowStep * columnStep * shape.down * shape.across,
    width = max(floor(TILE / cell), 1) * columnStep;
  for (let row = floor(top / rowStep) * rowStep; row < bottom; row += rowStep) {
    const last = min(row + rowStep, rows);
    for (let column = left; column < right; column += width) {
      const end = min(column + width, right);
      const made = shape.isFlipped
        ? tile(generator, draw, shape, stream, matrix, [column, end], [row, last])
        : tile(generator, draw, shape, stream, matrix, [row, last], [column, end]);
      for (let r = max(row, top); r < min(last, bottom); r++) {
        for (let c = column; c < end; c++) {
          const place = r * columns + c;
          if (place < start || place >= stop) continue;
          const value = shape.isFlipped
            ? made[(c - column) * (last - row) + r - row]!
            : made[(r - row) * (end - column) + c - column]!;
          const offset = (place - start) * dtype.size;
          if (dtype.size === 4) view.setUint32(offset, value, true);
          else if (dtype.size === 2) view.setUint16(offset, value, true);
          else view.setUint8(offset, value);
        }
      }
    }
  }
}

/** Return a rectangle of a part, not flipped, as the bits that are stored. It begins and ends with a group. */
function tile(
  generator: Generator,
  draw: Quantized,
  shape: Shape,
  stream: Stream,
  matrix: bigint,
  rows: readonly [number, number],
  columns: readonly [number, number],
): Uint32Array {
  const { down, across } = shape,
    [tall, wide] = draw.group;
  const top = rows[0] * down,
    bottom = min(rows[1] * down, draw.rows),
    left = columns[0] * across,
    right = min(columns[1] * across, draw.columns);
  const height = bottom - top,
    width = right - left,
    numbers = rectangle(generator, draw, stream, matrix, top, bottom, left, right);
  const groupRows = ceil(height / tall),
    groupColumns = ceil(width / wide),
    scales: Scale[] = [];
  for (let r = 0; r < groupRows; r++) {
    for (let c = 0; c < groupColumns; c++) {
      let low = Infinity,
        high = -Infinity;
      for (let y = r * tall; y < min((r + 1) * tall, height); y++) {
        for (let x = c * wide; x < min((c + 1) * wide, width); x++) {
          const value = numbers[y * width + x]!;
          if (value < low) low = value;
          if (value > high) high = value;
        }
      }
      scales.push(scaleOf(draw, low, high));
    }
  }
  const found = new Uint32Array((rows[1] - rows[0]) * (columns[1] - columns[0])),
    across2 = columns[1] - columns[0];
  const zeroAt = (r: number, c: number) => (r < groupRows && c < groupColumns ? scales[r * groupColumns + c]!.zero : 0);
  const codeAt = (y: number, x: number) => {
    if (y >= height || x >= width) return 0;
    const scale = scales[floor(y / tall) * groupColumns + floor(x / wide)]!;
    return codeOf(draw, numbers[y * width + x]!, scale);
  };
  const order = draw.packing === "awq" ? AWQ_ORDER : ORDER;
  for (let r = 0; r < rows[1] - rows[0]; r++) {
    for (let c = 0; c < across2; c++) {
      let value = 0;
      if (draw.part === "scale") value = scales[r * groupColumns + c]!.stored;
      else if (draw.part === "zero_point")
        order.forEach((number, place) => (value |= zeroAt(8 * r + number, c) << (4 * place)));
      else if (draw.packing === "none") value = codeAt(r, c);
      else if (draw.packing === "bytes") value = codeAt(r, 2 * c) | (codeAt(r, 2 * c + 1) << 4);
      else if (draw.packing === "awq")
        order.forEach((number, place) => (value |= codeAt(8 * r + number, c) << (4 * place)));
      else order.forEach((number, place) => (value |= codeAt(r, 8 * c + number) << (4 * place)));
      found[r * across2 + c] = value;
    }
  }
  return found;
}

/** Return a rectangle of a matrix before quantization, row by row. */
function rectangle(
  generator: Generator,
  draw: Quantized,
  stream: Stream,
  matrix: bigint,
  top: number,
  bottom: number,
  left: number,
  right: number,
): Float32Array {
  const height = bottom - top,
    width = right - left,
    found = new Float32Array(height * width);
  const base = matrix * BigInt(draw.rows) * BigInt(draw.columns);
  const [outer, from, length, step] = draw.transposed
    ? ([[left, right], top, height, draw.rows] as const)
    : ([[top, bottom], left, width, draw.columns] as const);
  const data = new Uint8Array(4 * length),
    view = new DataView(data.buffer);
  for (let line = outer[0]; line < outer[1]; line++) {
    generator.fill(draw.draw, stream, F32, base + BigInt(line) * BigInt(step) + BigInt(from), data);
    for (let n = 0; n < length; n++) {
      found[draw.transposed ? n * width + line - left : (line - top) * width + n] = view.getFloat32(4 * n, true);
    }
  }
  return found;
}

/** Return the scale of a group whose numbers lie in [low, high]. */
function scaleOf(draw: Quantized, low: number, high: number): Scale {
  const most = max(-low, high),
    largest = LARGEST[draw.element];
  switch (draw.rule) {
    case "given":
      return { stored: 0, divisor: draw.scale, zero: 0 };
    case "power": {
      const limit = frexp(largest)[1] - 1,
        exponent = most < LEAST_RANGE ? 0 : frexp(most)[1] - 1 - limit;
      return { stored: exponent + 127, divisor: pow2(exponent), zero: 0 };
    }
    case "two_level": {
      const local = fround(draw.scale * fround(most / largest)),
        stored = narrow(fround(min(max(local, pow2(-9)), 448)), E4M3);
      return { stored, divisor: fround(widened(stored, E4M3) / draw.scale), zero: 0 };
    }
    case "range": {
      const least = min(low, 0),
        scale = roundedUp(draw, fround(max(high, 0) - least), largest);
      return { ...scale, zero: min(max(roundEven(fround(-least / scale.divisor)), 0), 15) };
    }
    case "largest":
      return { ...roundedUp(draw, most, largest), zero: 0 };
  }
}

/** Return `most / largest`, rounded to float32 and then up to the type of the scale. */
function roundedUp(draw: Quantized, most: number, largest: number): { stored: number; divisor: number } {
  const scale = most < LEAST_RANGE ? 1 : fround(most / largest),
    dtype = dtypeOf(draw.scaleType);
  let stored = narrow(scale, dtype);
  if (widened(stored, dtype) < scale) stored++;
  return { stored, divisor: widened(stored, dtype) };
}

function codeOf(draw: Quantized, value: number, { divisor, zero }: Scale): number {
  const scaled = fround(value / divisor);
  switch (draw.element) {
    case "E4M3":
      return narrow(min(max(scaled, -448), 448), E4M3);
    case "E2M1":
      return e2m1(scaled);
    case "I8":
      return min(max(roundEven(scaled), -128), 127) & 255;
    case "I4":
      return min(max(roundEven(scaled), -8), 7) + 8;
    case "U4":
      return min(max(roundEven(scaled) + zero, 0), 15);
  }
}

/** Return the code of one of 0, 0.5, 1, 1.5, 2, 3, 4, 6, ties to even, with 8 added for a negative sign. */
function e2m1(value: number): number {
  const magnitude = Math.abs(value),
    exponent = magnitude >= 4 ? 2 : magnitude >= 2 ? 1 : 0;
  const code = min(roundEven(magnitude * pow2(1 - exponent)) + 2 * exponent, 7);
  return value < 0 || Object.is(value, -0) ? code + 8 : code;
}
