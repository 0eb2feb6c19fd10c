/** A part of a tensor as a matrix, with its singular values. */

import { descriptionOf } from "../../src/description.js";
import { sharedGenerator } from "../../src/plan.js";
import type { BlockAnswer, Subject } from "../protocol.js";
import { layoutOf } from "./fans.js";
import { matrixOf, part } from "./sample.js";
import { marchenkoPastur, singularValues } from "./spectrum.js";
import { find } from "./subject.js";

/** Most rows and columns of a part. */
const MOST = 256;
/** Rows and columns from which on the density of large matrices is near. */
const LEAST = 8;

export async function block({ subject, row, column }: { subject: Subject; row: number; column: number }): Promise<BlockAnswer> {
  const { entry, tensor } = find(subject),
    generator = await sharedGenerator();
  const matrix = matrixOf(entry.shape, layoutOf(tensor) === "torch");
  const from = (at: number, size: number) => Math.max(Math.min(at, size - MOST), 0);
  const first: [number, number] = [from(row, matrix[0]), from(column, matrix[1])];
  const size: [number, number] = [Math.min(MOST, matrix[0]), Math.min(MOST, matrix[1])];
  const values = size[0] * size[1]
    ? part(generator, entry, matrix, [first[0], first[0] + size[0]], [first[1], first[1] + size[1]])
    : new Float64Array();
  const isComplex = entry.dtype.kind === "complex",
    shown = isComplex ? values.filter((_, n) => n % 2 === 0) : values;
  let most = 0;
  for (const value of shown) most = Math.max(most, Math.abs(value));
  const { moments } = descriptionOf(tensor);
  const isIndependent = ["uniform", "normal", "truncated", "mapped"].includes(entry.draw.kind);
  const hasSpectrum = !isComplex && Math.min(...size) > 1;
  const isWhole = size[0] === matrix[0] && size[1] === matrix[1];
  const hasLaw = hasSpectrum && isIndependent && moments && Math.abs(moments.mean) < moments.std / 100;
  const { draw } = entry,
    isOrthogonal = draw.kind === "orthogonal" && Math.min(draw.rows, draw.columns) === Math.min(...matrix);
  return {
    matrix,
    first,
    size,
    values: Array.from(shown),
    most: moments?.std ? Math.min(most, Math.abs(moments.mean) + 3 * moments.std) : most,
    singular: hasSpectrum ? singularValues(shown, ...size) : null,
    law: hasLaw && Math.min(...size) >= LEAST ? marchenkoPastur(...size, moments.std) : null,
    whole: isWhole
      ? null
      : isOrthogonal
        ? [draw.gain, draw.gain]
        : hasLaw && Math.min(...matrix) >= LEAST
          ? marchenkoPastur(...matrix, moments.std).ends
          : null,
    isOrthogonal,
  };
}
