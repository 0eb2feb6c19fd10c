/** Composed draws, from the plain draws that the kernels generate (SPEC.md sections 6.7 to 6.11). */

import {
  type Blocks,
  type Draw,
  type Fill,
  type Mapped,
  type MappedFunction,
  type Orthogonal,
  type Plain,
  type Polar,
  type Stack,
  type Uniform,
  blockLength,
} from "./draws/index.js";
import { type DType, computeType, dtypeOf, narrow } from "./dtypes.js";
import { arange, store, table, viewOf, waves } from "./elements.js";
import * as functions from "./functions.js";
import { type Kernels, repeat } from "./kernels.js";
import { writeQuantized } from "./quantizing.js";
import type { Stream } from "./streams.js";

/** Elements of a random draw that are generated together where runs of it are shorter. */
const WINDOW = 4096;
/** Elements whose numbers v are generated at a time. */
const UNITS = 1 << 14;
/** The draw of the number v of SPEC.md section 6.2. */
const UNIT: Uniform = { kind: "uniform", center: 0, halfWidth: 1, low: -1, high: 1 };
const F32 = dtypeOf("F32");

/** Maximum number of bytes of cached matrices. The newest is cached even if it is larger. */
const MATRIX_BYTES = 256 << 20;

/** Generates elements of any draw. It caches orthogonal matrices, because an element needs the complete matrix. */
export class Generator {
  private readonly matrices = new Map<string, Uint8Array>();
  private readonly windows = new WeakMap<Plain, { key: string; first: bigint; data: Uint8Array }>();

  constructor(readonly kernels: Kernels) {}

  /** Write elements [first, first + n) of a tensor to `out`, little-endian. */
  fill(draw: Draw, stream: Stream, dtype: DType, first: bigint, out: Uint8Array): void {
    if (draw.kind === "quantized") {
      writeQuantized(this, draw, stream, dtype, first, out);
      return;
    }
    const count = out.length / dtype.size;
    for (let at = 0; at < count;) {
      const { leaf, position, length } = leafAt(draw, first + BigInt(at));
      const taken = length < BigInt(count - at) ? Number(length) : count - at;
      this.leaf(
        leaf,
        stream,
        dtype,
        first + BigInt(at),
        position,
        out.subarray(at * dtype.size, (at + taken) * dtype.size),
      );
      at += taken;
    }
  }

  /** Write consecutive elements of one draw, of which the first has this index and this position. */
  private leaf(
    draw: Exclude<Draw, Blocks>,
    stream: Stream,
    dtype: DType,
    index: bigint,
    position: bigint,
    out: Uint8Array,
  ): void {
    switch (draw.kind) {
      case "fill":
        return repeat(draw.value, dtype, out);
      case "uniform":
      case "normal":
      case "truncated":
        return this.plain(draw, stream, dtype, index, out);
      case "sparse":
        this.leaf(draw.draw, stream, dtype, index, position, out);
        return this.kernels.clearZeros(draw, stream, dtype, position, out);
      case "orthogonal": {
        const from = Number(position) * dtype.size;
        out.set(this.matrix(draw, stream, dtype).subarray(from, from + out.length));
        return;
      }
      case "stack":
        return this.stack(draw, stream, dtype, position, out);
      case "table":
        return table(draw.values, draw.run, position, dtype, out);
      case "arange":
        return arange(draw.start, draw.step, draw.size, position, dtype, out);
      case "waves":
        return waves(draw, position, dtype, out);
      case "mapped":
        return this.mapped(draw, stream, dtype, index, out);
      case "polar":
        return this.polar(draw, stream, dtype, index, out);
      case "quantized":
        throw new TypeError("a quantized part is a full tensor");
    }
  }

  private plain(draw: Exclude<Plain, Fill>, stream: Stream, dtype: DType, index: bigint, out: Uint8Array): void {
    if (dtype.kind === "complex") {
      // real and imaginary parts alternate
      this.kernels.fill(draw, stream, F32, 2n * index, out);
      return;
    }
    const count = out.length / dtype.size;
    if (dtype.isConverted) {
      for (let at = 0; at < count; at += UNITS) {
        const made = new Uint8Array(4 * Math.min(UNITS, count - at)),
          view = new DataView(made.buffer);
        this.kernels.fill(draw, stream, F32, index + BigInt(at), made);
        for (let n = 0; n < made.length / 4; n++) out[at + n] = narrow(view.getFloat32(4 * n, true), dtype);
      }
      return;
    }
    if (count >= WINDOW / 16) {
      this.kernels.fill(draw, stream, dtype, index, out);
      return;
    }
    // Short runs of blocks: elements between them are generated too, and not used.
    const key = `${dtype.name} ${stream.seed} ${stream.name}`,
      end = index + BigInt(count);
    let window = this.windows.get(draw);
    if (!window || window.key !== key || index < window.first || end > window.first + BigInt(WINDOW)) {
      window = { key, first: index, data: new Uint8Array(WINDOW * dtype.size) };
      this.kernels.fill(draw, stream, dtype, index, window.data);
      this.windows.set(draw, window);
    }
    const from = Number(index - window.first) * dtype.size;
    out.set(window.data.subarray(from, from + out.length));
  }

  /** Write elements of matrices one after another. Every matrix but that of number 0 has a separate stream. */
  private stack(draw: Stack, stream: Stream, dtype: DType, position: bigint, out: Uint8Array): void {
    const each = BigInt(draw.matrix.rows) * BigInt(draw.matrix.columns);
    for (let at = 0; at < out.length;) {
      const number = draw.first + Number(position / each);
      const inside = position % each;
      const length = Math.min(Number(each - inside) * dtype.size, out.length - at);
      const own = number ? { ...stream, name: `${stream.name}\0${number}` } : stream;
      this.leaf(draw.matrix, own, dtype, inside, inside, out.subarray(at, at + length));
      at += length;
      position += BigInt(length / dtype.size);
    }
  }

  /** Return all elements of a matrix, as they are stored. */
  private matrix(draw: Orthogonal, stream: Stream, dtype: DType): Uint8Array {
    const key = [dtype.name, stream.seed, draw.rows, draw.columns, draw.gain, stream.name].join(" ");
    let found = this.matrices.get(key);
    if (found) return found;
    if (dtype.isConverted) {
      const made = this.kernels.orthogonal(draw, stream, F32),
        view = new DataView(made.buffer);
      found = Uint8Array.from({ length: made.length / 4 }, (_, n) => narrow(view.getFloat32(4 * n, true), dtype));
    } else {
      found = this.kernels.orthogonal(draw, stream, dtype);
    }
    this.matrices.set(key, found);
    let held = [...this.matrices.values()].reduce((sum, each) => sum + each.length, 0);
    for (const [oldest, data] of this.matrices) {
      if (held <= MATRIX_BYTES || this.matrices.size === 1) break;
      this.matrices.delete(oldest);
      held -= data.length;
    }
    return found;
  }

  /** Call `use` with v of SPEC.md section 6.2 for elements [first, first + count), a part of them at a time. */
  private units(
    stream: Stream,
    compute: DType,
    first: bigint,
    count: number,
    use: (at: number, v: Float32Array | Float64Array) => void,
  ): void {
    for (let at = 0; at < count; at += UNITS) {
      const made = new Uint8Array(compute.size * Math.min(UNITS, count - at));
      this.kernels.fill(UNIT, stream, compute, first + BigInt(at), made);
      use(at, compute.size === 8 ? floats64(made) : floats32(made));
    }
  }

  private mapped(draw: Mapped, stream: Stream, dtype: DType, index: bigint, out: Uint8Array): void {
    const { center, halfWidth, low, high } = draw,
      map = FUNCTIONS[draw.function],
      view = viewOf(out);
    this.units(stream, computeType(dtype), index, out.length / dtype.size, (at, v) => {
      for (let n = 0; n < v.length; n++) {
        const value = map(center + halfWidth * v[n]!);
        store(view, (at + n) * dtype.size, Math.min(Math.max(value, low), high), dtype);
      }
    });
  }

  private polar(draw: Polar, stream: Stream, dtype: DType, index: bigint, out: Uint8Array): void {
    const { scale, mass } = draw,
      view = viewOf(out);
    this.units(stream, F32, 2n * index, (2 * out.length) / dtype.size, (at, v) => {
      for (let n = 0; n < v.length; n += 2) {
        const u = (v[n]! + 1) * 0.5,
          radius = scale * Math.sqrt(mass ? -functions.log(1 - mass * u) : u);
        const phase = ((v[n + 1]! * 0x1000000) << 7) >>> 0; // the upper half; the lower one is 0
        view.setFloat32(4 * (at + n), radius * functions.cosine(phase, 0), true);
        view.setFloat32(4 * (at + n) + 4, radius * functions.sine(phase, 0), true);
      }
    });
  }
}

/** Return the draw other than `Blocks` at a position, the position in it, and for how many elements it continues. */
function leafAt(draw: Draw, position: bigint): { leaf: Exclude<Draw, Blocks>; position: bigint; length: bigint } {
  let length = 1n << 70n;
  while (draw.kind === "blocks") {
    const period = position / draw.period,
      at = position % draw.period,
      { starts } = draw;
    let low = 0,
      high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= at) low = middle;
      else high = middle;
    }
    const inside = at - starts[low]!,
      size = blockLength(draw, low);
    if (size - inside < length) length = size - inside;
    position = period * size + inside;
    draw = draw.draws[low]!;
  }
  return { leaf: draw, position, length };
}

const FUNCTIONS: Readonly<Record<MappedFunction, (u: number) => number>> = {
  log: functions.log,
  inverseSoftplusExp: (u) => functions.inverseSoftplus(functions.exp(u)),
  inverseSoftplusLog: (u) => functions.inverseSoftplus(-0.5 * functions.log(u)),
  inverseSoftplusLog8: (u) => functions.inverseSoftplus(-0.125 * functions.log(u)),
  logLog: (u) => functions.log(-0.5 * functions.log(u)),
  logit: (u) => functions.log(u / (1 - u)),
};

const floats32 = (data: Uint8Array) => {
  const view = viewOf(data);
  return Float32Array.from({ length: data.length / 4 }, (_, n) => view.getFloat32(4 * n, true));
};
const floats64 = (data: Uint8Array) => {
  const view = viewOf(data);
  return Float64Array.from({ length: data.length / 8 }, (_, n) => view.getFloat64(8 * n, true));
};
