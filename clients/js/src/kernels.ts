/** The kernels of the project, in C, compiled to WebAssembly. They generate elements of plain draws and matrices. */

import { pow2 } from "./bits.js";
import type { Fill, Normal, Orthogonal, Plain, Side, Sparse } from "./draws/index.js";
import { type DType, type DTypeName, computeType, encoded } from "./dtypes.js";
import { FaninError, NotSupportedError } from "./errors.js";
import { type Stream, streamKey } from "./streams.js";

const ABI = 9;
/** `fanin_dtype` of native.h. */
const DTYPES: Partial<Record<DTypeName, number>> = { F64: 0, F32: 1, BF16: 2, F16: 3, F8_E4M3: 4, F8_E5M2: 5 };
/** `fanin_distribution` of native.h. */
const DISTRIBUTIONS = { uniform: 0, normal: 1, truncated: 2 } as const;
/** Bytes of the structs, and their places behind the beginning of the heap. */
const DRAW_BYTES = 112,
  SOURCE = 0,
  RANGE = 128,
  TASK = 256,
  CHUNK = 512;
/** Bytes of elements that are generated at a time. */
const CHUNK_BYTES = 1 << 20;
const PAGE = 1 << 16;
const MAX_MEMORY = 2 ** 32 - PAGE;

interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly __heap_base: WebAssembly.Global;
  fanin_abi(): number;
  fanin_panel(): number;
  fanin_group_bytes(): number;
  fanin_padding(): number;
  fanin_has_level(level: number): number;
  fanin_fill(sources: number, ranges: number, count: bigint, level: number, threads: number): void;
  fanin_orthogonal(matrix: number, level: number, threads: number): void;
  fanin_clear_zeros(task: number, level: number, threads: number): void;
  fanin_scratch(memory: number, size: number): void;
}

/** The smallest module with an instruction of SIMD128: an engine without it finds the module invalid. */
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

/** Whether this engine has SIMD128. */
export const hasSimd = (): boolean => WebAssembly.validate(SIMD);

async function compiled(url: URL): Promise<WebAssembly.Module> {
  if (url.protocol === "file:" && "process" in globalThis) {
    // Node's fetch has no files. The name is a variable, so that bundlers for browsers do not look for the package.
    const name = "node:fs/promises";
    const files = (await import(/* @vite-ignore */ name)) as { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> };
    return WebAssembly.compile(await files.readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new FaninError(`the kernels at ${url} cannot be loaded: status ${response.status}`);
  return WebAssembly.compile(await response.arrayBuffer());
}

let loading: Promise<Kernels> | null = null;

/** Return the kernels, which are compiled once. Without `simd` they are those that fit this engine. */
export function loadKernels(simd?: boolean): Promise<Kernels> {
  const load = async (withSimd: boolean) => {
    const url = withSimd
      ? new URL("./kernels.simd.wasm", import.meta.url)
      : new URL("./kernels.plain.wasm", import.meta.url);
    return new Kernels(await compiled(url));
  };
  if (simd !== undefined) return load(simd);
  loading ??= load(hasSimd()).catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}

function align(address: number): number {
  return Math.ceil(address / 64) * 64;
}

export class Kernels {
  private readonly exports: Exports;
  private readonly base: number;
  private readonly sources = new WeakMap<Plain, Map<DTypeName, Uint8Array>>();

  /** `module` is a `WebAssembly.Module`. Programs without the types of the DOM do not have that type. */
  constructor(private readonly module: object) {
    this.exports = new WebAssembly.Instance(module as WebAssembly.Module).exports as unknown as Exports;
    if (this.exports.fanin_abi() !== ABI) throw new FaninError("the kernels belong to another version of this package");
    this.exports.fanin_has_level(0);
    this.base = align(this.exports.__heap_base.value as number);
    this.reserve(this.base + CHUNK + CHUNK_BYTES);
  }

  private reserve(end: number): void {
    const { memory } = this.exports,
      missing = end - memory.buffer.byteLength;
    if (end > MAX_MEMORY) throw new NotSupportedError(`${end} bytes of memory are needed, and WebAssembly has 4 GiB`);
    if (missing <= 0) return;
    try {
      memory.grow(Math.ceil(missing / PAGE));
    } catch {
      throw new FaninError(`${end} bytes of memory for the kernels are not available`);
    }
  }

  private get view(): DataView {
    return new DataView(this.exports.memory.buffer);
  }

  private bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer, address, length);
  }

  /** Write elements [first, first + n) of a draw, not a constant, at a type that the kernels know. */
  fill(draw: Exclude<Plain, Fill>, stream: Stream, dtype: DType, first: bigint, out: Uint8Array): void {
    this.fillWith(draw, keysOf(stream, dtype), dtype, first, out);
  }

  /** The same, with eight words: the key of purpose main, and that of low. */
  fillWith(draw: Exclude<Plain, Fill>, keys: readonly number[], dtype: DType, first: bigint, out: Uint8Array): void {
    const { base } = this;
    this.bytes(base + SOURCE, 128).set(this.source(draw, dtype));
    writeKeys(this.view, base + RANGE + 20, keys);
    const most = CHUNK_BYTES / dtype.size,
      count = out.length / dtype.size,
      chunk = base + CHUNK;
    for (let at = 0; at < count; at += most) {
      const taken = Math.min(most, count - at),
        position = first + BigInt(at),
        view = this.view;
      view.setBigUint64(base + RANGE, position / 4n, true);
      view.setBigUint64(base + RANGE + 8, BigInt(taken), true);
      view.setUint32(base + RANGE + 16, chunk, true);
      view.setUint32(base + RANGE + 52, 0, true);
      view.setUint32(base + RANGE + 56, Number(position % 4n), true);
      this.exports.fanin_fill(base + SOURCE, base + RANGE, 1n, 0, 1);
      out.set(this.bytes(chunk, taken * dtype.size), at * dtype.size);
    }
  }

  /** Return the `fanin_source` of native.c. */
  private source(draw: Exclude<Plain, Fill>, dtype: DType): Uint8Array {
    let byType = this.sources.get(draw);
    if (!byType) this.sources.set(draw, (byType = new Map()));
    let found = byType.get(dtype.name);
    if (!found) {
      const number = DTYPES[dtype.name];
      if (number === undefined) throw new NotSupportedError(`the kernels have no ${dtype.name}`);
      found = new Uint8Array(128);
      const view = new DataView(found.buffer);
      writeDraw(view, 0, draw, dtype);
      view.setInt32(120, DISTRIBUTIONS[draw.kind], true);
      view.setInt32(124, number, true);
      byType.set(dtype.name, found);
    }
    return found;
  }

  /** Write the zeros among elements of a sparse draw over `out`, whose first element is at this position. */
  clearZeros(draw: Sparse, stream: Stream, dtype: DType, position: bigint, out: Uint8Array): void {
    const { base } = this,
      [first, second] = sides(draw.size),
      rounds = roundsOf(first),
      chunk = base + CHUNK;
    const scratch = chunk + CHUNK_BYTES,
      scratchBytes = 2 * rounds * first + 1;
    this.reserve(scratch + scratchBytes);
    this.exports.fanin_scratch(scratch, scratchBytes);
    const key = streamKey(stream, "sparse"),
      most = CHUNK_BYTES / dtype.size,
      count = out.length / dtype.size;
    for (let at = 0; at < count; at += most) {
      const taken = Math.min(most, count - at),
        part = out.subarray(at * dtype.size, (at + taken) * dtype.size),
        view = this.view;
      this.bytes(chunk, part.length).set(part);
      const numbers = [
        draw.size,
        first,
        second,
        rounds,
        draw.inner,
        draw.zeros,
        position + BigInt(at),
        taken,
        dtype.size,
      ];
      numbers.forEach((each, n) => view.setBigUint64(base + TASK + 8 * n, BigInt(each), true));
      view.setUint32(base + TASK + 72, chunk, true);
      key.forEach((word, n) => view.setUint32(base + TASK + 76 + 4 * n, word, true));
      this.exports.fanin_clear_zeros(base + TASK, 0, 1);
      part.set(this.bytes(chunk, part.length));
    }
  }

  /** Return all elements of a matrix, at a type that the kernels know. */
  orthogonal(draw: Orthogonal, stream: Stream, dtype: DType): Uint8Array {
    // A memory cannot shrink, so each matrix has its own instance.
    return new Kernels(this.module).matrix(draw, stream, dtype);
  }

  private matrix(draw: Orthogonal, stream: Stream, dtype: DType): Uint8Array {
    const { exports, base } = this,
      rows = Math.max(draw.rows, draw.columns),
      columns = Math.min(draw.rows, draw.columns);
    const panel = exports.fanin_panel(),
      padding = exports.fanin_padding(),
      groupBytes = exports.fanin_group_bytes();
    const size = computeType(dtype).size,
      padded = Math.ceil(rows / padding) * padding,
      panels = Math.ceil(columns / panel);
    const square = panel * panel,
      group = groupBytes / size;
    const depth = panels * panel * padded - ((panels * (panels - 1)) / 2) * square;
    const normal = base + SOURCE,
      task = base + RANGE;
    let end = base + CHUNK;
    const [v, t, x, work, out] = [
      depth * size,
      panels * square * size,
      panels * square * 8,
      padded * groupBytes,
      rows * columns * dtype.size,
    ].map((length) => {
      const place = end;
      end = align(end + length);
      return place;
    }) as [number, number, number, number, number];
    this.reserve(end);
    const { view } = this,
      standard: Normal = { kind: "normal", mean: 0, std: 1 };
    writeDraw(view, normal, standard, dtype);
    [rows, columns, padded].forEach((each, n) => view.setBigUint64(task + 8 * n, BigInt(each), true));
    [v, t, x, work, normal].forEach((each, n) => view.setUint32(task + 24 + 4 * n, each, true));
    view.setFloat64(task + 48, draw.gain, true);
    view.setUint32(task + 56, out, true);
    writeKeys(view, task + 60, keysOf(stream, dtype));
    view.setInt32(task + 92, DTYPES[dtype.name]!, true);
    view.setInt32(task + 96, draw.rows < draw.columns ? 1 : 0, true);
    [0, panels, 0, Math.ceil(columns / group)].forEach((each, n) =>
      view.setBigUint64(task + 104 + 8 * n, BigInt(each), true),
    );
    exports.fanin_orthogonal(task, 0, 1);
    return this.bytes(out, rows * columns * dtype.size).slice();
  }
}

/** Return the numbers of values of both digits of a row (SPEC.md section 6.11). */
function sides(size: number): [number, number] {
  let first = Math.floor(Math.sqrt(size));
  while (first * first < size) first++;
  while (first > 1 && (first - 1) * (first - 1) >= size) first--;
  return [first, Math.ceil(size / first)];
}

function roundsOf(first: number): number {
  if (first === 1) return 0;
  let found = 6;
  while (BigInt(first) ** BigInt(found - 6) < 2n ** 36n) found += 2;
  return found;
}

/** Return the key of purpose main, and that of low, or zeros if the type needs no low words. */
function keysOf(stream: Stream, dtype: DType): number[] {
  const low = dtype.name === "F64" ? streamKey(stream, "low") : [0, 0, 0, 0];
  return [...streamKey(stream, "main"), ...low];
}

function writeKeys(view: DataView, at: number, keys: readonly number[]): void {
  keys.forEach((word, n) => view.setUint32(at + 4 * n, word, true));
}

/** Write the `fanin_draw` of fanin_kernels.h. */
function writeDraw(view: DataView, at: number, draw: Exclude<Plain, Fill>, dtype: DType): void {
  const double = (place: number, value: number) => view.setFloat64(at + 8 * place, value, true);
  const side = (place: number, value: Side) => {
    view.setBigUint64(at + 8 * place, BigInt(value.count), true);
    view.setBigUint64(at + 8 * place + 8, BigInt(value.tailCount), true);
    [value.tailOffset, value.centralOffset, value.step].forEach((each, n) => double(place + 2 + n, each));
  };
  for (let n = 0; n < DRAW_BYTES / 8; n++) double(n, 0);
  if (draw.kind === "uniform") {
    [draw.center, draw.halfWidth, draw.low, draw.high].forEach((each, n) => double(n, each));
    return;
  }
  const [low, high] = draw.kind === "normal" ? [-Infinity, Infinity] : [draw.low, draw.high];
  [draw.mean, draw.std, low, high].forEach((each, n) => double(n, each));
  const full: Side = {
    count: 2 ** 31,
    tailCount: 2 ** 30 - 2 ** 19,
    tailOffset: 0,
    centralOffset: 0,
    step: pow2(computeType(dtype).name === "F64" ? -63 : -31),
  };
  side(4, draw.kind === "normal" ? full : draw.negative);
  side(9, draw.kind === "normal" ? full : draw.positive);
}

/** Write one number of the storage type to all elements of `out`. */
export function repeat(value: number | bigint, dtype: DType, out: Uint8Array): void {
  repeatBits(encoded(value, dtype), dtype.size, out);
}

/** Write the same bits to all elements of `out`, of `size` bytes each. */
export function repeatBits(bits: bigint, size: number, out: Uint8Array): void {
  if (!out.length) return;
  if (bits === 0n) {
    out.fill(0);
    return;
  }
  for (let n = 0; n < size; n++) out[n] = Number((bits >> BigInt(8 * n)) & 255n);
  for (let done = size; done < out.length; done *= 2) out.copyWithin(done, 0, Math.min(done, out.length - done));
}
