/** The types of draws (SPEC.md section 6). All their numbers are rounded already. */

/** Every element is `value`: a number of the storage type, a `bigint` if that has integers. */
export interface Fill {
  readonly kind: "fill";
  readonly value: number | bigint;
}
/** center + halfWidth * v, clamped to [low, high], where v is uniform in (-1, 1). */
export interface Uniform {
  readonly kind: "uniform";
  readonly center: number;
  readonly halfWidth: number;
  readonly low: number;
  readonly high: number;
}
/** mean + std * z, where z is standard normal. */
export interface Normal {
  readonly kind: "normal";
  readonly mean: number;
  readonly std: number;
}
/** One side of a truncated normal distribution (SPEC.md section 6.4). `count` is at most 2^32. */
export interface Side {
  readonly count: number;
  readonly tailCount: number;
  readonly tailOffset: number;
  readonly centralOffset: number;
  readonly step: number;
}
export interface TruncatedNormal {
  readonly kind: "truncated";
  readonly mean: number;
  readonly std: number;
  readonly low: number;
  readonly high: number;
  readonly negative: Side;
  readonly positive: Side;
}
/** Several draws, each at its offsets in a repeating period. `starts` begin with 0. */
export interface Blocks {
  readonly kind: "blocks";
  readonly period: bigint;
  readonly starts: readonly bigint[];
  readonly draws: readonly Draw[];
}
/** Stored values in a cycle, each repeated `run` times. */
export interface Table {
  readonly kind: "table";
  readonly values: readonly bigint[];
  readonly run: bigint;
  readonly numbers: readonly number[];
}
/** start + step (p mod size) at position p. */
export interface Arange {
  readonly kind: "arange";
  readonly start: bigint;
  readonly step: bigint;
  readonly size: bigint;
}
/** gain * Q, where Q has orthonormal columns, or rows if there are fewer rows. */
export interface Orthogonal {
  readonly kind: "orthogonal";
  readonly gain: number;
  readonly rows: number;
  readonly columns: number;
}
/** `count` independent matrices, one after another. The first one has the number `first`. */
export interface Stack {
  readonly kind: "stack";
  readonly matrix: Orthogonal;
  readonly first: number;
  readonly count: number;
}
export type MappedFunction =
  "log" | "inverseSoftplusExp" | "inverseSoftplusLog" | "inverseSoftplusLog8" | "logLog" | "logit";
/** A function of center + halfWidth * v, in float64, clamped to [low, high]. */
export interface Mapped {
  readonly kind: "mapped";
  readonly function: MappedFunction;
  readonly center: number;
  readonly halfWidth: number;
  readonly low: number;
  readonly high: number;
}
/** Rows of waves. Position p has time t = first + (p div (columns run)) mod rows. Frequencies are in 2^-96 turns a row. */
export interface Waves {
  readonly kind: "waves";
  readonly first: bigint;
  readonly rows: bigint;
  readonly frequencies: readonly bigint[];
  readonly quarters: readonly number[];
  readonly amplitudes: readonly number[];
  /** Number of rows that follow each other with the same time. */
  readonly run: bigint;
}
/** Complex numbers (SPEC.md section 6.9). */
export interface Polar {
  readonly kind: "polar";
  readonly scale: number;
  readonly mass: number;
}
/** `draw` with `zeros` zeros in each line of `size` elements, which are `inner` positions apart. */
export interface Sparse {
  readonly kind: "sparse";
  readonly draw: Plain;
  readonly size: number;
  readonly inner: bigint;
  readonly zeros: number;
}
/** One part of a quantized tensor (SPEC.md section 6.16). */
export interface Quantized {
  readonly kind: "quantized";
  readonly draw: Draw;
  readonly twin: string | null;
  readonly rows: number;
  readonly columns: number;
  readonly transposed: boolean;
  readonly group: readonly [number, number];
  readonly element: Element;
  readonly rule: ScaleRule;
  readonly scale: number;
  readonly scaleType: "F32" | "BF16" | "F16";
  readonly part: "data" | "scale" | "zero_point";
  readonly packing: Packing;
}
export type Element = "E4M3" | "E2M1" | "I8" | "I4" | "U4";
export type ScaleRule = "given" | "largest" | "power" | "two_level" | "range";
export type Packing = "none" | "bytes" | "words" | "gptq" | "awq";

/** A draw that the kernels generate. An element depends on its random words alone. */
export type Plain = Fill | Uniform | Normal | TruncatedNormal;
export type Draw = Plain | Blocks | Table | Arange | Orthogonal | Mapped | Waves | Polar | Sparse | Stack | Quantized;
