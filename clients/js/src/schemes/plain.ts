/** Schemes whose elements depend on their words alone (SPEC.md sections 9, 9.1, 9.4 and 9.11), and constants. */

import * as draws from "../draws/index.js";
import type { Draw } from "../draws/index.js";
import { DrawError } from "../errors.js";
import { product } from "../fans.js";
import { ONE, Rational, TWO, ZERO, min } from "../rational.js";
import { complexTruncatedStd, log, quotient, root, truncatedStd } from "../scalars.js";
import { FANS, MODES, type Scheme, type Tensor, scaled, tensorFans } from "./base.js";
import * as fields from "./fields.js";
import type { Field } from "./fields.js";

export function scheme(
  name: string,
  parameters: Record<string, Field>,
  lower: (tensor: Tensor) => Draw,
  more: Partial<Scheme> = {},
): Scheme {
  return { name, aliases: [], sizeField: "scheme", parameters, lower, ...more };
}

const square = (value: Rational) => value.mul(value);
const DISTRIBUTIONS = ["uniform", "normal", "untruncated_normal", "truncated_normal"];
const spell = (tensor: Tensor) => {
  if (tensor.values.distribution === "untruncated_normal") tensor.values.distribution = "normal";
};
const normalOrCut = (tensor: Tensor) => (tensor.flag("truncated") ? "truncated_normal" : "normal");
const heScale = (tensor: Tensor) => TWO.div(ONE.add(square(tensor.exact("negative_slope"))));

function truncated(tensor: Tensor): Draw {
  const mean = tensor.exact("mean"),
    { dtype } = tensor;
  let std = tensor.exact("std");
  const isAbsolute = tensor.text("bounds") === "absolute";
  const [low, high] = ["low", "high"].map((name) => {
    const value = tensor.exactOrNull(name);
    return value && isAbsolute ? value.sub(mean).div(std) : value;
  }) as [Rational | null, Rational | null];
  if (tensor.flag("corrected")) {
    if (isAbsolute) throw new DrawError("corrected", "corrected needs bounds in standard deviations: give bounds std");
    draws.checkInterval(low, high, dtype);
    const isDisk = dtype.kind === "complex" && high && !high.isZero;
    std = quotient(std, isDisk ? complexTruncatedStd(high) : truncatedStd(low, high));
  }
  return draws.truncatedNormal(mean, std, low, high, dtype);
}

/** Return a normal distribution with this deviation before the cut, which may be null. */
function cutNormal(tensor: Tensor, std: Rational): Draw {
  const cut = tensor.exactOrNull("cut");
  if (cut === null) return draws.normal(ZERO, std, tensor.dtype);
  try {
    draws.checkInterval(cut.neg(), cut, tensor.dtype);
  } catch (error) {
    throw error instanceof DrawError ? new DrawError("cut", `cut is too small: ${error.message}`) : error;
  }
  return draws.truncatedNormal(ZERO, std, cut.neg(), cut, tensor.dtype);
}

/** Return the numbers of layers of encoder and decoder. The second is null if there is one stack. */
function layers(tensor: Tensor): [Rational, Rational | null] {
  const encoder = tensor.exactOrNull("encoder_layers"),
    decoder = tensor.exactOrNull("decoder_layers");
  const one = encoder ?? decoder;
  if (one === null) throw new DrawError("encoder_layers", "encoder_layers, decoder_layers or both must be given");
  const hasBoth = encoder !== null && decoder !== null;
  if (hasBoth === (tensor.text("side") === "only")) {
    throw new DrawError(
      "side",
      `side must be ${hasBoth ? "encoder or decoder: there are two stacks" : "only: there is one stack"}`,
    );
  }
  return hasBoth ? [encoder, decoder] : [one, null];
}

function deepnorm(tensor: Tensor): Draw {
  const [first, second] = layers(tensor),
    distribution = tensor.text("distribution");
  if (second === null) return scaled(tensor, ONE, "fan_avg", distribution, ONE.div(first.mul(Rational.of(8))), 4);
  if (tensor.text("side") === "decoder")
    return scaled(tensor, ONE, "fan_avg", distribution, ONE.div(second.mul(Rational.of(12))), 4);
  return scaled(tensor, ONE, "fan_avg", distribution, Rational.of(87, 100).pow(16).div(first.pow(4).mul(second)), 16);
}

function subln(tensor: Tensor): Draw {
  const [first, second] = layers(tensor),
    side = tensor.text("side");
  const ofDecoder = () => log(second!.mul(Rational.of(3)));
  let gain = side === "decoder" ? ofDecoder() : log(first.mul(TWO));
  if (side === "encoder") gain = gain.mul(ofDecoder()).div(Rational.of(3));
  return scaled(tensor, ONE, "fan_avg", tensor.text("distribution"), gain, 2);
}

function sparse(tensor: Tensor): Draw {
  const { shape, rank, dtype } = tensor,
    given = tensor.number("axis");
  if (given < -rank || given >= rank)
    throw new DrawError("axis", `axis ${given} is not an axis of a shape of rank ${rank}`);
  const axis = given < 0 ? given + rank : given,
    size = shape[axis]!;
  const normal = draws.normal(ZERO, tensor.exact("std"), dtype);
  if (tensor.isEmpty) return normal;
  const inner = product(shape.slice(axis + 1));
  // The product of float64 numbers: 0.1 * 10 is 1.
  const zeros = Math.ceil(tensor.number("sparsity") * size);
  return draws.sparse(normal, size, inner, product(shape.slice(0, axis)) * inner, zeros);
}

function siren(tensor: Tensor): Draw {
  const { fanIn } = tensorFans(tensor);
  const scale = tensor.flag("first") ? Rational.of(1, 3n * (fanIn || 1n)) : TWO.div(square(tensor.exact("omega")));
  return scaled(tensor, scale, "fan_in", "uniform");
}

function spectral(tensor: Tensor): Draw {
  const { fanIn, fanOut } = tensorFans(tensor);
  const ratio = min(Rational.of(fanOut || 1n, fanIn || 1n), ONE);
  return scaled(tensor, square(tensor.exact("gain")), "fan_in", tensor.text("distribution"), ratio, 2);
}

function tFixup(tensor: Tensor): Draw {
  const count = tensor.exact("layers");
  const gain =
    tensor.text("side") === "encoder" ? Rational.of(67, 100).pow(4).div(count) : ONE.div(count.mul(Rational.of(9)));
  return scaled(tensor, ONE, "fan_avg", tensor.text("distribution"), gain, 4);
}

const STACK = {
  ...FANS,
  encoder_layers: fields.countOrNull(),
  decoder_layers: fields.countOrNull(),
  side: fields.word(["only", "encoder", "decoder"], "only"),
  distribution: fields.word(["normal", "uniform"], "normal"),
};
const GAIN = { ...FANS, gain: fields.positive(1) };
const HE = { ...FANS, mode: fields.word(MODES, "fan_in"), negative_slope: fields.nonNegative(0) };
const CUT = { truncated: fields.flag(false) };

export const PLAIN: readonly Scheme[] = [
  scheme("zeros", {}, (tensor) => draws.fill(ZERO, tensor.dtype), {
    aliases: ["batch_norm_beta", "batch_norm_moving_mean"],
  }),
  scheme("ones", {}, (tensor) => draws.fill(ONE, tensor.dtype), {
    aliases: ["batch_norm_gamma", "batch_norm_moving_variance"],
  }),
  scheme("constant", { value: fields.numberOfType() }, (tensor) =>
    tensor.dtype.kind === "integer"
      ? draws.whole("value", tensor.exact("value"), tensor.dtype)
      : draws.fill(tensor.exact("value"), tensor.dtype),
  ),
  scheme("uniform", { low: fields.real(), high: fields.real() }, (tensor) =>
    draws.uniform(tensor.exact("low"), tensor.exact("high"), tensor.dtype),
  ),
  scheme("normal", { mean: fields.real(0), std: fields.positive() }, (tensor) =>
    draws.normal(tensor.exact("mean"), tensor.exact("std"), tensor.dtype),
  ),
  scheme(
    "truncated_normal",
    {
      mean: fields.real(0),
      std: fields.positive(),
      low: fields.realOrNull(-2),
      high: fields.realOrNull(2),
      bounds: fields.word(["std", "absolute"], "std"),
      corrected: fields.flag(false),
    },
    truncated,
  ),
  scheme(
    "variance_scaling",
    {
      ...FANS,
      scale: fields.positive(1),
      mode: fields.word(MODES, "fan_in"),
      distribution: fields.word(DISTRIBUTIONS, "truncated_normal"),
    },
    (tensor) => scaled(tensor, tensor.exact("scale"), tensor.text("mode"), tensor.text("distribution")),
    { sizeField: "scale", spell },
  ),
  scheme("glorot_uniform", GAIN, (tensor) => scaled(tensor, square(tensor.exact("gain")), "fan_avg", "uniform"), {
    sizeField: "gain",
    aliases: ["xavier_uniform"],
  }),
  scheme(
    "glorot_normal",
    { ...GAIN, ...CUT },
    (tensor) => scaled(tensor, square(tensor.exact("gain")), "fan_avg", normalOrCut(tensor)),
    { sizeField: "gain", aliases: ["xavier_normal"] },
  ),
  scheme("he_uniform", HE, (tensor) => scaled(tensor, heScale(tensor), tensor.text("mode"), "uniform"), {
    aliases: ["kaiming_uniform"],
  }),
  scheme(
    "he_normal",
    { ...HE, ...CUT },
    (tensor) => scaled(tensor, heScale(tensor), tensor.text("mode"), normalOrCut(tensor)),
    { aliases: ["kaiming_normal"] },
  ),
  scheme("lecun_uniform", FANS, (tensor) => scaled(tensor, ONE, "fan_in", "uniform")),
  scheme("lecun_normal", { ...FANS, ...CUT }, (tensor) => scaled(tensor, ONE, "fan_in", normalOrCut(tensor))),
  scheme(
    "fan_uniform",
    { fan: fields.count(), gain: fields.positive(1) },
    (tensor) => {
      const limit = root(square(tensor.exact("gain")).div(tensor.exact("fan")), 2);
      return draws.uniform(limit.neg(), limit, tensor.dtype);
    },
    { sizeField: "fan" },
  ),
  scheme("siren", { ...FANS, omega: fields.positive(30), first: fields.flag(false) }, siren, { sizeField: "omega" }),
  scheme(
    "scaled_normal",
    {
      std: fields.positive(),
      width: fields.positive(1),
      depth: fields.positive(1),
      cut: fields.positiveOrNull(),
    },
    (tensor) =>
      cutNormal(tensor, root(square(tensor.exact("std")).div(tensor.exact("width").mul(tensor.exact("depth"))), 2)),
    { sizeField: "std" },
  ),
  scheme(
    "small_init",
    { width: fields.count() },
    (tensor) => draws.normal(ZERO, root(TWO.div(tensor.exact("width").mul(Rational.of(5))), 2), tensor.dtype),
    { sizeField: "width" },
  ),
  scheme(
    "wang_init",
    { width: fields.count(), layers: fields.count(), cut: fields.positiveOrNull() },
    (tensor) =>
      cutNormal(tensor, root(Rational.of(4).div(square(tensor.exact("layers")).mul(tensor.exact("width"))), 2)),
    { sizeField: "width" },
  ),
  scheme("deepnorm", STACK, deepnorm, { sizeField: "encoder_layers" }),
  scheme("subln", STACK, subln, { sizeField: "encoder_layers" }),
  scheme(
    "fixup",
    {
      ...FANS,
      layers: fields.count(),
      branch_layers: fields.countFrom(2, 16, 2),
      mode: fields.word(MODES, "fan_in"),
    },
    (tensor) =>
      scaled(
        tensor,
        TWO,
        tensor.text("mode"),
        "normal",
        ONE.div(tensor.exact("layers")),
        2 * tensor.number("branch_layers") - 2,
      ),
    { sizeField: "layers" },
  ),
  scheme("sparse", { sparsity: fields.proportion(), std: fields.positive(), axis: fields.axis(0) }, sparse, {
    sizeField: "std",
  }),
  scheme("spectral_mup", { ...GAIN, distribution: fields.word(DISTRIBUTIONS, "normal") }, spectral, {
    sizeField: "gain",
    spell,
  }),
  scheme(
    "t_fixup",
    {
      ...FANS,
      layers: fields.count(),
      side: fields.word(["encoder", "decoder"]),
      distribution: fields.word(["uniform", "normal"], "uniform"),
    },
    tFixup,
    { sizeField: "layers" },
  ),
];
