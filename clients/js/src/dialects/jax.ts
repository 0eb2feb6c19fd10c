/** The dialect of jax.nn.initializers (SPEC.md section 2.6). */

import { Invalid } from "../errors.js";
import { MAX_KERNEL_RANK } from "../fans.js";
import { JsonNumber } from "../json.js";
import * as fields from "../schemes/fields.js";
import {
  type Members,
  type Values,
  type Initializer,
  type Library,
  initializer,
  constant,
  gained,
  normal,
  uniform,
  zeros,
  ones,
  withAxes,
} from "./library.js";

const axisOrAxes = (fallback: readonly number[]) =>
  fields.custom((json) => (json instanceof JsonNumber ? [fields.asAxis(json)] : fields.asAxes(json)), fallback);
const JAX_AXES = { in_axis: axisOrAxes([-2]), out_axis: axisOrAxes([-1]), batch_axis: axisOrAxes([]) };

function jaxScaling(
  shape: readonly number[],
  scale: number,
  mode: string,
  distribution: string,
  values: Values,
): Members {
  if (!scale) return { scheme: "zeros" };
  const scheme = { scheme: "variance_scaling", scale, mode, distribution },
    { in_axis, out_axis, batch_axis } = values;
  const isDefault = String(in_axis) === "-2" && String(out_axis) === "-1" && !batch_axis.length;
  if (isDefault && shape.length >= 2 && shape.length <= MAX_KERNEL_RANK) return { ...scheme, layout: "keras" };
  return { ...scheme, in_axes: in_axis, out_axes: out_axis, batch_axes: batch_axis };
}

const jaxScaled = (scale: number, mode: string, distribution: string) =>
  initializer(JAX_AXES, (shape, values) => jaxScaling(shape, scale, mode, distribution, values));

/** A transposed matrix has the same distribution, so the axis of the columns decides the layout. */
function columnLayout(rank: number, axis: number): string {
  if (axis === -1 || axis === rank - 1) return "keras";
  if (axis === -rank || axis === 0) return "torch";
  throw new Invalid(`axis ${axis} is neither the first nor the last of ${rank}`, ["column_axis"]);
}

const INITIALIZERS: [string, Initializer][] = [
  ["zeros", zeros],
  ["ones", ones],
  ["constant", initializer({ value: fields.real() }, (_, { value }) => constant(value))],
  [
    "uniform",
    initializer({ scale: fields.real(0.01) }, (_, { scale }) => uniform(Math.min(scale, 0), Math.max(scale, 0))),
  ],
  ["normal", initializer({ stddev: fields.real(0.01) }, (_, { stddev }) => normal(0, Math.abs(stddev)))],
  [
    "truncated_normal",
    initializer(
      { stddev: fields.real(0.01), lower: fields.realOrNull(-2), upper: fields.realOrNull(2) },
      (_, { stddev, lower, upper }) => {
        const negated = (end: number | null) => (end === null ? null : -end);
        const [low, high] = stddev < 0 ? [negated(upper), negated(lower)] : [lower, upper];
        return normal(0, Math.abs(stddev), { low, high });
      },
    ),
  ],
  [
    "variance_scaling",
    initializer(
      {
        scale: fields.nonNegative(),
        mode: fields.word(["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]),
        distribution: fields.word(["truncated_normal", "normal", "uniform"]),
        ...JAX_AXES,
      },
      (shape, values) => jaxScaling(shape, values.scale, values.mode, values.distribution, values),
    ),
  ],
  ...["glorot", "xavier"].flatMap(
    (name) =>
      [
        [`${name}_uniform`, jaxScaled(1, "fan_avg", "uniform")],
        [`${name}_normal`, jaxScaled(1, "fan_avg", "truncated_normal")],
      ] as [string, Initializer][],
  ),
  ["lecun_uniform", jaxScaled(1, "fan_in", "uniform")],
  ["lecun_normal", jaxScaled(1, "fan_in", "truncated_normal")],
  ...["he", "kaiming"].flatMap(
    (name) =>
      [
        [`${name}_uniform`, jaxScaled(2, "fan_in", "uniform")],
        [`${name}_normal`, jaxScaled(2, "fan_in", "truncated_normal")],
      ] as [string, Initializer][],
  ),
  [
    "orthogonal",
    initializer({ scale: fields.real(1), column_axis: fields.axis(-1) }, (shape, { scale, column_axis }) => {
      withAxes(shape, "an orthogonal matrix");
      return gained(scale, { scheme: "orthogonal", layout: columnLayout(shape.length, column_axis) });
    }),
  ],
  [
    "delta_orthogonal",
    initializer({ scale: fields.real(1), column_axis: fields.countFrom(-2, 1, -1) }, (_, { scale }) =>
      gained(scale, { scheme: "delta_orthogonal", layout: "keras" }),
    ),
  ],
];

/** The initializers of jax.nn.initializers. */
export const JAX: Library = new Map(INITIALIZERS);
