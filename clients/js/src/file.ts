/** Files and parts of files, generated here. */

import { MismatchError } from "./errors.js";
import { FileLayout } from "./layout.js";
import { pieces, rangeOf, sharedGenerator } from "./plan.js";
import { MAX_HEADER_BYTES, type RecipeLike, recipeInHeader } from "./recipe.js";
import { type Index, type TensorData, sliceOf, wholeTensor } from "./tensors.js";

export type LayoutLike = RecipeLike | FileLayout;

/** A part of a file: bytes [start, stop). By default it is all of it. */
export interface Part {
  readonly start?: number | bigint;
  readonly stop?: number | bigint;
}

/** The bytes of a file, complete or in chunks. */
export type Source =
  Uint8Array | ArrayBuffer | Blob | Response | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

/** Bytes of a chunk of a stream. */
const CHUNK_BYTES = 1 << 20;

/** Return all tensors, by name, in the order of the file. */
export async function materialize(recipe: LayoutLike): Promise<Map<string, TensorData>> {
  const layout = FileLayout.of(recipe),
    generator = await sharedGenerator();
  return new Map(layout.entries.map((entry) => [entry.name, wholeTensor(generator, entry)]));
}

/** Return one tensor. Throws `RangeError` where the recipe does not have it. */
export async function tensor(recipe: LayoutLike, name: string): Promise<TensorData> {
  const entry = FileLayout.of(recipe).entry(name);
  return wholeTensor(await sharedGenerator(), entry);
}

/** Return the elements of a tensor that an index selects. Nothing else is generated. */
export async function slice(recipe: LayoutLike, name: string, index: Index): Promise<TensorData> {
  const entry = FileLayout.of(recipe).entry(name);
  return sliceOf(await sharedGenerator(), entry, index);
}

/** Return bytes [start, stop) of the file. */
export async function range(recipe: LayoutLike, start: number | bigint, stop: number | bigint): Promise<Uint8Array> {
  const layout = FileLayout.of(recipe),
    [first, last] = ends(layout, { start, stop });
  return rangeOf(layout, await sharedGenerator(), first, last);
}

/** Return the ends of a part. Throws `RangeError` where the file does not have it. */
export function ends(layout: FileLayout, part: Part): [bigint, bigint] {
  const start = BigInt(part.start ?? 0),
    stop = BigInt(part.stop ?? layout.size);
  if (start < 0n || start > stop || stop > layout.size) {
    throw new RangeError(`bytes ${start} to ${stop} are not a part of a file of ${layout.size} bytes`);
  }
  return [start, stop];
}

/** Return the file, or a part of it, as a stream of chunks. It is generated as it is read, so it may exceed the memory. */
export function fileStream(recipe: LayoutLike, part: Part = {}): ReadableStream<Uint8Array> {
  const layout = FileLayout.of(recipe),
    [start, stop] = ends(layout, part);
  let at = start;
  return new ReadableStream(
    {
      async pull(controller) {
        if (at === stop) {
          controller.close();
          return;
        }
        const end = at + BigInt(CHUNK_BYTES) < stop ? at + BigInt(CHUNK_BYTES) : stop;
        controller.enqueue(rangeOf(layout, await sharedGenerator(), at, end));
        at = end;
      },
    },
    { highWaterMark: 1 },
  );
}

/**
 * Check every byte of a file. Without a recipe it is that of the file's header. Returns the layout.
 *
 * Throws `MismatchError` at the first byte that differs, and `FileError` where the header has no recipe.
 */
export async function verify(file: Source, recipe?: LayoutLike): Promise<FileLayout> {
  const generator = await sharedGenerator(),
    chunks = chunksOf(file);
  let layout = recipe === undefined ? null : FileLayout.of(recipe),
    held: Uint8Array[] = [],
    missing = 8,
    at = 0n;
  const check = (chunk: Uint8Array): void => {
    const known = layout!,
      end = at + BigInt(chunk.length);
    if (end > known.size)
      throw new MismatchError(`the file has more than the ${known.size} bytes of its recipe`, null, null);
    const wanted = rangeOf(known, generator, at, end);
    for (let n = 0; n < chunk.length; n++) {
      if (chunk[n] !== wanted[n]) throw mismatch(known, at + BigInt(n), chunk[n]! ^ wanted[n]!);
    }
    at = end;
  };
  for await (const chunk of chunks) {
    if (layout) {
      check(chunk);
      continue;
    }
    held.push(chunk);
    missing -= chunk.length;
    if (missing > 0) continue;
    const start = joined(held);
    held = [start];
    missing = headerBytes(start) - start.length;
    if (missing > 0) continue;
    layout = FileLayout.of(recipeInHeader(start));
    check(start);
  }
  layout ??= FileLayout.of(recipeInHeader(joined(held))); // throws: the header is not complete
  if (at !== layout.size)
    throw new MismatchError(`the file has ${at} bytes, and its recipe ${layout.size}`, null, null);
  return layout;
}

/** Return the length of a file's header, and of the number before it; 8 if it is longer than any. */
function headerBytes(start: Uint8Array): number {
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  return length > MAX_HEADER_BYTES ? 8 : 8 + Number(length);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const found = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    found.set(part, at);
    at += part.length;
  }
  return found;
}

/** Return the error that names the element of a byte that differs in these bits. */
function mismatch(layout: FileLayout, offset: bigint, bits: number): MismatchError {
  const [piece] = pieces(layout, offset, offset + 1n);
  if (!piece?.entry) return new MismatchError(`the header differs at byte ${offset}`, null, null);
  const { name, dtype } = piece.entry,
    isSecond = dtype.bits < 8 && !(bits & 15),
    element = piece.first + (isSecond ? 1n : 0n);
  return new MismatchError(`${name} differs at element ${element}, byte ${offset} of the file`, name, element);
}

/** Yield the bytes of a file in chunks of at most CHUNK_BYTES. */
async function* chunksOf(file: Source): AsyncGenerator<Uint8Array> {
  let chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
  if (ArrayBuffer.isView(file)) chunks = [file as Uint8Array];
  else if (file instanceof ArrayBuffer) chunks = [new Uint8Array(file)];
  else if (file instanceof Blob) chunks = readable(file.stream());
  else if (typeof Response !== "undefined" && file instanceof Response) chunks = file.body ? readable(file.body) : [];
  else if (file instanceof ReadableStream) chunks = readable(file);
  else if (typeof file === "object" && file !== null && Symbol.asyncIterator in file) chunks = file;
  else
    throw new TypeError(
      `verify takes the bytes of a file: a Uint8Array, an ArrayBuffer, a Blob or File, a Response, a ReadableStream, or an ` +
        `asynchronous iterable of Uint8Array, not ${typeof file === "string" ? "a path" : `a value of the type ${typeof file}`}. ` +
        `In Node, createReadStream(path) of node:fs reads a file.`,
    );
  for await (const chunk of chunks) {
    if (!ArrayBuffer.isView(chunk)) throw new TypeError(`a file is given as bytes, not as ${typeof chunk}`);
    const { buffer, byteOffset, byteLength } = chunk,
      bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let at = 0; at < byteLength; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
  }
}

/** Yield the chunks of a stream: not every browser can iterate over one. */
export async function* readable(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let isDone = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        isDone = true;
        return;
      }
      yield value;
    }
  } finally {
    if (isDone) reader.releaseLock();
    else await reader.cancel().catch(() => undefined);
  }
}
