/** The draw of a tensor at a finer type than it is stored in. */

import type { Draw } from "../../src/draws/index.js";
import { drawAt } from "../../src/description.js";
import { type DType, dtypeOf } from "../../src/dtypes.js";
import { DrawError, Invalid } from "../../src/errors.js";
import type { Tensor } from "../../src/schemes/base.js";

export interface Unrounded {
  readonly draw: Draw;
  readonly dtype: DType;
  /** The bounds of stored elements; infinite where there are none. */
  readonly low: number;
  readonly high: number;
}

/** Return the unrounded draw of random elements; null where there is none. */
export function description(tensor: Tensor): Unrounded | null {
  const { dtype, draw } = tensor;
  if (dtype.kind !== "real" || dtype.name === "F64") return null;
  if (!["uniform", "normal", "truncated", "mapped", "sparse", "blocks"].includes(draw.kind)) return null;
  const finer = dtypeOf(dtype.name === "F32" ? "F64" : "F32");
  const bounded = draw.kind === "sparse" ? draw.draw : draw;
  const [low, high] = "halfWidth" in bounded || bounded.kind === "truncated" ? [bounded.low, bounded.high] : [-Infinity, Infinity];
  try {
    return { draw: drawAt(tensor, finer), dtype: finer, low, high };
  } catch (error) {
    if (error instanceof DrawError || error instanceof Invalid) return null; // the finer type refuses the scheme
    throw error;
  }
}
