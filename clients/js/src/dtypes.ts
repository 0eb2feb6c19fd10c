/** Storage types (SPEC.md section 7). */

import { bitsFloat, floatBits, pow2, roundEven } from "./bits.js";
import { Rational, TWO } from "./rational.js";

export type DTypeName =
  | "F64"
  | "C64"
  | "F32"
  | "F16"
  | "BF16"
  | "F8_E4M3"
  | "F8_E5M2"
  | "F8_E4M3FNUZ"
  | "F8_E5M2FNUZ"
  | "F8_E8M0"
  | "F4"
  | "U64"
  | "I64"
  | "U32"
  | "I32"
  | "U16"
  | "I16"
  | "I8"
  | "U8"
  | "BOOL";

export interface DType {
  readonly name: DTypeName;
  /** Bytes of an element in memory. */
  readonly size: number;
  /** Bits of an element in a file. Below 8, the first of two elements is in the lower half of a byte. */
  readonly bits: number;
  /** Significand bits, the hidden one included. 0 for integers. */
  readonly precision: number;
  /** Exponent of the smallest normal number. */
  readonly minExponent: number;
  readonly largest: Rational;
  readonly least: Rational;
  /** `integer`: nothing is rounded to the type. `scale`: powers of two alone. */
  readonly kind: "real" | "complex" | "integer" | "scale";
  /** True if kernels do not know the type: elements are generated in F32 and then converted. */
  readonly isConverted: boolean;
  /** True if a negative number that rounds to zero becomes +0. */
  readonly hasOneZero: boolean;
}

const power = (exponent: number) => TWO.pow(exponent);

function real(
  name: DTypeName,
  size: number,
  precision: number,
  minExponent: number,
  largest: Rational,
): DType {
  return {
    name,
    size,
    bits: 8 * size,
    precision,
    minExponent,
    largest,
    least: largest.neg(),
    kind: "real",
    isConverted: false,
    hasOneZero: false,
  };
}

function integer(name: DTypeName, size: number, isSigned: boolean, bits = 8 * size): DType {
  const largest = power(isSigned ? bits - 1 : bits).sub(Rational.of(1));
  const least = isSigned ? largest.neg().sub(Rational.of(1)) : Rational.of(0);
  return { ...real(name, size, 0, 0, largest), least, kind: "integer", hasOneZero: true };
}

/** Return (2 - 2^(1 - precision)) 2^exponent. */
const finite = (precision: number, exponent: number) => TWO.sub(power(1 - precision)).mul(power(exponent));
const F32 = real("F32", 4, 24, -126, finite(24, 127));
const ALL: readonly DType[] = [
  integer("U64", 8, false),
  integer("I64", 8, true),
  real("F64", 8, 53, -1022, finite(53, 1023)),
  { ...F32, name: "C64", size: 8, bits: 64, kind: "complex" },
  F32,
  integer("U32", 4, false),
  integer("I32", 4, true),
  real("BF16", 2, 8, -126, finite(8, 127)),
  real("F16", 2, 11, -14, Rational.of(65504)),
  integer("U16", 2, false),
  integer("I16", 2, true),
  { ...real("F8_E5M2FNUZ", 1, 3, -15, Rational.of(57344)), isConverted: true, hasOneZero: true },
  { ...real("F8_E4M3FNUZ", 1, 4, -7, Rational.of(240)), isConverted: true, hasOneZero: true },
  { ...real("F8_E8M0", 1, 1, -127, power(127)), kind: "scale" },
  real("F8_E4M3", 1, 4, -6, Rational.of(448)),
  real("F8_E5M2", 1, 3, -14, Rational.of(57344)),
  integer("I8", 1, true),
  integer("U8", 1, false),
  { ...real("F4", 1, 2, 0, Rational.of(6)), bits: 4, isConverted: true },
  integer("BOOL", 1, false, 1),
];

/** Every storage type by its name, in the order of a file. */
export const STORAGE: ReadonlyMap<string, DType> = new Map(ALL.map((dtype) => [dtype.name, dtype]));
export const dtypeOf = (name: DTypeName): DType => STORAGE.get(name)!;
/** The place of each type in the order of a file. */
export const RANK: ReadonlyMap<string, number> = new Map(ALL.map((dtype, n) => [dtype.name, n]));

/** Return the type that draws of a storage type are computed in. */
export const computeType = (dtype: DType): DType => dtypeOf(dtype.name === "F64" ? "F64" : "F32");
/** Return whether random numbers can be stored. */
export const isRandom = (dtype: DType): boolean => dtype.kind === "real" || dtype.kind === "complex";

const ALIASES = new Map<string, DTypeName>([
  ["float64", "F64"],
  ["complex64", "C64"],
  ["float32", "F32"],
  ["float16", "F16"],
  ["bfloat16", "BF16"],
  ["float8_e4m3fn", "F8_E4M3"],
  ["float8_e5m2", "F8_E5M2"],
  ["float8_e4m3fnuz", "F8_E4M3FNUZ"],
  ["float8_e5m2fnuz", "F8_E5M2FNUZ"],
  ["float8_e8m0fnu", "F8_E8M0"],
  ["float4_e2m1fn", "F4"],
  ...ALL.map((dtype) => [dtype.name.toLowerCase(), dtype.name] as [string, DTypeName]),
]);
const MODULES = ["torch.", "np.", "numpy.", "jnp.", "jax.numpy.", "ml_dtypes."];

/** Return the name of the storage type that a text stands for (SPEC.md section 2.2); undefined if there is none. */
export function storageName(text: string): DTypeName | undefined {
  if (STORAGE.has(text)) return text as DTypeName;
  const at = text.lastIndexOf(".") + 1;
  return at === 0 || MODULES.includes(text.slice(0, at)) ? ALIASES.get(text.slice(at)) : undefined;
}

const VIEW = new DataView(new ArrayBuffer(8));

/** Return the bytes of `count` elements in a file, rounded upwards. */
export const fileBytes = (dtype: DType, count: bigint): bigint => (count * BigInt(dtype.bits) + 7n) / 8n;

/** Return the bits of a real number that the type holds exactly, or of an integer of the type. */
export function encoded(value: number | bigint, dtype: DType): bigint {
  if (dtype.kind === "integer") return BigInt.asUintN(8 * dtype.size, BigInt(value));
  const number = Number(value);
  if (dtype.name === "F64") {
    VIEW.setFloat64(0, number + 0);
    return VIEW.getBigUint64(0);
  }
  if (dtype.kind === "scale") return BigInt(Rational.fromNumber(number).floorLog2() - dtype.minExponent);
  return BigInt(narrow(number + 0, dtype)); // the imaginary part of C64, the upper half, is 0
}

/** Round a float32 number to a real storage type other than F64, to nearest even, and return its bits. */
export function narrow(value: number, dtype: DType): number {
  const bits = floatBits(value);
  if (dtype.size >= 4) return bits;
  const { precision, minExponent } = dtype;
  const exponent = Math.max(((bits >>> 23) & 255) - 127, minExponent);
  const found =
    roundEven(Math.abs(value) * pow2(precision - 1 - exponent)) + (exponent - minExponent) * (1 << (precision - 1));
  return bits >>> 31 && (found || !dtype.hasOneZero) ? found + (1 << (dtype.bits - 1)) : found;
}

/** Return the number that bits of a real storage type other than F64 stand for. They are finite. */
export function widened(bits: number, dtype: DType): number {
  if (dtype.size >= 4) return bitsFloat(bits);
  const top = 1 << (dtype.bits - 1),
    hidden = 1 << (dtype.precision - 1);
  const magnitude = bits % top,
    field = Math.floor(magnitude / hidden),
    fraction = magnitude % hidden;
  const significand = field ? fraction + hidden : fraction;
  const value = significand * pow2(Math.max(field, 1) + dtype.minExponent - dtype.precision);
  return bits >= top ? -value : value;
}
