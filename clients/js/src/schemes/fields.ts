/** The types of parameters: how each is read from JSON, and its default (SPEC.md sections 2.1 and 9). */

import type { DType } from "../dtypes.js";
import { Invalid } from "../errors.js";
import { type Json, JsonNumber } from "../json.js";

export type Value = null | boolean | number | bigint | string | readonly number[];

export interface Field {
  /** Return the value of a parameter. Throws `Invalid`. */
  parse(json: Json, dtype: DType): Value;
  /** The default; undefined if the parameter is required. */
  readonly default: Value | undefined;
}

type Parse = Field["parse"];
const field = (parse: Parse, fallback?: Value): Field => ({ parse, default: fallback });

const MAX_INTEGER = 2 ** 53 - 1;
export const MAX_RANK = 64;
const MAX_FACTORS = 512;
const DECIMAL = /^(?:0|-?[1-9][0-9]{0,19})$/;

function number(json: Json): number {
  if (!(json instanceof JsonNumber)) throw new Invalid("must be a number");
  const value = json.value;
  if (!Number.isFinite(value)) throw new Invalid("must be finite as a float64 number");
  return value;
}

function realWhere(isAllowed: (value: number) => boolean, allowed: string): Parse {
  return (json) => {
    const value = number(json);
    if (!isAllowed(value)) throw new Invalid(`must be ${allowed}`);
    return value;
  };
}

function integerFrom(low: number, high: number): (json: Json) => number {
  return (json) => {
    const value = json instanceof JsonNumber && json.isInteger ? json.value : NaN;
    if (!(value >= low && value <= high)) throw new Invalid(`must be an integer from ${low} to ${high}`);
    return value;
  };
}

function list<T>(parse: (json: Json) => T, most: number, items: string): (json: Json) => T[] {
  return (json) => {
    if (!Array.isArray(json)) throw new Invalid(`must be an array of ${items}`);
    if (json.length > most) throw new Invalid(`${json.length} items; at most ${most}`);
    return json.map((item, n) => {
      try {
        return parse(item);
      } catch (error) {
        throw error instanceof Invalid ? error.within(n) : error;
      }
    });
  };
}

const orNull =
  (parse: Parse): Parse =>
  (json, dtype) =>
    json === null ? null : parse(json, dtype);
const asPositive = realWhere((value) => value > 0, "a number above 0");

export const real = (fallback?: number) => field(number, fallback);
export const realOrNull = (fallback: number | null) => field(orNull(number), fallback);
export const positive = (fallback?: number) => field(asPositive, fallback);
export const positiveOrNull = () => field(orNull(asPositive), null);
export const nonNegative = (fallback?: number) =>
  field(
    realWhere((value) => value >= 0, "a number from 0 on"),
    fallback,
  );
export const proportion = (fallback?: number) =>
  field(
    realWhere((value) => value >= 0 && value <= 1, "a number from 0 to 1"),
    fallback,
  );
export const radius = (fallback?: number) =>
  field(
    realWhere((value) => value > 0 && value < 1, "a number between 0 and 1"),
    fallback,
  );
export const positiveTo = (most: number, fallback: number) =>
  field(
    realWhere((value) => value > 0 && value <= most, `a number above 0, at most ${most}`),
    fallback,
  );

export const asDimension = integerFrom(0, MAX_INTEGER);
export const asShape = list(asDimension, MAX_RANK, "integers");
export const asAxis = integerFrom(-MAX_RANK, MAX_RANK - 1);
export const asAxes = list(asAxis, MAX_RANK, "integers");
export const count = (fallback?: number) => field(integerFrom(1, MAX_INTEGER), fallback);
export const countOrNull = () => field(orNull(integerFrom(1, MAX_INTEGER)), null);
export const countFrom = (low: number, high: number, fallback: number) => field(integerFrom(low, high), fallback);
export const dimensionOrNull = () => field(orNull(asDimension), null);
export const axis = (fallback: number) => field(asAxis, fallback);
export const axes = (fallback: readonly number[]) => field(asAxes, fallback);
export const axesOrNull = () => field(orNull(asAxes), null);
export const factorsOrNull = () =>
  field(orNull(list((json) => asPositive(json, undefined as never) as number, MAX_FACTORS, "numbers")), null);

/** The height and the width of a grid. */
export const gridOrNull = () =>
  field((json) => {
    if (json === null) return null;
    const found = list(integerFrom(1, MAX_INTEGER), 2, "integers")(json);
    if (found.length < 2) throw new Invalid("this field is required", [found.length]);
    return found;
  }, null);

export const flag = (fallback: boolean) =>
  field((json) => {
    if (typeof json !== "boolean") throw new Invalid("must be true or false");
    return json;
  }, fallback);

const oneOf =
  (words: readonly string[]): Parse =>
  (json) => {
    if (typeof json !== "string" || !words.includes(json)) throw new Invalid(`must be one of ${words.join(", ")}`);
    return json;
  };
export const word = (words: readonly string[], fallback?: string) => field(oneOf(words), fallback);
export const wordOrNull = (words: readonly string[], fallback: string | null) => field(orNull(oneOf(words)), fallback);

/** A parameter with its own way of reading. */
export const custom = field;

/** Return a whole number: an integer, its decimal digits as a string, or a real without a fraction. */
export function asWhole(json: Json, allowed = ""): bigint {
  if (typeof json === "string" && DECIMAL.test(json)) return checkedWhole(BigInt(json), allowed);
  if (json instanceof JsonNumber) {
    if (json.isInteger && json.text.length < 30) return checkedWhole(BigInt(json.text), allowed);
    const value = json.value;
    if (!json.isInteger && Number.isInteger(value)) {
      if (Number.isSafeInteger(value)) return BigInt(value);
      throw new Invalid("beyond 2^53 - 1 an integer is written without fraction and exponent");
    }
  }
  throw new Invalid(`must be an integer${allowed}, as a number or a decimal string`);
}

function checkedWhole(value: bigint, allowed: string): bigint {
  if (value >= 2n ** 64n || value <= -(2n ** 64n))
    throw new Invalid(`must be an integer${allowed} below 2^64 in magnitude`);
  return value;
}

export const whole = (fallback: bigint) => field((json) => asWhole(json), fallback);

/** A real; at an integer type an exact integer, and at BOOL a boolean too. */
export const numberOfType = () =>
  field((json, dtype) => {
    if (dtype.kind !== "integer") return number(json);
    if (dtype.name === "BOOL" && typeof json === "boolean") return json ? 1n : 0n;
    return asWhole(json, ` from ${dtype.least} to ${dtype.largest} (${dtype.name})`);
  });
