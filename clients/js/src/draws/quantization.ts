/** The formats of quantized tensors, and the draws of their parts (SPEC.md sections 6.16 and 9.12). */

import { pow2 } from "../bits.js";
import type { Draw, Element, Packing, Quantized, ScaleRule, Table } from "./types.js";
import { MAX_TABLE } from "./composed.js";
import { dtypeOf } from "../dtypes.js";
import { DrawError } from "../errors.js";
import { Rational } from "../rational.js";
import { FAR, rounded } from "../scalars.js";

export interface Format {
  readonly element: Element;
  readonly rule: ScaleRule;
  readonly packing: Packing;
  readonly dataType: string;
  /** Rows and columns of a group. 0 is the full axis, or the parameter `group_size` if `hasGroupSize`. */
  readonly group: readonly [number, number];
  readonly hasGroupSize: boolean;
  /** Storage types of the scales. The first is the default. */
  readonly scaleTypes: readonly string[];
}

const FLOATS = ["F32", "BF16", "F16"],
  SHORT = ["F16", "BF16", "F32"],
  POWERS = ["U8", "F8_E8M0"];
const format = (
  element: Element,
  rule: ScaleRule,
  packing: Packing,
  dataType: string,
  group: [number, number] = [1, 0],
  scaleTypes = FLOATS,
  hasGroupSize = false,
): Format => ({ element, rule, packing, dataType, group, hasGroupSize, scaleTypes });

export const FORMATS: Readonly<Record<string, Format>> = {
  fp8: format("E4M3", "given", "none", "F8_E4M3", [1, 1]),
  fp8_channel: format("E4M3", "largest", "none", "F8_E4M3"),
  fp8_block: format("E4M3", "largest", "none", "F8_E4M3", [128, 128]),
  int8: format("I8", "largest", "none", "I8"),
  mxfp8: format("E4M3", "power", "none", "F8_E4M3", [1, 32], POWERS),
  mxfp4: format("E2M1", "power", "bytes", "U8", [1, 32], POWERS),
  nvfp4: format("E2M1", "two_level", "bytes", "U8", [1, 16], ["F8_E4M3"]),
  int4: format("I4", "largest", "words", "I32", [1, 0], FLOATS, true),
  int4_asymmetric: format("U4", "range", "words", "I32", [1, 0], FLOATS, true),
  awq: format("U4", "range", "awq", "I32", [1, 0], SHORT, true),
  gptq: format("I4", "largest", "gptq", "I32", [1, 0], SHORT, true),
};

/** The number to which a scale maps the largest magnitude of a group, or for `U4` its range. */
export const LARGEST: Readonly<Record<Element, number>> = { E4M3: 448, E2M1: 6, I8: 127.5, I4: 7.5, U4: 15 };
/** A group of a smaller magnitude has the scale 1. */
export const LEAST_RANGE = pow2(-100);
/** The z of the word 0 in float32, 0x1.95a11ap+2 (SPEC.md section 6.3). */
const MOST_STANDARD = Rational.dyadic(0x195a11an, -22);
const MAX_GROUP = 2 ** 20;
const MAX_COLUMNS = 2 ** 18;

/** Return a part of the numbers of `draw`, a draw at F32, in matrices of this size. */
export function quantized(
  form: Format,
  part: Quantized["part"],
  draw: Draw,
  [rows, columns]: readonly [number, number],
  size: readonly [number, number],
  scaleType: string,
  twin: string | null,
  transposed: boolean,
): Draw {
  const group = [Math.min(size[0], rows), Math.min(size[1], columns)] as const;
  if (group[0] * group[1] > MAX_GROUP) {
    throw new DrawError(
      "tensor",
      `a group has ${group[0] * group[1]} elements, and at most ${MAX_GROUP} can share a scale`,
    );
  }
  if (group[0] > 1 && columns > MAX_COLUMNS) {
    throw new DrawError(
      "tensor",
      `there are ${columns} columns, and at most ${MAX_COLUMNS} where groups have several rows`,
    );
  }
  const most = bound(draw),
    largest = LARGEST[form.element];
  let scale = 0;
  if (form.rule === "given") scale = scaleOf(most, largest, scaleType);
  else if (form.rule === "two_level") scale = globalScale(most, largest);
  else if (form.rule !== "power") {
    if (form.rule === "range" && Rational.fromNumber(2 * most).compare(dtypeOf("F32").largest) > 0) {
      throw new DrawError("tensor", `numbers up to ${most} are too large: their range may not be one of float32`);
    }
    scaleOf(form.rule === "range" ? 2 * most : most, largest, scaleType);
  }
  if (form.rule === "given" && part === "scale") return { kind: "fill", value: scale };
  const stored = scaleType === "BF16" || scaleType === "F16" ? scaleType : "F32";
  return {
    kind: "quantized",
    draw,
    twin,
    rows,
    columns,
    transposed,
    group,
    element: form.element,
    rule: form.rule,
    scale,
    scaleType: stored,
    part,
    packing: form.packing,
  };
}

function globalScale(most: number, largest: number): number {
  return most < LEAST_RANGE ? 1 : rounded(Rational.of(448 * largest).div(Rational.fromNumber(most)), dtypeOf("F32"));
}

/** Return the global scale of `two_level` as a constant. */
export function globalScaleOf(draw: Draw, form: Format): Draw {
  return { kind: "fill", value: globalScale(bound(draw), LARGEST[form.element]) };
}

/** Return the scale of numbers up to this magnitude, rounded to float32 and then up to its storage type. */
function scaleOf(most: number, largest: number, scaleType: string): number {
  if (most < LEAST_RANGE) return 1;
  const exact = rounded(Rational.fromNumber(most).div(Rational.fromNumber(largest)), dtypeOf("F32"));
  const found = rounded(Rational.fromNumber(exact), dtypeOf(scaleType as "F32"), "up");
  if (!Number.isFinite(found))
    throw new DrawError("scale_dtype", `a scale of ${exact} is beyond the largest finite ${scaleType}`);
  return found;
}

const tableOf = (values: readonly number[], run: bigint): Table => ({
  kind: "table",
  values: values.map(BigInt),
  run,
  numbers: values,
});

/** Return a table of the sizes of a shape. */
export const shapeTable = (shape: readonly number[]): Table => tableOf(shape, 1n);

/** Return a table of the number of each column's group. */
export function groupIndex(groups: number, size: number): Table {
  if (groups > MAX_TABLE)
    throw new DrawError("tensor", `there are ${groups} groups in a row, and group_index has at most ${MAX_TABLE}`);
  return tableOf(
    Array.from({ length: groups }, (_, n) => n),
    BigInt(size),
  );
}

/** Return a magnitude that no number of a draw at F32 exceeds, a number of float32. */
function bound(draw: Draw): number {
  const up = (value: Rational) => rounded(value, dtypeOf("F32"), "up");
  const exact = (value: number) => Rational.fromNumber(Math.abs(value));
  switch (draw.kind) {
    case "fill":
      return Math.abs(Number(draw.value));
    case "normal":
      return up(exact(draw.mean).add(MOST_STANDARD.mul(exact(draw.std))));
    case "truncated":
      if (Number.isFinite(draw.low) && Number.isFinite(draw.high))
        return Math.max(Math.abs(draw.low), Math.abs(draw.high));
      return up(exact(draw.mean).add(FAR.mul(exact(draw.std))));
    case "uniform":
      return Math.min(
        up(exact(draw.center).add(exact(draw.halfWidth))),
        Math.max(Math.abs(draw.low), Math.abs(draw.high)),
      );
    case "mapped":
      return Math.max(Math.abs(draw.low), Math.abs(draw.high));
    case "table":
      return Math.max(...draw.numbers.map(Math.abs));
    case "arange": {
      const last = draw.start + draw.step * (draw.size - 1n),
        magnitude = (n: bigint) => (n < 0n ? -n : n);
      return up(Rational.of([magnitude(draw.start), magnitude(last)].reduce((a, b) => (a > b ? a : b))));
    }
    case "waves":
      return up(exact(Math.max(...draw.amplitudes.map(Math.abs))));
    case "sparse":
      return bound(draw.draw);
    case "blocks":
      return Math.max(...draw.draws.map(bound));
    default:
      throw new DrawError("tensor", "the twin must have a draw whose elements can be generated alone");
  }
}
