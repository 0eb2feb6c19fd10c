/** The effects of rounding to the storage type, beside the unrounded draw. */

import type { Generator } from "../../src/composed.js";
import { description } from "./unrounded.js";
import { type DType, narrow, widened } from "../../src/dtypes.js";
import type { Entry } from "../../src/layout.js";
import type { Tensor } from "../../src/schemes/base.js";
import type { Numbers, Rounding } from "../protocol.js";
import { place, spacing } from "./grid.js";
import { sample } from "./sample.js";

/** Numbers of the storage type that the plot of single elements shows on each side of its middle. */
const STEPS = 8;
const POINTS = 400;

/** Return how elements of a sample differ from the unrounded draw; null where nothing is rounded. */
export function rounding(
  generator: Generator,
  entry: Entry,
  tensor: Tensor,
  stored: Float64Array,
  measured: Numbers,
): Rounding | null {
  const finer = description(tensor);
  if (!finer || !measured.std) return null;
  const { dtype } = entry,
    exact = sample(generator, entry, finer.draw, finer.dtype);
  const tally = new Map<number, number>();
  let clamped = 0,
    zeros = 0,
    squares = 0;
  for (let n = 0; n < stored.length; n++) {
    const [value, wanted] = [stored[n]!, exact[n]!];
    tally.set(value, (tally.get(value) ?? 0) + 1);
    if (value === 0 && wanted !== 0) zeros++;
    squares += ((value - wanted) / measured.std) ** 2;
    if ((value === finer.low || value === finer.high) && isBeyond(wanted, finer.low, finer.high, dtype)) clamped++;
  }
  let entropy = 0;
  for (const count of tally.values()) entropy -= (count / stored.length) * Math.log2(count / stored.length);
  const middle = measured.mean + measured.std,
    half = STEPS * spacing(middle, dtype);
  const range: [number, number] = [middle - half, middle + half];
  const points: [number, number][] = [];
  for (let n = 0; n < stored.length && points.length < POINTS; n++)
    if (exact[n]! >= range[0] && exact[n]! <= range[1]) points.push([exact[n]!, stored[n]!]);
  return {
    from: finer.dtype.name,
    distinct: tally.size,
    possible: place(measured.high!, dtype) - place(measured.low!, dtype) + 1,
    clamped: Number.isFinite(finer.low) || Number.isFinite(finer.high) ? clamped : null,
    entropy,
    bits: dtype.bits,
    zeros,
    error: Math.sqrt(squares / stored.length),
    points,
    range,
  };
}

function isBeyond(value: number, low: number, high: number, dtype: DType): boolean {
  const rounded = widened(narrow(Math.fround(value), dtype), dtype);
  return rounded < low || rounded > high;
}
