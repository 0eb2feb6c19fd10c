/** Sines, cosines and functions of uniform numbers (SPEC.md sections 9.8, 9.9 and 9.11). */

import * as draws from "../draws/index.js";
import { type Draw, MAX_TABLE } from "../draws/index.js";
import { DrawError } from "../errors.js";
import { ONE, Rational, TWO, ZERO, max } from "../rational.js";
import { cosine, inverseSoftplus, log, pi, power, quotient, root } from "../scalars.js";
import type { Scheme, Tensor } from "./base.js";
import * as fields from "./fields.js";
import { scheme } from "./plain.js";

type Column = readonly [Rational, number];
type Quarter = readonly ["x" | "y", number];
/** Coordinate, and 0 for a sine or 1 for a cosine, of each quarter of the columns. */
const IMAGES: Readonly<Record<string, readonly Quarter[]>> = {
  mae: [
    ["x", 0],
    ["x", 1],
    ["y", 0],
    ["y", 1],
  ],
  aimv2: [
    ["y", 0],
    ["y", 1],
    ["x", 0],
    ["x", 1],
  ],
  timm: [
    ["y", 0],
    ["x", 0],
    ["y", 1],
    ["x", 1],
  ],
};
const MOST_TURNS = TWO.pow(256);

function checkColumns(count: number): void {
  if (count > MAX_TABLE)
    throw new DrawError("shape", `a table of ${count} columns is too long: the maximum is ${MAX_TABLE}`);
}

function sinusoidal(tensor: Tensor): Draw {
  const { shape, dtype } = tensor;
  if (tensor.rank < 2) throw new DrawError("shape", "positions need an axis before that of the table");
  const [rows, size] = shape.slice(-2) as [number, number],
    padding = tensor.values.padding as number | null;
  checkColumns(size);
  if (padding !== null && padding >= rows)
    throw new DrawError("padding", `${padding} is out of range: the tensor has ${rows} rows`);
  const grid = tensor.list("grid"),
    variant = tensor.text("variant");
  if (Object.hasOwn(IMAGES, variant) !== (grid !== null)) {
    const wanted = grid === null ? "needs a grid" : "has no grid; mae, aimv2 and timm have one";
    throw new DrawError("grid", `variant ${variant} ${wanted}`);
  }
  if (grid !== null) return image(tensor, IMAGES[variant]!, grid[0]!, grid[1]!);
  if (tensor.isEmpty) return draws.fill(ZERO, dtype);
  const columns = sinusoids(tensor, size),
    one = [ONE];
  if (padding === null) return draws.waves(columns, BigInt(rows), one, dtype);
  const width = BigInt(size),
    before = BigInt(padding),
    behind = BigInt(rows) - before - 1n;
  return draws.blocks(BigInt(rows) * width, [
    [before * width, draws.waves(columns, before, one, dtype)],
    [width, draws.fill(ZERO, dtype)],
    [behind * width, draws.waves(columns, behind, one, dtype, before + 1n)],
  ]);
}

/** Return positions in an image: row y width + x of the table has the position (y, x). */
function image(tensor: Tensor, quarters: readonly Quarter[], height: number, width: number): Draw {
  const { dtype } = tensor;
  const [rows, size] = tensor.shape.slice(-2) as [number, number];
  if (tensor.values.padding !== null) {
    throw new DrawError("padding", "this variant has no padding row: use a part of blocks");
  }
  if (BigInt(height) * BigInt(width) !== BigInt(rows)) {
    throw new DrawError("grid", `a grid of ${height} x ${width} does not have ${rows} rows`);
  }
  if (size % 4) throw new DrawError("shape", `the last axis must be divisible by 4, not ${size}`);
  if (tensor.isEmpty) return draws.fill(ZERO, dtype);
  const quarter = size / 4;
  const turns = turnsOf(tensor, quarter, (n) => Rational.of(-n, quarter));
  const parts = quarters.map(([side, phase]) => {
    const [count, run] = side === "x" ? [width, 1] : [height, width];
    const columns = turns.map((each) => [each, phase] as const);
    return [BigInt(quarter), draws.waves(columns, BigInt(count), [ONE], dtype, 0n, BigInt(run))] as const;
  });
  return draws.blocks(BigInt(size), parts);
}

/** Return the turns from one row to the next, of the base to these powers. */
function turnsOf(tensor: Tensor, count: number, exponent: (n: number) => Rational): Rational[] {
  const turn = pi().mul(TWO);
  const found = Array.from({ length: count }, (_, n) => quotient(power(tensor.exact("base"), exponent(n)), turn));
  if (found.reduce(max, ZERO).compare(MOST_TURNS) > 0)
    throw new DrawError("base", "base is too small: a position has more than 2^256 turns");
  return found;
}

/** Return for each column the turns from one row to the next, and 0 for a sine or 1 for a cosine. */
function sinusoids(tensor: Tensor, size: number): Column[] {
  const half = Math.floor(size / 2),
    variant = tensor.text("variant"),
    isFairseq = variant === "fairseq";
  const turns = turnsOf(tensor, isFairseq ? half : size - half, (n) =>
    isFairseq ? Rational.of(-n, Math.max(half - 1, 1)) : Rational.of(-2 * n, size),
  );
  if (variant === "vaswani") return Array.from({ length: size }, (_, n) => [turns[Math.floor(n / 2)]!, n % 2] as const);
  const still: Column[] = isFairseq && size % 2 ? [[ZERO, 0]] : [];
  return [
    ...turns.map((each) => [each, 0] as const),
    ...turns.slice(0, half).map((each) => [each, 1] as const),
    ...still,
  ];
}

const WINDOWS = ["hann", "hamming", "blackman", "nuttall", "blackmanharris", "flattop", "bartlett", "cosine", "boxcar"];
const COSINES: Readonly<Record<string, readonly string[]>> = {
  hann: ["0.5", "0.5"],
  hamming: ["0.54", "0.46"],
  blackman: ["0.42", "0.5", "0.08"],
  nuttall: ["0.3635819", "0.4891775", "0.1365995", "0.0106411"],
  blackmanharris: ["0.35875", "0.48829", "0.14128", "0.01168"],
  flattop: ["0.21557895", "0.41663158", "0.277263158", "0.083578947", "0.006947368"],
};

function stft(tensor: Tensor): Draw {
  if (tensor.rank !== 3 || tensor.shape[1] !== 1)
    throw new DrawError("shape", "the shape of these kernels is (length, 1, bins)");
  const [length, , bins] = tensor.shape as [number, number, number];
  checkColumns(length);
  checkColumns(bins);
  if (bins < 2 || !length) throw new DrawError("shape", "the shape needs at least one time and two bins");
  const window = tensor.values.window as string | null,
    scaling = tensor.values.scaling as string | null;
  const amplitudes = windowOf(window, length, tensor.flag("periodic"));
  const sum = (values: Rational[]) => values.reduce((total, each) => total.add(each), ZERO);
  let scale = ONE;
  if (window !== null && scaling === "density") scale = root(sum(amplitudes.map((each) => each.mul(each))), 2);
  else if (window !== null && scaling === "spectrum") scale = sum(amplitudes.map((each) => each.abs()));
  if (scale.isZero) throw new DrawError("window", `a window of ${length} has only zeros`);
  const quarter = tensor.text("side") === "real" ? 1 : 2;
  const columns = Array.from({ length: bins }, (_, n) => [Rational.of(n, 2 * (bins - 1)), quarter] as const);
  return draws.waves(
    columns,
    BigInt(length),
    amplitudes.map((each) => quotient(each, scale)),
    tensor.dtype,
  );
}

/** Return a window's values. A periodic window is a symmetric one of one more value, without the last. */
function windowOf(name: string | null, length: number, isPeriodic: boolean): Rational[] {
  const times = Array.from({ length }, (_, t) => t);
  if (name === null || name === "boxcar" || length === 1) return times.map(() => ONE);
  const steps = isPeriodic ? length : length - 1;
  if (name === "bartlett") return times.map((t) => ONE.sub(ONE.sub(Rational.of(2 * t, steps)).abs()));
  if (name === "cosine")
    return times.map((t) => cosine(Rational.of(2 * t + 1, 4 * (steps + 1)).sub(Rational.of(1, 4))));
  const terms = COSINES[name]!.map((text, k) => (k % 2 ? Rational.decimal(text).neg() : Rational.decimal(text)));
  return times.map((t) => {
    // cos(k x) is Chebyshev's polynomial of cos(x), so each value needs one cosine.
    const x = cosine(Rational.of(t, steps));
    let before = ONE,
      now = x,
      total = terms[0]!;
    for (const term of terms.slice(1)) {
      total = total.add(term.mul(now));
      [before, now] = [now, x.mul(now).mul(TWO).sub(before)];
    }
    return total;
  });
}

function dtBias(tensor: Tensor): Draw {
  const low = tensor.exact("dt_min"),
    high = tensor.exact("dt_max"),
    least = max(low, tensor.exact("dt_floor"));
  if (tensor.number("dt_min") < 1e-304) throw new DrawError("dt_min", "dt_min is at least 1e-304");
  if (low.compare(high) >= 0) throw new DrawError("dt_min", "dt_min must be less than dt_max");
  if (least.compare(high) >= 0) throw new DrawError("dt_floor", "dt_floor must be less than dt_max");
  return draws.mapped(
    "inverseSoftplusExp",
    log(low),
    log(high),
    [inverseSoftplus(least), inverseSoftplus(high)],
    tensor.dtype,
  );
}

function radii(tensor: Tensor): [Rational, Rational] {
  const low = tensor.exact("min_radius"),
    high = tensor.exact("max_radius");
  if (low.compare(high) >= 0) throw new DrawError("min_radius", "min_radius must be less than max_radius");
  return [low, high];
}

function rgLru(tensor: Tensor): Draw {
  const [low, high] = radii(tensor),
    isGriffin = tensor.text("variant") === "griffin",
    eighth = Rational.of(1, isGriffin ? 8 : 1);
  const end = (radius: Rational) => inverseSoftplus(log(radius).neg().mul(eighth));
  return isGriffin
    ? draws.mapped("inverseSoftplusLog8", low, high, [end(high), end(low)], tensor.dtype)
    : draws.mapped("inverseSoftplusLog", low.mul(low), high.mul(high), [end(high), end(low)], tensor.dtype);
}

function lruNu(tensor: Tensor): Draw {
  const [low, high] = radii(tensor),
    end = (radius: Rational) => log(log(radius).neg());
  return draws.mapped("logLog", low.mul(low), high.mul(high), [end(high), end(low)], tensor.dtype);
}

function logit(tensor: Tensor): Draw {
  const low = tensor.exact("low"),
    high = tensor.exact("high"),
    end = (u: Rational) => log(u.div(ONE.sub(u)));
  return draws.mapped("logit", low, high, [end(low), end(high)], tensor.dtype);
}

function logOfUniform(tensor: Tensor): Draw {
  const low = tensor.exact("low"),
    high = tensor.exact("high");
  return draws.mapped("log", low, high, [log(low), log(high)], tensor.dtype);
}

const RADII = { min_radius: fields.radius(0.9), max_radius: fields.radius(0.999) };

export const WAVES: readonly Scheme[] = [
  scheme(
    "sinusoidal",
    {
      base: fields.positive(10000),
      variant: fields.word(["vaswani", "marian", "fairseq", "mae", "aimv2", "timm"], "vaswani"),
      padding: fields.dimensionOrNull(),
      grid: fields.gridOrNull(),
    },
    sinusoidal,
    { sizeField: "base" },
  ),
  scheme(
    "stft",
    {
      side: fields.word(["real", "imag"], "real"),
      window: fields.wordOrNull(WINDOWS, "hann"),
      scaling: fields.wordOrNull(["density", "spectrum"], "density"),
      periodic: fields.flag(false),
    },
    stft,
  ),
  scheme("log_of_uniform", { low: fields.positive(1), high: fields.positive(16) }, logOfUniform, {
    aliases: ["mamba2_a_log"],
  }),
  scheme(
    "dt_bias",
    { dt_min: fields.positive(0.001), dt_max: fields.positiveTo(64, 0.1), dt_floor: fields.nonNegative(0.0001) },
    dtBias,
    { sizeField: "dt_max", aliases: ["mamba_dt_bias"] },
  ),
  scheme("rg_lru", { ...RADII, variant: fields.word(["recurrentgemma", "griffin"], "recurrentgemma") }, rgLru, {
    sizeField: "max_radius",
  }),
  scheme("lru_nu", RADII, lruNu, { sizeField: "max_radius" }),
  scheme("logit_of_uniform", { low: fields.radius(), high: fields.radius() }, logit),
];
