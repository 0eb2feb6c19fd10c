/** Identities, convolutions that keep their input, orthogonal matrices (SPEC.md sections 9.5 and 9.7). */

import * as draws from "../draws/index.js";
import { type Draw, NOTHING } from "../draws/index.js";
import { DrawError } from "../errors.js";
import { MAX_KERNEL_RANK, product } from "../fans.js";
import { ONE, Rational, max } from "../rational.js";
import { root } from "../scalars.js";
import { LAYOUT, type Scheme, type Tensor } from "./base.js";
import * as fields from "./fields.js";
import { scheme } from "./plain.js";

/** Return a draw of `size` elements: `count` are `one`, at `offset` and every `period` after it; the rest are 0. */
function points(size: bigint, period: bigint, count: bigint, one: Draw, offset = 0n): Draw {
  if (!count || !size) return NOTHING;
  // The last period may be incomplete.
  const last = (count - 1n) * period;
  const every = draws.blocks(period, [
    [offset, NOTHING],
    [1n, one],
    [period - offset - 1n, NOTHING],
  ]);
  return draws.blocks(size, [
    [last, every],
    [offset, NOTHING],
    [1n, one],
    [size - last - offset - 1n, NOTHING],
  ]);
}

const least = (a: bigint, b: bigint) => (a < b ? a : b);

function eye(tensor: Tensor): Draw {
  if (tensor.rank < 2) throw new DrawError("shape", `a shape of rank ${tensor.rank} has no matrices`);
  const [rows, columns] = tensor.shape.slice(-2).map(BigInt) as [bigint, bigint];
  const one = draws.fill(tensor.exact("gain"), tensor.dtype);
  return points(rows * columns, columns + 1n, least(rows, columns), one);
}

interface Kernel {
  readonly spatial: readonly number[];
  readonly inputs: bigint;
  readonly outputs: bigint;
  readonly isTorch: boolean;
}

function kernel(tensor: Tensor): Kernel {
  const { shape, rank } = tensor,
    isTorch = tensor.text("layout") === "torch";
  if (rank < 3 || rank > MAX_KERNEL_RANK) {
    throw new DrawError("shape", `a kernel of rank ${rank} is not one of a convolution, of rank 3 to 5`);
  }
  return isTorch
    ? { spatial: shape.slice(2), inputs: BigInt(shape[1]!), outputs: BigInt(shape[0]!), isTorch }
    : { spatial: shape.slice(0, -2), inputs: BigInt(shape.at(-2)!), outputs: BigInt(shape.at(-1)!), isTorch };
}

/** Return the row-major index of the element whose index on each axis `pick` returns for the axis' size. */
function place(sizes: readonly number[], pick: (size: number) => number): bigint {
  return sizes.reduce((found, size) => found * BigInt(size) + BigInt(pick(size)), 0n);
}

function dirac(tensor: Tensor): Draw {
  const { spatial, inputs, outputs, isTorch } = kernel(tensor),
    groups = BigInt(tensor.number("groups"));
  if (outputs % groups) throw new DrawError("groups", `${groups} groups do not divide ${outputs} output channels`);
  const perGroup = outputs / groups,
    field = product(spatial);
  const one = draws.fill(tensor.exact("gain"), tensor.dtype),
    channels = least(perGroup, inputs);
  const centre = place(spatial, (size) => Math.floor(size / 2));
  if (isTorch) return points(perGroup * inputs * field, (inputs + 1n) * field, channels, one, centre);
  const matrix = inputs * outputs;
  if (!matrix || !field) return NOTHING;
  // Row d of the matrix at the centre has a one in column d of each group.
  const row = draws.blocks(outputs + 1n, [
    [outputs, points(perGroup, perGroup, 1n, one)],
    [1n, NOTHING],
  ]);
  const last = (channels - 1n) * (outputs + 1n),
    end = (groups - 1n) * perGroup;
  const centred = draws.blocks(matrix, [
    [last, row],
    [end, points(perGroup, perGroup, 1n, one)],
    [1n, one],
    [matrix - last - end - 1n, NOTHING],
  ]);
  return draws.blocks(matrix * field, [
    [centre * matrix, NOTHING],
    [matrix, centred],
    [(field - centre - 1n) * matrix, NOTHING],
  ]);
}

function orthogonal(tensor: Tensor): Draw {
  const first = stackedAxes(tensor);
  const shape = tensor.shape.slice(first);
  if (shape.length < 2) {
    throw new DrawError("shape", `orthogonal needs at least 2 axes besides batch_axes, not ${shape.length}`);
  }
  const isTorch = tensor.text("layout") === "torch";
  const axis = isTorch ? 1 : -1;
  const rows = product(shape.slice(0, axis)),
    columns = product(shape.slice(axis));
  const [fanOut, fanIn] = isTorch ? [rows || 1n, columns || 1n] : [columns || 1n, rows || 1n];
  const gain = tensor.exact("gain");
  const square = gain.mul(gain).mul(spectralSquare(tensor.values.spectral as string | null, fanOut, fanIn));
  const matrix = draws.orthogonal(root(square, 2), rows, columns, tensor.dtype);
  const count = product(tensor.shape.slice(0, first));
  const number = tensor.values.number as number | null;
  return tensor.isEmpty || (count === 1n && number === null) ? matrix : draws.stack(matrix, number ?? 0, count);
}

/** Return the square of the factor by which `spectral` multiplies the gain. */
function spectralSquare(spectral: string | null, fanOut: bigint, fanIn: bigint): Rational {
  const ratio = Rational.of(fanOut, fanIn);
  switch (spectral) {
    case "ratio":
      return ratio;
    case "max":
      return max(ratio, ONE);
    case "fan_out":
      return Rational.of(fanOut);
    default:
      return ONE;
  }
}

/** Return the number of the first axes that stack matrices. */
function stackedAxes(tensor: Tensor): number {
  const { rank } = tensor;
  const axes = tensor.list("batch_axes")!.map((axis) => (axis < 0 ? axis + rank : axis));
  axes.sort((a, b) => a - b);
  if (axes.length > rank || axes.some((axis, n) => axis !== n)) {
    throw new DrawError("batch_axes", "batch_axes of orthogonal must be the first axes, such as [0]");
  }
  return axes.length;
}

function deltaOrthogonal(tensor: Tensor): Draw {
  const { spatial, inputs, outputs, isTorch } = kernel(tensor);
  if (inputs > outputs) {
    throw new DrawError("shape", `${outputs} output channels cannot keep the norm of ${inputs} input channels`);
  }
  const centre = place(spatial, (size) => Math.floor((size - 1) / 2)),
    field = product(spatial);
  const [rows, columns] = isTorch ? [outputs, inputs] : [inputs, outputs];
  const matrix = draws.orthogonal(tensor.exact("gain"), rows, columns, tensor.dtype);
  if (tensor.isEmpty) return NOTHING;
  const size = isTorch ? 1n : inputs * outputs;
  return draws.blocks(field * size, [
    [centre * size, NOTHING],
    [size, matrix],
    [(field - centre - 1n) * size, NOTHING],
  ]);
}

export const MATRICES: readonly Scheme[] = [
  scheme("eye", { gain: fields.real(1) }, eye, { aliases: ["identity"] }),
  scheme("dirac", { layout: LAYOUT(), groups: fields.count(1), gain: fields.real(1) }, dirac),
  scheme(
    "orthogonal",
    {
      gain: fields.positive(1),
      layout: LAYOUT(),
      spectral: fields.wordOrNull(["ratio", "max", "fan_out"], null),
      batch_axes: fields.axes([]),
      number: fields.countOrNull(),
    },
    orthogonal,
    { sizeField: "gain" },
  ),
  scheme("delta_orthogonal", { gain: fields.positive(1), layout: LAYOUT() }, deltaOrthogonal, { sizeField: "gain" }),
];
