/** Streams: which random words belong to which tensor (SPEC.md section 4). */

import { Sha256 } from "./sha256.js";

export type Purpose = "main" | "low" | "sparse";

/** The random words of one tensor. */
export interface Stream {
  readonly version: string;
  readonly seed: bigint;
  readonly name: string;
}

/** Philox key and upper counter words (k0, k1, h0, h1). */
export type Key = readonly [number, number, number, number];

const encoder = new TextEncoder();
/** Keys that were computed: short runs of a tensor need the same ones again and again. */
const known = new WeakMap<Stream, Map<Purpose, Key>>();

/** Return the key of one purpose of a stream. */
export function streamKey(stream: Stream, purpose: Purpose): Key {
  let keys = known.get(stream);
  if (!keys) known.set(stream, (keys = new Map()));
  let found = keys.get(purpose);
  if (!found) keys.set(purpose, (found = hashed(stream, purpose)));
  return found;
}

function hashed(stream: Stream, purpose: Purpose): Key {
  const seed = new Uint8Array(8);
  new DataView(seed.buffer).setBigUint64(0, stream.seed, true);
  const hash = new Sha256()
    .update(sized(stream.version))
    .update(seed)
    .update(sized(stream.name))
    .update(sized(purpose));
  const view = new DataView(hash.digest().buffer);
  return [0, 4, 8, 12].map((at) => view.getUint32(at, true)) as unknown as Key;
}

function sized(text: string): Uint8Array {
  const data = encoder.encode(text);
  const found = new Uint8Array(4 + data.length);
  new DataView(found.buffer).setUint32(0, data.length, true);
  found.set(data, 4);
  return found;
}
