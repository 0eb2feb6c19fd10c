/** Tables of exactly rounded values of formulas, and ranges of integers (SPEC.md sections 9.5 and 9.11). */

import * as draws from "../draws/index.js";
import { type Draw, MAX_TABLE, NOTHING } from "../draws/index.js";
import type { DType } from "../dtypes.js";
import { DrawError } from "../errors.js";
import { product } from "../fans.js";
import { HALF, ONE, Rational, TWO, ZERO, max, min } from "../rational.js";
import { log, log1p, pi, power, powerLessOne, root } from "../scalars.js";
import { LAYOUT, type Scheme, type Tensor } from "./base.js";
import * as fields from "./fields.js";
import { scheme } from "./plain.js";

const integer = (n: number | bigint) => Rational.of(n);
const range = (count: number) => Array.from({ length: count }, (_, n) => n);

/** Return the table of these values along the last axis. */
function along(values: readonly Rational[], dtype: DType): Draw {
  return values.length ? draws.table(values, 1n, dtype) : NOTHING;
}

function checkTable(count: number | bigint): void {
  if (count > MAX_TABLE)
    throw new DrawError("shape", `a table of ${count} values is too long: the maximum is ${MAX_TABLE}`);
}

/** Return the size of the last axis, which a table follows. */
function lastSize(shape: readonly number[]): number {
  if (!shape.length) throw new DrawError("shape", "a scalar has no axis for a table");
  checkTable(shape.at(-1)!);
  return shape.at(-1)!;
}

function powerRange(tensor: Tensor): Draw {
  const low = tensor.exact("low"),
    high = tensor.exact("high"),
    exponent = tensor.exact("power");
  const size = lastSize(tensor.shape),
    last = Math.max(size - 1, 1);
  const value = (n: number): Rational => {
    // Near the end of the axis, with `high` near 0, the sum would cancel. The difference from 1 does not. A float64
    // number decides, unless it is near 1/2.
    const estimate = (n / last) ** tensor.number("power");
    if (exponent.isInteger || estimate < 0.51) {
      const part = power(Rational.of(n, last), exponent);
      if (exponent.isInteger || estimate < 0.49 || part.less(HALF)) return low.add(high.sub(low).mul(part));
    }
    return high.add(high.sub(low).mul(powerLessOne(Rational.of(n, last), exponent)));
  };
  const values = [low, ...range(last - 1).map((n) => value(n + 1)), high];
  return along(values.slice(0, size), tensor.dtype);
}

function triangle(size: number): Rational[] {
  const half = integer(Math.floor((size + 1) / 2));
  return range(size).map((n) =>
    ONE.sub(
      integer(n)
        .sub(Rational.of(size - 1, 2))
        .abs()
        .div(half),
    ),
  );
}

/** Return a matrix of blocks of `size` elements: `draw` where row and column are equal, else zeros. */
function diagonal(rows: bigint, columns: bigint, size: bigint, draw: Draw): Draw {
  const step = (columns + 1n) * size,
    before = ((rows < columns ? rows : columns) - 1n) * step;
  const row = draws.blocks(step, [
    [size, draw],
    [step - size, NOTHING],
  ]);
  const total = rows * columns * size;
  return draws.blocks(total, [
    [before, row],
    [size, draw],
    [total - before - size, NOTHING],
  ]);
}

function spatialOf(tensor: Tensor): readonly number[] {
  return tensor.text("layout") === "torch" ? tensor.shape.slice(2) : tensor.shape.slice(0, 2);
}

function bilinear(tensor: Tensor): Draw {
  const { shape, rank, dtype } = tensor;
  if (rank !== 4) throw new DrawError("shape", `a kernel of rank ${rank} is not one of a two-dimensional convolution`);
  const isTorch = tensor.text("layout") === "torch",
    spatial = spatialOf(tensor);
  checkTable(product(spatial));
  const [down, across] = spatial.map(triangle) as [Rational[], Rational[]];
  const values = down.flatMap((y) => across.map((x) => y.mul(x)));
  if (tensor.isEmpty) return NOTHING;
  const pairs = product(shape.slice(2)),
    [first, second, third, fourth] = shape.map(BigInt) as [bigint, bigint, bigint, bigint];
  if (tensor.text("channels") === "all") return draws.table(values, isTorch ? 1n : pairs, dtype);
  if (isTorch) return diagonal(first, second, BigInt(values.length), draws.table(values, 1n, dtype));
  const matrices = values.map((value) => diagonal(third, fourth, 1n, draws.fill(value, dtype)));
  return draws.blocks(
    BigInt(values.length) * pairs,
    matrices.map((matrix) => [pairs, matrix] as const),
  );
}

function rope(tensor: Tensor): Draw {
  const { dtype } = tensor,
    size = lastSize(tensor.shape),
    scaling = tensor.values.scaling as string | null;
  const factors = tensor.list("factors"),
    base = tensor.exact("base"),
    factor = tensor.exact("factor");
  if (!tensor.flag("truncate") && scaling !== "yarn")
    throw new DrawError("truncate", "truncate false is only allowed with scaling yarn");
  if (factors !== null && scaling !== "longrope")
    throw new DrawError("factors", "factors are only allowed with scaling longrope");
  if (tensor.number("partial_rotary_factor") !== 1 && scaling !== "proportional") {
    throw new DrawError("partial_rotary_factor", "partial_rotary_factor is only allowed with scaling proportional");
  }
  const frequencies = range(size).map((n) => power(base, Rational.of(-n, size)));
  if (scaling === "longrope") {
    if (factors?.length !== size)
      throw new DrawError("factors", `longrope needs ${size} factors, one for each frequency`);
    return along(
      frequencies.map((each, n) => each.div(Rational.fromNumber(factors[n]!))),
      dtype,
    );
  }
  if (scaling === "proportional") {
    // The product is rounded to float64: 0.3 of 20 dimensions are 3 frequencies, not 2.
    const rotated = Math.floor((tensor.number("partial_rotary_factor") * (2 * size)) / 2);
    return along(
      frequencies.map((each, n) => (n < rotated ? each.div(factor) : ZERO)),
      dtype,
    );
  }
  const kept = keptShares(tensor, scaling, frequencies);
  return along(
    frequencies.map((each, n) => each.mul(ONE.sub(kept[n]!).div(factor).add(kept[n]!))),
    dtype,
  );
}

/** Return the share of each frequency that is not scaled, in [0, 1]. */
function keptShares(tensor: Tensor, scaling: string | null, frequencies: readonly Rational[]): Rational[] {
  if (scaling === null || scaling === "linear") return frequencies.map(() => (scaling === null ? ONE : ZERO));
  const slow = tensor.exact("slow"),
    fast = tensor.exactOrNull("fast") ?? integer(scaling === "llama3" ? 4 : 32);
  if (slow.compare(fast) >= 0) throw new DrawError("slow", "slow must be less than fast");
  const context = tensor.exact("context"),
    turn = pi().mul(TWO);
  let shares: Rational[];
  if (scaling === "llama3") {
    shares = frequencies.map((each) => context.mul(each).div(turn).sub(slow).div(fast.sub(slow)));
  } else {
    const base = tensor.exact("base"),
      size = frequencies.length;
    if (base.compare(ONE) <= 0) throw new DrawError("base", "with scaling yarn, base must exceed 1");
    const dimension = (turns: Rational) =>
      integer(size)
        .mul(log(context.div(turns.mul(turn))))
        .div(log(base));
    let first = dimension(fast),
      last = dimension(slow);
    if (tensor.flag("truncate")) [first, last] = [integer(first.floor()), integer(last.ceil())];
    [first, last] = [max(first, ZERO), min(last, integer(2 * size - 1))];
    const width = last.equals(first) ? Rational.of(1, 1000) : last.sub(first);
    shares = frequencies.map((_, n) => ONE.sub(integer(n).sub(first).div(width)));
  }
  return shares.map((share) => min(max(share, ZERO), ONE));
}

function alibi(tensor: Tensor): Draw {
  const longer = tensor.shape.filter((size) => size !== 1);
  const heads = lastSize(longer.length ? longer : [1]);
  if (product(tensor.shape) !== BigInt(heads)) throw new DrawError("shape", "more than one axis is longer than 1");
  const below = heads ? 2 ** (31 - Math.clz32(heads)) : 1,
    bias = tensor.exact("max_bias"),
    gain = tensor.exact("gain");
  const slope = (n: number, count: number) => gain.mul(power(TWO, bias.neg().mul(Rational.of(n + 1, count))));
  const slopes = range(heads).map((n) => (n < below ? slope(n, below) : slope(2 * (n - below), 2 * below)));
  return along(slopes, tensor.dtype);
}

function retention(tensor: Tensor): Draw {
  const heads = lastSize(tensor.shape),
    start = tensor.exact("start"),
    stop = tensor.exactOrNull("stop");
  const step = stop === null ? ONE : stop.sub(start).div(integer(Math.max(heads - 1, 1)));
  return along(
    range(heads).map((n) => {
      const x = start.add(step.mul(integer(n)));
      return x.compare(ONE) > 0 ? log1p(power(TWO, x.neg()).neg()) : log(powerLessOne(TWO, x.neg()).neg());
    }),
    tensor.dtype,
  );
}

function hippo(tensor: Tensor): Draw {
  const { shape, rank, dtype } = tensor;
  if (tensor.text("part") === "b")
    return along(
      range(lastSize(shape)).map((n) => root(integer(2 * n + 1), 2)),
      dtype,
    );
  if (rank < 2 || shape.at(-1) !== shape.at(-2))
    throw new DrawError("shape", "the last two axes must be equal: A is a square matrix");
  const states = lastSize(shape);
  checkTable(states * states);
  const value = (row: number, column: number) =>
    row === column
      ? integer(-(row + 1))
      : row > column
        ? root(integer((2 * row + 1) * (2 * column + 1)), 2).neg()
        : ZERO;
  return along(
    range(states).flatMap((row) => range(states).map((column) => value(row, column))),
    dtype,
  );
}

function s4d(tensor: Tensor): Draw {
  const size = lastSize(tensor.shape),
    states = integer((tensor.values.states as number | null) ?? 2 * size);
  return along(
    range(size).map((n) => states.mul(states.div(integer(2 * n + 1)).sub(ONE)).div(pi())),
    tensor.dtype,
  );
}

function arange(tensor: Tensor): Draw {
  if (!tensor.rank) throw new DrawError("shape", "a scalar has no axis for a range");
  const size = BigInt(tensor.shape.at(-1)!);
  if (!size) return NOTHING;
  return draws.arange(tensor.values.start as bigint, tensor.values.step as bigint, size, tensor.dtype);
}

export const TABLES: readonly Scheme[] = [
  scheme(
    "log_range",
    { start: fields.count(1) },
    (tensor) =>
      along(
        range(lastSize(tensor.shape)).map((n) => log(tensor.exact("start").add(integer(n)))),
        tensor.dtype,
      ),
    { aliases: ["mamba_a_log"] },
  ),
  scheme("power_range", { low: fields.real(-5), high: fields.real(3), power: fields.positive(1) }, powerRange, {
    sizeField: "high",
    aliases: ["rwkv_decay"],
  }),
  scheme("bilinear", { layout: LAYOUT(), channels: fields.word(["all", "same"], "all") }, bilinear, {
    blockCount: (tensor) => (tensor.text("channels") === "same" ? Number(product(spatialOf(tensor))) || 1 : 1),
  }),
  scheme(
    "rope_frequencies",
    {
      base: fields.positive(10000),
      scaling: fields.wordOrNull(["linear", "llama3", "yarn", "longrope", "proportional"], null),
      factor: fields.positive(1),
      context: fields.count(8192),
      slow: fields.positive(1),
      fast: fields.positiveOrNull(),
      truncate: fields.flag(true),
      factors: fields.factorsOrNull(),
      partial_rotary_factor: fields.proportion(1),
    },
    rope,
    { sizeField: "base" },
  ),
  scheme(
    "alibi_slopes",
    { max_bias: fields.positive(8), variant: fields.word(["press", "mpt"], "press"), gain: fields.real(1) },
    alibi,
    { sizeField: "max_bias" },
  ),
  scheme("retention_decay", { start: fields.positive(5), stop: fields.positiveOrNull() }, retention, {
    sizeField: "start",
  }),
  scheme("hippo_legs", { part: fields.word(["a", "b"], "a") }, hippo),
  scheme("s4d_inv", { states: fields.countOrNull() }, s4d, { sizeField: "states" }),
  scheme("arange", { start: fields.whole(0n), step: fields.whole(1n) }, arange),
];
