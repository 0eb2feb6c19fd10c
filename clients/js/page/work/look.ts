/** The description of one tensor, and its histogram. */

import { descriptionOf } from "../../src/description.js";
import { sharedGenerator } from "../../src/plan.js";
import type { Tensor } from "../../src/schemes/base.js";
import type { LookAnswer, Numbers, Range, Subject } from "../protocol.js";
import { lawOf } from "./density.js";
import { expected } from "./expected.js";
import { fansAnswer } from "./fans.js";
import { histogram, rangeOf } from "./histogram.js";
import { rounding } from "./rounding.js";
import { sample, sampled } from "./sample.js";
import { find } from "./subject.js";

/** Draws of independent elements, of at most the kurtosis of a normal distribution. */
const SPREAD = ["uniform", "normal", "truncated"];

/** Return the standard errors of mean and deviation, those of normal elements. */
const errorsOf = (std: number, count: number) => ({ mean: std / Math.sqrt(count), std: std / Math.sqrt(2 * count) });

/** Return the description of a tensor, its histogram, and what rounding does to it. */
export async function look({ subject, range }: { subject: Subject; range: Range | null }): Promise<LookAnswer> {
  const { entry, tensor } = find(subject),
    generator = await sharedGenerator();
  const { formula } = descriptionOf(tensor),
    known = expected(tensor);
  const { dtype } = entry;
  const values = sample(generator, entry);
  const measured = values.length ? measure(values, dtype.kind === "complex") : null;
  return {
    shape: entry.shape,
    dtype: dtype.name,
    scheme: tensor.scheme.name,
    formula,
    fans: fansAnswer(tensor),
    drawn: known && known.drawn,
    stored: known && known.stored,
    measured,
    chance: measured && SPREAD.includes(entry.draw.kind) && dtype.kind === "real" ? errorsOf(measured.std, values.length) : null,
    elements: String(entry.count),
    sampled: sampled(entry),
    histogram: measured && histogram(values, dtype, range ?? axisOf(tensor) ?? [measured.low!, measured.high!], lawOf(entry.draw, dtype)),
    rounding: measured && rounding(generator, entry, tensor, values, measured),
  };
}

/** Return the ends of the axis of values of a tensor; null where only a sample can tell them. */
export function axisOf(tensor: Tensor): Range | null {
  const { moments } = descriptionOf(tensor);
  // C64 is shown by the real and imaginary parts, each with half of the variance.
  const parts = tensor.dtype.kind === "complex" ? Math.SQRT2 : 1;
  return moments && rangeOf({ ...moments, std: moments.std / parts });
}

/** Return mean, deviation and ends of a sample. Values are scaled first: the square of a large one is infinite. */
function measure(values: Float64Array, isComplex: boolean): Numbers {
  let low = Infinity,
    high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  let total = 0;
  for (const value of values) total += value / most;
  const mean = total / values.length;
  let squares = 0;
  for (const value of values) squares += (value / most - mean) ** 2;
  // E|z - mean|^2 is the sum of the variances of both parts.
  const variance = (squares / values.length) * (isComplex ? 2 : 1);
  return { mean: mean * most, std: Math.sqrt(variance) * most, low, high };
}
