/** Elements of draws without random words: tables, ranges and waves (SPEC.md sections 6.8, 6.10 and 6.15). */

import type { Waves } from "./draws/index.js";
import { type DType, narrow } from "./dtypes.js";
import { highProduct, sine } from "./functions.js";
import { repeatBits } from "./kernels.js";

/** Write elements of a table from a position on. */
export function table(values: readonly bigint[], run: bigint, position: bigint, dtype: DType, out: Uint8Array): void {
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

/** Write elements of an Arange from a position on. */
export function arange(
  start: bigint,
  step: bigint,
  size: bigint,
  position: bigint,
  dtype: DType,
  out: Uint8Array,
): void {
  const view = viewOf(out);
  let place = position % size;
  for (let at = 0; at < out.length; at += dtype.size) {
    const value = start + step * place;
    if (dtype.kind === "integer") storeInteger(view, at, value, dtype);
    else store(view, at, Number(value), dtype);
    if (++place === size) place = 0n;
  }
}

/** Write elements of waves from a position on. */
export function waves(draw: Waves, position: bigint, dtype: DType, out: Uint8Array): void {
  const { amplitudes } = draw,
    columns = draw.frequencies.length,
    view = viewOf(out);
  // Three words of 32 bits for each frequency, the upper ones first.
  const words = Uint32Array.from({ length: 3 * columns }, (_, n) =>
    Number((draw.frequencies[Math.floor(n / 3)]! >> BigInt(32 * (2 - (n % 3)))) & 0xffffffffn),
  );
  const first = Number(draw.first),
    rows = Number(draw.rows);
  const line = position / BigInt(columns);
  let column = Number(position % BigInt(columns)),
    row = Number((line / draw.run) % draw.rows),
    left = draw.run - (line % draw.run);
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
    store(view, at, amplitude * sine(high, low >>> 0) + 0, dtype);
    if (++column === columns) {
      column = 0;
      if (--left) continue;
      left = draw.run;
      if (++row === rows) row = 0;
    }
  }
}

/** Round a float64 number to the compute type, and then to the storage type. The imaginary part is 0. */
export function store(view: DataView, at: number, value: number, dtype: DType): void {
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

export const viewOf = (data: Uint8Array) => new DataView(data.buffer, data.byteOffset, data.byteLength);
