/** The numbers of a storage type, in their order. */

import { pow2 } from "../../src/bits.js";
import { type DType, narrow, widened } from "../../src/dtypes.js";

/** Return the place of the number of the type that is nearest to a value; 0 for 0. Neighbours differ by 1. */
export function place(value: number, dtype: DType): number {
  const magnitude = narrow(Math.abs(value), dtype);
  return value < 0 ? -magnitude : magnitude;
}

/** Return the number at a place. */
export function numberAt(at: number, dtype: DType): number {
  return at < 0 ? -widened(-at, dtype) : widened(at, dtype);
}

/** Return the distance of neighbours among the numbers of the type near x. */
export function spacing(x: number, dtype: DType): number {
  const exponent = x === 0 ? dtype.minExponent : Math.max(Math.floor(Math.log2(Math.abs(x))), dtype.minExponent);
  return pow2(exponent - dtype.precision + 1);
}
