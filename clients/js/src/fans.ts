/** Fans: the numbers of connections of one output unit and of one input unit (SPEC.md section 9.2). */

import { DrawError } from "./errors.js";
import { Rational } from "./rational.js";

export type Mode = "fan_in" | "fan_out" | "fan_avg" | "fan_geo_avg";

export interface FanParameters {
  readonly layout: "keras" | "torch";
  readonly in_axes: readonly number[] | null;
  readonly out_axes: readonly number[] | null;
  readonly batch_axes: readonly number[];
  readonly groups: number;
  readonly depthwise: boolean;
  readonly transposed: boolean;
}

export interface Fans {
  readonly fanIn: bigint;
  readonly fanOut: bigint;
}

export const MAX_KERNEL_RANK = 5;

/** Return the product of sizes. */
export function product(sizes: Iterable<number>): bigint {
  let found = 1n;
  for (const size of sizes) found *= BigInt(size);
  return found;
}

/** Return the square of the fan that a mode selects. It is rational even for the geometric mean. */
export function squared(fans: Fans, mode: Mode): Rational {
  const { fanIn, fanOut } = fans;
  switch (mode) {
    case "fan_in":
      return Rational.of(fanIn * fanIn);
    case "fan_out":
      return Rational.of(fanOut * fanOut);
    case "fan_avg":
      return Rational.of((fanIn + fanOut) ** 2n, 4n);
    case "fan_geo_avg":
      return Rational.of(fanIn * fanOut);
  }
}

/** Return the fans of a kernel of this shape. Throws `DrawError` where the shape does not determine them. */
export function fansOf(shape: readonly number[], parameters: FanParameters): Fans {
  const { layout, in_axes, out_axes, groups, depthwise, transposed } = parameters;
  const rank = shape.length;
  const batch = axesOf("batch_axes", parameters.batch_axes, rank);
  if ((in_axes === null) !== (out_axes === null)) {
    throw new DrawError(
      in_axes === null ? "in_axes" : "out_axes",
      "in_axes and out_axes are given together or not at all",
    );
  }
  let inputs: number[], outputs: number[];
  if (in_axes !== null && out_axes !== null) {
    [inputs, outputs] = [axesOf("in_axes", in_axes, rank), axesOf("out_axes", out_axes, rank)];
  } else {
    [inputs, outputs] = axesOfLayout(
      shape.map((_, axis) => axis).filter((axis) => !batch.includes(axis)),
      layout,
      transposed,
    );
  }
  const named = [...inputs, ...outputs, ...batch];
  if (new Set(named).size !== named.length) {
    throw new DrawError("in_axes", "an axis is named twice among in_axes, out_axes and batch_axes");
  }
  const field = product(shape.filter((_, axis) => !named.includes(axis)));
  const storedIn = product(inputs.map((axis) => shape[axis]!)),
    storedOut = product(outputs.map((axis) => shape[axis]!));
  if (depthwise) {
    if (layout === "torch" || groups !== 1 || transposed || in_axes !== null) {
      throw new DrawError(
        "depthwise",
        "depthwise is for a kernel (*k, in, multiplier) with layout keras, without groups, axes or transposed",
      );
    }
    return { fanIn: field, fanOut: storedOut * field };
  }
  const count = BigInt(groups);
  const [all, name] = transposed ? [storedIn, "input"] : [storedOut, "output"];
  if (all % count) throw new DrawError("groups", `${groups} groups do not divide ${all} ${name} channels`);
  return transposed
    ? { fanIn: (storedIn / count) * field, fanOut: storedOut * field }
    : { fanIn: storedIn * field, fanOut: (storedOut / count) * field };
}

function axesOf(field: string, axes: readonly number[], rank: number): number[] {
  return axes.map((axis) => {
    if (axis < -rank || axis >= rank)
      throw new DrawError(field, `axis ${axis} is not an axis of a shape of rank ${rank}`);
    return axis < 0 ? axis + rank : axis;
  });
}

/** Return input and output axes: torch (out, in, *k), keras (*k, in, out); exchanged in a transposed kernel. */
function axesOfLayout(axes: readonly number[], layout: "keras" | "torch", transposed: boolean): [number[], number[]] {
  if (axes.length < 2 || axes.length > MAX_KERNEL_RANK) {
    throw new DrawError(
      "in_axes",
      `a kernel of rank ${axes.length} does not define fans: give in_axes and out_axes, or batch_axes`,
    );
  }
  const [first, second] = layout === "keras" ? [axes.at(-2)!, axes.at(-1)!] : [axes[1]!, axes[0]!];
  return transposed ? [[second], [first]] : [[first], [second]];
}
