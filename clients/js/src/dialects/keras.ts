/** The dialect of keras.initializers (SPEC.md section 2.6). */

import { Invalid } from "../errors.js";
import { MAX_KERNEL_RANK } from "../fans.js";
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
  matrix,
  withAxes,
} from "./library.js";

const KERAS_AXES = { input_axes: fields.axesOrNull(), output_axes: fields.axesOrNull() };

function kerasFans(shape: readonly number[], { input_axes: inputs, output_axes: outputs }: Values): Members {
  const rank = shape.length,
    all = shape.map((_, axis) => axis);
  if (inputs !== null && outputs !== null) {
    const named = rank ? [...inputs, ...outputs].map((axis: number) => ((axis % rank) + rank) % rank) : [];
    return { in_axes: inputs, out_axes: outputs, batch_axes: all.filter((axis) => !named.includes(axis)) };
  }
  if (inputs !== null || outputs !== null) {
    throw new Invalid("give both input_axes and output_axes, or neither", [
      inputs === null ? "input_axes" : "output_axes",
    ]);
  }
  if (rank < 2) return { mode: "fan_in", in_axes: all, out_axes: [] };
  return rank <= MAX_KERNEL_RANK ? { layout: "keras" } : { in_axes: [-2], out_axes: [-1] };
}

function kerasScaling(
  shape: readonly number[],
  scale: number,
  mode: string,
  distribution: string,
  values: Values,
): Members {
  const name = distribution === "normal" ? "truncated_normal" : distribution;
  return { scheme: "variance_scaling", scale, mode, distribution: name, ...kerasFans(shape, values) };
}

const kerasScaled = (scale: number, mode: string, distribution: string) =>
  initializer(KERAS_AXES, (shape, values) => kerasScaling(shape, scale, mode, distribution, values));

const anyText = fields.custom((json) => {
  if (json !== null && typeof json !== "string") throw new Invalid("must be a string or null");
  return json;
}, "hann");

const INITIALIZERS: [string, Initializer][] = [
  ["Zeros", zeros],
  ["Ones", ones],
  ["Constant", initializer({ value: fields.real(0) }, (_, { value }) => constant(value))],
  ["Identity", initializer({ gain: fields.real(1) }, (shape, { gain }) => matrix(shape, { scheme: "eye", gain }))],
  [
    "RandomNormal",
    initializer({ mean: fields.real(0), stddev: fields.nonNegative(0.05) }, (_, { mean, stddev }) =>
      normal(mean, stddev),
    ),
  ],
  [
    "RandomUniform",
    initializer({ minval: fields.real(-0.05), maxval: fields.real(0.05) }, (_, { minval, maxval }) =>
      uniform(minval, maxval),
    ),
  ],
  [
    "TruncatedNormal",
    initializer({ mean: fields.real(0), stddev: fields.nonNegative(0.05) }, (_, { mean, stddev }) =>
      normal(mean, stddev, { low: -2, high: 2 }),
    ),
  ],
  [
    "VarianceScaling",
    initializer(
      {
        scale: fields.positive(1),
        mode: fields.word(["fan_in", "fan_out", "fan_avg"], "fan_in"),
        distribution: fields.word(["truncated_normal", "normal", "untruncated_normal", "uniform"], "truncated_normal"),
        ...KERAS_AXES,
      },
      (shape, values) => kerasScaling(shape, values.scale, values.mode, values.distribution, values),
    ),
  ],
  ["GlorotUniform", kerasScaled(1, "fan_avg", "uniform")],
  ["GlorotNormal", kerasScaled(1, "fan_avg", "truncated_normal")],
  ["LecunUniform", kerasScaled(1, "fan_in", "uniform")],
  ["LecunNormal", kerasScaled(1, "fan_in", "truncated_normal")],
  ["HeUniform", kerasScaled(2, "fan_in", "uniform")],
  ["HeNormal", kerasScaled(2, "fan_in", "truncated_normal")],
  [
    "Orthogonal",
    initializer({ gain: fields.real(1) }, (shape, { gain }) => {
      withAxes(shape, "an orthogonal matrix");
      return gained(gain, { scheme: "orthogonal", layout: "keras" });
    }),
  ],
  [
    "STFT",
    initializer(
      {
        side: fields.word(["real", "imag"], "real"),
        window: anyText,
        scaling: fields.wordOrNull(["density", "spectrum"], "density"),
        periodic: fields.flag(false),
      },
      (_, { side, window, scaling, periodic }) => ({ scheme: "stft", side, window, scaling, periodic }),
    ),
  ],
];
const KERAS_ALIASES: Readonly<Record<string, string>> = {
  stft: "STFT",
  STFTInitializer: "STFT",
  one: "Ones",
  zero: "Zeros",
  normal: "RandomNormal",
  uniform: "RandomUniform",
  IdentityInitializer: "Identity",
  OrthogonalInitializer: "Orthogonal",
};
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/^_/, "");

const BY_NAME = new Map(INITIALIZERS);

/** The initializers of keras.initializers. */
export const KERAS: Library = new Map([
  ...INITIALIZERS,
  ...INITIALIZERS.filter(([name]) => name !== "STFT").map(
    ([name, each]) => [snake(name), each] as [string, Initializer],
  ),
  ...Object.entries(KERAS_ALIASES).map(([alias, name]) => [alias, BY_NAME.get(name)!] as [string, Initializer]),
]);
