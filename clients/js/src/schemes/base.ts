/** Tensors of a recipe, and what all schemes share. */

import type { Plain } from "../canonical.js";
import * as draws from "../draws/index.js";
import type { Draw } from "../draws/index.js";
import { type DType, dtypeOf, storageName } from "../dtypes.js";
import { DrawError, Invalid } from "../errors.js";
import { type FanParameters, type Fans, type Mode, fansOf, squared } from "../fans.js";
import type { Json, JsonObject } from "../json.js";
import { ONE, Rational, TWO, ZERO } from "../rational.js";
import { instead, unknownScheme, unknownType } from "../suggestions.js";
import { complexTruncatedStd, quotient, root, truncatedStd } from "../scalars.js";
import { type Field, type Value, asShape, axes, axesOrNull, count, flag, word } from "./fields.js";

export interface Scheme {
  readonly name: string;
  readonly aliases: readonly string[];
  /** The parameter that an error of the draw blames, if it names none of the parameters. */
  readonly sizeField: string;
  readonly parameters: Readonly<Record<string, Field>>;
  /** Return the draw. Throws `DrawError` or `Invalid`. */
  lower(tensor: Tensor): Draw;
  /** Change values to their one spelling. It runs after `lower`. */
  spell?(tensor: Tensor): void;
  /** Return the parts, or the twin, as they are in canonical JSON. */
  nested?(tensor: Tensor): Record<string, Plain>;
  /** The number of parts that a tensor adds to a `blocks` tensor. */
  blockCount?(tensor: Tensor): number;
}

/** Storage type and layout that a recipe hands to a tensor that does not give them. */
export interface Defaults {
  readonly dtype?: DType;
  readonly layout?: string;
}

/** One validated tensor. */
export class Tensor {
  readonly values: Record<string, Value> = {};
  readonly given = new Set<string>();
  /** Members that are objects or arrays of objects, as they were given. */
  readonly nested: Record<string, Json> = {};
  /** The tensors of the parts of `blocks`, or the twin of `quantized`. */
  parts: readonly { readonly size: number; readonly tensor: Tensor }[] = [];
  draw: Draw = draws.NOTHING;

  constructor(
    readonly scheme: Scheme,
    readonly shape: readonly number[],
    readonly dtype: DType,
    readonly defaults: Defaults,
    /** Number of tensors around this one. */
    readonly depth: number,
  ) {}

  number(name: string): number {
    return this.values[name] as number;
  }
  /** Return the exact value of a real, a count or a whole number. */
  exact(name: string): Rational {
    const value = this.values[name];
    return typeof value === "bigint" ? Rational.of(value) : Rational.fromNumber(value as number);
  }
  exactOrNull(name: string): Rational | null {
    return this.values[name] === null ? null : this.exact(name);
  }
  text(name: string): string {
    return this.values[name] as string;
  }
  flag(name: string): boolean {
    return this.values[name] as boolean;
  }
  list(name: string): readonly number[] | null {
    return this.values[name] as readonly number[] | null;
  }
  get isEmpty(): boolean {
    return this.shape.includes(0);
  }
  get rank(): number {
    return this.shape.length;
  }
  get blockCount(): number {
    return this.scheme.blockCount?.(this) ?? 1;
  }

  /** Return the canonical members: shape, dtype, scheme, and those that differ from their defaults. */
  canonical(): Record<string, Plain> {
    const found: Record<string, Plain> = {};
    for (const [name, parameter] of Object.entries(this.scheme.parameters)) {
      const value = this.values[name]!;
      if (parameter.default !== undefined && isEqual(value, parameter.default)) continue;
      found[name] =
        typeof value === "bigint"
          ? value > draws.EXACT || value < -draws.EXACT
            ? String(value)
            : Number(value)
          : value;
    }
    return {
      ...found,
      ...this.scheme.nested?.(this),
      shape: this.shape,
      dtype: this.dtype.name,
      scheme: this.scheme.name,
    };
  }
}

function isEqual(a: Value, b: Value): boolean {
  return Array.isArray(a) && Array.isArray(b) ? a.length === b.length && a.every((each, n) => each === b[n]) : a === b;
}

/** Parameters that are objects or arrays of objects. Their schemes read them. */
export const NESTED: Readonly<Record<string, string>> = { blocks: "parts", quantized: "tensor" };

/** Return the validated tensor with these members. Adds a fault to `faults` for each that is wrong, and then returns null. */
export function tensorOf(
  members: JsonObject,
  schemes: ReadonlyMap<string, Scheme>,
  defaults: Defaults,
  faults: Invalid[],
  fixed: { shape?: readonly number[]; dtype?: DType } = {},
  depth = 0,
): Tensor | null {
  const name = members.get("scheme");
  const scheme = typeof name === "string" ? schemes.get(name) : undefined;
  if (!scheme) {
    faults.push(new Invalid(members.has("scheme") ? unknownScheme(name, schemes.keys()) : "this field is required", ["scheme"]));
    return null;
  }
  const before = faults.length;
  const read = <T>(field: string, parse: () => T): T | undefined => {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      faults.push(error.within(field));
      return undefined;
    }
  };
  const required = (): never => {
    throw new Invalid("this field is required");
  };
  const shape =
    fixed.shape ?? read("shape", () => (members.has("shape") ? asShape(members.get("shape")!) : required()));
  const dtype =
    fixed.dtype ??
    read("dtype", () => (members.has("dtype") ? asDType(members.get("dtype")!) : (defaults.dtype ?? dtypeOf("F32"))));
  const found = new Tensor(scheme, shape ?? [], dtype ?? dtypeOf("F32"), defaults, depth);
  const nested = NESTED[scheme.name];
  const known = new Set(["scheme", "shape", "dtype", ...Object.keys(scheme.parameters), ...(nested ? [nested] : [])]);
  const hasAxes = ["in_axes", "out_axes"].some((each) => (members.get(each) ?? null) !== null);
  for (const [field, parameter] of Object.entries(scheme.parameters)) {
    const json = members.get(field);
    if (json !== undefined) {
      const value = read(field, () => parameter.parse(json, found.dtype));
      if (value !== undefined) found.values[field] = value;
      found.given.add(field);
    } else if (field === "layout" && defaults.layout !== undefined && !hasAxes) {
      found.values.layout = defaults.layout;
      found.given.add("layout");
    } else if (parameter.default === undefined) {
      read(field, required);
    } else {
      found.values[field] = parameter.default;
    }
  }
  if (nested) {
    if (members.has(nested)) found.nested[nested] = members.get(nested)!;
    else read(nested, required);
  }
  for (const field of members.keys()) {
    if (!known.has(field)) faults.push(new Invalid(`${scheme.name} has no such member${instead(field, [...known])}`, [field]));
  }
  if (faults.length > before) return null;
  try {
    found.draw = scheme.lower(found);
    if (found.dtype.kind === "scale" && !found.isEmpty) draws.checkPositive(found.draw);
    scheme.spell?.(found);
    return found;
  } catch (error) {
    if (error instanceof Invalid) faults.push(error);
    else if (error instanceof DrawError)
      faults.push(new Invalid(error.message, [known.has(error.field) ? error.field : scheme.sizeField]));
    else throw error;
    return null;
  }
}

export function asDType(json: Json): DType {
  const name = typeof json === "string" ? storageName(json) : undefined;
  if (name === undefined) throw new Invalid(unknownType(typeof json === "string" ? json : ""));
  return dtypeOf(name);
}

export const LAYOUT = () => word(["keras", "torch"], "keras");
export const MODES = ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"];

/** The parameters of schemes with fans. */
export const FANS: Readonly<Record<string, Field>> = {
  layout: LAYOUT(),
  in_axes: axesOrNull(),
  out_axes: axesOrNull(),
  batch_axes: axes([]),
  groups: count(1),
  depthwise: flag(false),
  transposed: flag(false),
};

/** Return whether the scheme of a tensor uses its fans. */
export const hasFans = (tensor: Tensor): boolean => "depthwise" in tensor.scheme.parameters;

/** Return the fans of a tensor. */
export function tensorFans(tensor: Tensor): Fans {
  if (tensor.values.in_axes !== null && tensor.given.has("layout")) {
    throw new DrawError("layout", "layout and in_axes exclude each other");
  }
  return fansOf(tensor.shape, tensor.values as unknown as FanParameters);
}

/**
 * Return a draw of mean 0 and variance scale / n, where n is the fan that `mode` selects. Values are multiplied by the
 * root of `gain` of this degree.
 */
export function scaled(
  tensor: Tensor,
  scale: Rational,
  mode: string,
  distribution: string,
  gain = ONE,
  degree = 1,
): Draw {
  // A single root of the product keeps rational values exact.
  const power = degree % 4 === 0 ? degree : degree % 2 === 0 ? 2 * degree : 4 * degree;
  const fan = squared(tensorFans(tensor), mode as Mode);
  const variance = scale
    .mul(scale)
    .div(fan.isZero ? ONE : fan)
    .pow(power / 4);
  const product = variance.mul(gain.pow(power / degree));
  const { dtype } = tensor;
  if (distribution === "uniform") {
    const ratio = Rational.of(dtype.kind === "complex" ? 2 : 3).pow(power / 2);
    const limit = root(product.mul(ratio), power);
    return draws.uniform(limit.neg(), limit, dtype);
  }
  const std = root(product, power);
  if (distribution !== "truncated_normal") return draws.normal(ZERO, std, dtype);
  const cut = dtype.kind === "complex" ? complexTruncatedStd(TWO) : truncatedStd(TWO.neg(), TWO);
  return draws.truncatedNormal(ZERO, quotient(std, cut), TWO.neg(), TWO, dtype);
}
