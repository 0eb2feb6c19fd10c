/** The initializers that all libraries have, and what one consists of. */

import { Invalid } from "../errors.js";
import type { Field } from "../schemes/fields.js";

/** Members of a tensor without a dialect. */
export type Members = Record<string, unknown>;
// Each initializer reads its parameters with the types that its fields return.
export type Values = Record<string, any>;
export type Make = (shape: readonly number[], values: Values) => Members;
export interface Initializer {
  readonly parameters: Readonly<Record<string, Field>>;
  readonly make: Make;
}
export type Library = ReadonlyMap<string, Initializer>;

export const initializer = (parameters: Record<string, Field>, make: Make): Initializer => ({ parameters, make });
export const constant = (value: number): Members => ({ scheme: "constant", value });
export const gained = (gain: number, members: Members): Members =>
  gain ? { ...members, gain: Math.abs(gain) } : { scheme: "zeros" };
export const normal = (mean: number, std: number, bounds: Members = {}): Members =>
  std ? { scheme: "low" in bounds ? "truncated_normal" : "normal", mean, std, ...bounds } : constant(mean);
export const uniform = (low: number, high: number): Members =>
  low === high ? constant(low) : { scheme: "uniform", low, high };
export const zeros = initializer({}, () => ({ scheme: "zeros" }));
export const ones = initializer({}, () => ({ scheme: "ones" }));

export function matrix(shape: readonly number[], members: Members): Members {
  if (shape.length !== 2) throw new Invalid(`a tensor of ${shape.length} dimensions is not a matrix`, ["shape"]);
  return members;
}

export function withAxes(shape: readonly number[], what: string): void {
  if (shape.length < 2) throw new Invalid(`${what} needs 2 axes or more, not ${shape.length}`, ["shape"]);
}
