/** Dialects: the initializers of torch, Keras and JAX, under their names there, as schemes (SPEC.md section 2.6). */

import { dtypeOf } from "./dtypes.js";
import { Invalid } from "./errors.js";
import { MAX_KERNEL_RANK } from "./fans.js";
import { type Json, JsonNumber, type JsonObject, toJson } from "./json.js";
import * as fields from "./schemes/fields.js";
import type { Field } from "./schemes/fields.js";

type Members = Record<string, unknown>;
// Each initializer reads its parameters with the types that its fields return.
type Values = Record<string, any>;
type Make = (shape: readonly number[], values: Values) => Members;
interface Initializer {
  readonly parameters: Readonly<Record<string, Field>>;
  readonly make: Make;
}
type Library = ReadonlyMap<string, Initializer>;

const SHARED = ["shape", "dtype", "scheme", "dialect"];

export function dialectOf(json: Json): string {
  if (json !== "fanin" && (typeof json !== "string" || !DIALECTS.has(json))) {
    throw new Invalid("unknown dialect; there are fanin, torch, keras, jax");
  }
  return json;
}

/** Return the members of the tensor without a dialect. Throws `Invalid`. */
export function translated(tensor: JsonObject, dialect: string): JsonObject {
  const name = tensor.get("scheme"),
    library = DIALECTS.get(dialect)!;
  const initializer = typeof name === "string" ? library.get(name) : undefined;
  if (!initializer) throw new Invalid(`${dialect} has no such initializer`, ["scheme"]);
  const found: JsonObject = new Map();
  for (const field of ["shape", "dtype"]) if (tensor.has(field)) found.set(field, tensor.get(field)!);
  const given = tensor.get("shape");
  if (!Array.isArray(given) || !given.every((size) => size instanceof JsonNumber && size.isInteger)) {
    return found.set("scheme", "zeros"); // the validation of the tensor reports the wrong shape
  }
  const shape = given.map((size) => (size as JsonNumber).value);
  const members = initializer.make(shape, valuesOf(tensor, initializer));
  for (const [field, value] of Object.entries(members)) found.set(field, toJson(value));
  return found;
}

function valuesOf(tensor: JsonObject, initializer: Initializer): Values {
  const found: Values = {};
  for (const field of tensor.keys()) {
    if (!SHARED.includes(field) && !Object.hasOwn(initializer.parameters, field))
      throw new Invalid("the initializer has no such parameter", [field]);
  }
  for (const [field, parameter] of Object.entries(initializer.parameters)) {
    if (tensor.has(field)) {
      try {
        found[field] = parameter.parse(tensor.get(field)!, dtypeOf("F32"));
      } catch (error) {
        throw error instanceof Invalid ? error.within(field) : error;
      }
    } else if (parameter.default === undefined) {
      throw new Invalid("this field is required", [field]);
    } else {
      found[field] = parameter.default;
    }
  }
  return found;
}

const initializer = (parameters: Record<string, Field>, make: Make): Initializer => ({ parameters, make });
const constant = (value: number): Members => ({ scheme: "constant", value });
const gained = (gain: number, members: Members): Members =>
  gain ? { ...members, gain: Math.abs(gain) } : { scheme: "zeros" };
const normal = (mean: number, std: number, bounds: Members = {}): Members =>
  std ? { scheme: "low" in bounds ? "truncated_normal" : "normal", mean, std, ...bounds } : constant(mean);
const uniform = (low: number, high: number): Members =>
  low === high ? constant(low) : { scheme: "uniform", low, high };
const zeros = initializer({}, () => ({ scheme: "zeros" }));
const ones = initializer({}, () => ({ scheme: "ones" }));

function matrix(shape: readonly number[], members: Members): Members {
  if (shape.length !== 2) throw new Invalid(`a tensor of ${shape.length} dimensions is not a matrix`, ["shape"]);
  return members;
}

function withAxes(shape: readonly number[], what: string): void {
  if (shape.length < 2) throw new Invalid(`${what} needs 2 axes or more, not ${shape.length}`, ["shape"]);
}

// ---- torch ----------------------------------------------------------------------------------------------------------

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

const TORCH: [string, Initializer][] = [
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

// ---- Keras ----------------------------------------------------------------------------------------------------------

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

const KERAS: [string, Initializer][] = [
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

// ---- JAX ------------------------------------------------------------------------------------------------------------

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

const JAX: [string, Initializer][] = [
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

const DIALECTS: ReadonlyMap<string, Library> = new Map([
  [
    "torch",
    new Map([
      ...TORCH,
      ...TORCH.filter(([name]) => !WITHOUT_ALIAS.includes(name)).map(
        ([name, each]) => [name.slice(0, -1), each] as [string, Initializer],
      ),
    ]),
  ],
  [
    "keras",
    new Map([
      ...KERAS,
      ...KERAS.filter(([name]) => name !== "STFT").map(([name, each]) => [snake(name), each] as [string, Initializer]),
      ...Object.entries(KERAS_ALIASES).map(
        ([alias, name]) => [alias, new Map(KERAS).get(name)!] as [string, Initializer],
      ),
    ]),
  ],
  ["jax", new Map(JAX)],
]);
