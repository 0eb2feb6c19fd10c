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
  type Uniform,
  type Waves,
  blockLength,
} from "./draws.js";
import { type DType, computeType, dtypeOf, narrow } from "./dtypes.js";
import * as functions from "./functions.js";
import { type Kernels, repeat, repeatBits } from "./kernels.js";
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

function table(values: readonly bigint[], run: bigint, position: bigint, dtype: DType, out: Uint8Array): void {
  const { size } = dtype,
    period = run * BigInt(values.length * size);
  // One period is written, and then copied.
  const end = period < BigInt(out.length) ? Number(period) : out.length;
  let place = Number((position / run) % BigInt(values.length)),
    left = run - (position % run);
  for (let at = 0; at < end;) {
    const taken = left * BigInt(size) < BigInt(end - at) ? Number(left) * size : end - at;
    repeatBits(values[place]!, size, out.subarray(at, at + taken));
    at += taken;
    place = (place + 1) % values.length;
    left = run;
  }
  for (let done = end; done < out.length; done *= 2) out.copyWithin(done, 0, Math.min(done, out.length - done));
}

function arange(start: bigint, step: bigint, size: bigint, position: bigint, dtype: DType, out: Uint8Array): void {
  const view = viewOf(out);
  let place = position % size;
  for (let at = 0; at < out.length; at += dtype.size) {
    const value = start + step * place;
    if (dtype.kind === "integer") storeInteger(view, at, value, dtype);
    else store(view, at, Number(value), dtype);
    if (++place === size) place = 0n;
  }
}

function waves(draw: Waves, position: bigint, dtype: DType, out: Uint8Array): void {
  const { amplitudes } = draw,
    columns = draw.frequencies.length,
    view = viewOf(out);
  // Three words of 32 bits for each frequency, the upper ones first.
  const words = Uint32Array.from({ length: 3 * columns }, (_, n) =>
    Number((draw.frequencies[Math.floor(n / 3)]! >> BigInt(32 * (2 - (n % 3)))) & 0xffffffffn),
  );
  const first = Number(draw.first),
    rows = Number(draw.rows);
  let column = Number(position % BigInt(columns)),
    row = Number((position / BigInt(columns)) % draw.rows);
  for (let at = 0; at < out.length; at += dtype.size) {
    const time = first + row,
      w2 = words[3 * column]!,
      w1 = words[3 * column + 1]!,
      w0 = words[3 * column + 2]!;
    // The phase is (time frequency + 2^31) / 2^32, rounded down, modulo 2^64, and the column's quarters of a turn.
    const rest = highProduct(time, w0) + (Math.imul(time, w0) >>> 31);
    const low = (Math.imul(time, w1) >>> 0) + rest;
    const high =
      (highProduct(time, w1) +
        (Math.imul(time, w2) >>> 0) +
        Math.floor(low / 0x100000000) +
        draw.quarters[column]! * 0x40000000) >>>
      0;
    const amplitude = amplitudes[amplitudes.length === 1 ? 0 : time % amplitudes.length]!;
    store(view, at, amplitude * functions.sine(high, low >>> 0) + 0, dtype);
    if (++column === columns) {
      column = 0;
      if (++row === rows) row = 0;
    }
  }
}

/** Round a float64 number to the compute type, and then to the storage type. The imaginary part is 0. */
function store(view: DataView, at: number, value: number, dtype: DType): void {
  if (dtype.name === "F64") view.setFloat64(at, value, true);
  else if (dtype.size >= 4) {
    view.setFloat32(at, value, true);
    if (dtype.kind === "complex") view.setUint32(at + 4, 0);
  } else if (dtype.size === 2) view.setUint16(at, narrow(Math.fround(value), dtype), true);
  else view.setUint8(at, narrow(Math.fround(value), dtype));
}

function storeInteger(view: DataView, at: number, value: bigint, dtype: DType): void {
  const bits = BigInt.asUintN(8 * dtype.size, value);
  if (dtype.size === 8) view.setBigUint64(at, bits, true);
  else if (dtype.size === 4) view.setUint32(at, Number(bits), true);
  else if (dtype.size === 2) view.setUint16(at, Number(bits), true);
  else view.setUint8(at, Number(bits));
}

const { highProduct } = functions;
const viewOf = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.byteLength);
const floats32 = (data: Uint8Array) => {
  const view = viewOf(data);
  return Float32Array.from({ length: data.length / 4 }, (_, n) => view.getFloat32(4 * n, true));
};
const floats64 = (data: Uint8Array) => {
  const view = viewOf(data);
  return Float64Array.from({ length: data.length / 8 }, (_, n) => view.getFloat64(8 * n, true));
};
