/** The dialect of torch.nn.init (SPEC.md section 2.6). */

import { MAX_KERNEL_RANK } from "../fans.js";
import * as fields from "../schemes/fields.js";
import {
  type Members,
  type Initializer,
  type Library,
  initializer,
  constant,
  normal,
  uniform,
  zeros,
  ones,
  matrix,
  withAxes,
} from "./library.js";

/** Axis 1 is the input and axis 0 the output, also in grouped and transposed kernels. */
function torchFans(shape: readonly number[]): Members {
  withAxes(shape, "an initializer with fans");
  return shape.length <= MAX_KERNEL_RANK ? { layout: "torch" } : { in_axes: [1], out_axes: [0] };
}

const NONLINEARITIES = [
  "linear",
  "conv1d",
  "conv2d",
  "conv3d",
  "conv_transpose1d",
  "conv_transpose2d",
  "conv_transpose3d",
  "sigmoid",
  "tanh",
  "relu",
  "leaky_relu",
  "selu",
];
const KAIMING = {
  a: fields.real(0),
  mode: fields.word(["fan_in", "fan_out"], "fan_in"),
  nonlinearity: fields.word(NONLINEARITIES, "leaky_relu"),
};

function kaiming(distribution: string): Initializer {
  return initializer(KAIMING, (shape, { a, mode, nonlinearity }) => {
    const common = { mode, ...torchFans(shape) };
    if (nonlinearity === "relu" || nonlinearity === "leaky_relu") {
      return { scheme: `he_${distribution}`, negative_slope: nonlinearity === "relu" ? 0 : Math.abs(a), ...common };
    }
    const gain = nonlinearity === "tanh" ? 5 / 3 : nonlinearity === "selu" ? 3 / 4 : 1;
    return { scheme: "variance_scaling", scale: gain * gain, distribution, ...common };
  });
}

function xavier(scheme: string): Initializer {
  return initializer({ gain: fields.nonNegative(1) }, (shape, { gain }) => {
    const fans = torchFans(shape);
    return gain ? { scheme, gain, ...fans } : constant(0);
  });
}

const INITIALIZERS: [string, Initializer][] = [
  ["uniform_", initializer({ a: fields.real(0), b: fields.real(1) }, (_, { a, b }) => uniform(a, b))],
  [
    "normal_",
    initializer({ mean: fields.real(0), std: fields.nonNegative(1) }, (_, { mean, std }) => normal(mean, std)),
  ],
  [
    "trunc_normal_",
    initializer(
      { mean: fields.real(0), std: fields.positive(1), a: fields.real(-2), b: fields.real(2) },
      (_, { mean, std, a, b }) =>
        a === b ? constant(a) : { scheme: "truncated_normal", mean, std, low: a, high: b, bounds: "absolute" },
    ),
  ],
  ["constant_", initializer({ val: fields.real() }, (_, { val }) => constant(val))],
  ["ones_", ones],
  ["zeros_", zeros],
  ["eye_", initializer({}, (shape) => matrix(shape, { scheme: "eye" }))],
  [
    "dirac_",
    initializer({ groups: fields.count(1) }, (_, { groups }) => ({ scheme: "dirac", groups, layout: "torch" })),
  ],
  ["xavier_uniform_", xavier("glorot_uniform")],
  ["xavier_normal_", xavier("glorot_normal")],
  ["kaiming_uniform_", kaiming("uniform")],
  ["kaiming_normal_", kaiming("normal")],
  [
    "orthogonal_",
    initializer({ gain: fields.real(1) }, (shape, { gain }) => {
      withAxes(shape, "an orthogonal matrix");
      return gain ? { scheme: "orthogonal", gain: Math.abs(gain), layout: "torch" } : constant(0);
    }),
  ],
  [
    "sparse_",
    initializer({ sparsity: fields.proportion(), std: fields.nonNegative(0.01) }, (shape, { sparsity, std }) =>
      matrix(shape, std ? { scheme: "sparse", sparsity, std } : constant(0)),
    ),
  ],
];
const WITHOUT_ALIAS = ["trunc_normal_", "ones_", "zeros_"];

/** The initializers of torch.nn.init. Those of old have a deprecated name without underscore. */
export const TORCH: Library = new Map([
  ...INITIALIZERS,
  ...INITIALIZERS.filter(([name]) => !WITHOUT_ALIAS.includes(name)).map(
    ([name, each]) => [name.slice(0, -1), each] as [string, Initializer],
  ),
]);
