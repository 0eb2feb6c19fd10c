/** Which elements have the bytes of a range of the file, and the bytes themselves. */

import { Generator } from "./composed.js";
import { loadKernels } from "./kernels.js";
import type { Entry, FileLayout } from "./layout.js";

/** Bytes of one part of a range: of the header, or of consecutive elements of one tensor. */
export interface Piece {
  /** The tensor; null for the header. */
  readonly entry: Entry | null;
  /** Index of the first element that has bytes of the piece. For the header it is an offset. */
  readonly first: bigint;
  /** Number of elements, or of bytes of the header. */
  readonly count: bigint;
  /** Bytes of the first element that are in front of the piece. */
  readonly skip: number;
  /** Offsets in the file. */
  readonly start: bigint;
  readonly stop: bigint;
}

/** Yield the pieces of bytes [start, stop) of the file, in order. */
export function* pieces(layout: FileLayout, start: bigint, stop: bigint): globalThis.Generator<Piece, void, undefined> {
  const header = BigInt(layout.header.length);
  if (start < header && start < stop) {
    const end = stop < header ? stop : header;
    yield { entry: null, first: start, count: end - start, skip: 0, start, stop: end };
    start = end;
  }
  for (let n = layout.indexAt(start); start < stop && n < layout.entries.length; n++) {
    const entry = layout.entries[n]!,
      end = stop < entry.stop ? stop : entry.stop,
      bits = BigInt(entry.dtype.bits);
    if (start === end) continue; // a tensor without elements
    const begin = 8n * (start - entry.start),
      first = begin / bits,
      last = (8n * (end - entry.start) + bits - 1n) / bits;
    yield { entry, first, count: last - first, skip: Number(begin % bits) / 8, start, stop: end };
    start = end;
  }
}

/** Write the bytes of a piece, which is not empty, to `out`. */
export function writePiece(layout: FileLayout, generator: Generator, piece: Piece, out: Uint8Array): void {
  const { entry, first, count, skip } = piece;
  if (!entry) {
    out.set(layout.header.subarray(Number(piece.start), Number(piece.stop)));
    return;
  }
  const { size } = entry.dtype;
  if (entry.dtype.bits < 8) {
    writePairs(generator, entry, first, out);
    return;
  }
  if (!skip && out.length % size === 0) {
    generator.fill(entry.draw, entry.stream, entry.dtype, first, out);
    return;
  }
  // Elements of which the piece has some bytes are generated beside it.
  const head = Math.min(skip ? size - skip : 0, out.length),
    whole = Math.floor((out.length - head) / size) * size;
  const element = new Uint8Array(size);
  if (skip) {
    generator.fill(entry.draw, entry.stream, entry.dtype, first, element);
    out.set(element.subarray(skip, skip + head));
  }
  const next = skip ? first + 1n : first;
  if (whole) generator.fill(entry.draw, entry.stream, entry.dtype, next, out.subarray(head, head + whole));
  if (head + whole < out.length) {
    generator.fill(entry.draw, entry.stream, entry.dtype, first + count - 1n, element);
    out.set(element.subarray(0, out.length - head - whole), head + whole);
  }
}

/** Elements of four bits that are generated at a time, in a byte each. */
const CODES = 1 << 16;

/** Write elements of four bits, two in a byte, the first of them in its lower half. */
function writePairs(generator: Generator, entry: Entry, first: bigint, out: Uint8Array): void {
  const codes = new Uint8Array(Math.min(CODES, 2 * out.length));
  for (let at = 0; at < out.length; at += CODES / 2) {
    const part = codes.subarray(0, 2 * (out.length - at));
    generator.fill(entry.draw, entry.stream, entry.dtype, first + BigInt(2 * at), part);
    for (let n = 0; n < part.length; n += 2) out[at + n / 2] = part[n]! | (part[n + 1]! << 4);
  }
}

let shared: Promise<Generator> | null = null;

/** Return the generator that all calls share, with the kernels that fit this engine. */
export function sharedGenerator(): Promise<Generator> {
  shared ??= loadKernels().then(
    (kernels) => new Generator(kernels),
    (error) => {
      shared = null;
      throw error;
    },
  );
  return shared;
}

/** Return bytes [start, stop) of the file. */
export function rangeOf(layout: FileLayout, generator: Generator, start: bigint, stop: bigint): Uint8Array {
  const found = new Uint8Array(Number(stop - start));
  for (const piece of pieces(layout, start, stop)) {
    writePiece(layout, generator, piece, found.subarray(Number(piece.start - start), Number(piece.stop - start)));
  }
  return found;
}
