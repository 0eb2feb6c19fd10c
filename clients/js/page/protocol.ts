/** The requests of the window to the worker, and their responses. */

import type { Fault } from "../src/errors.js";

/** A tensor of the recipe, or a tensor of these members under its name and seed. */
export interface Subject {
  readonly name: string;
  /** JSON of the members, without shape and dtype, which are those of the recipe's tensor. */
  readonly members?: string;
}

/** Properties that tensors of one repeated name share. */
export interface Kind {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly scheme: string;
  /** Parameters that differ from their defaults. */
  readonly parameters: string;
  readonly bytes: number;
}

export interface RecipeAnswer {
  readonly digest: string;
  readonly canonical: string;
  readonly seed: string;
  /** Bytes of the file. */
  readonly size: number;
  /** Elements of all tensors. */
  readonly elements: number;
  /** Tensors in file order, and the index in `kinds` of each. */
  readonly names: readonly string[];
  readonly kindOf: readonly number[];
  readonly kinds: readonly Kind[];
}

export interface Numbers {
  readonly mean: number;
  readonly std: number;
  readonly low: number | null;
  readonly high: number | null;
}

/** Moments of the elements by formula. A member is missing if it is not computed; a bound that does not exist is null. */
export type Expected = Partial<Numbers>;

/** The fans of a tensor, or why its shape has none. */
export type FansAnswer =
  | {
      readonly fanIn: string;
      readonly fanOut: string;
      /** The layout by which axes are inputs and outputs; null where the tensor names the axes, or where none matters. */
      readonly layout: string | null;
      /** Whether the recipe states no layout. */
      readonly isAssumed: boolean;
      /** False if the scheme does not use them. */
      readonly isUsed: boolean;
      /** The fan that the formula calls n, and the mode that selects it; null without a mode. */
      readonly selected: { readonly mode: string; readonly n: number } | null;
    }
  | { readonly reason: string };

export interface Histogram {
  /** One more than there are bars. */
  readonly edges: readonly number[];
  readonly counts: readonly number[];
  /** Elements beyond the first and the last edge. */
  readonly below: number;
  readonly above: number;
  /** The density of the distribution, or null if elements have none. */
  readonly density: readonly (readonly [number, number])[] | null;
  /** Values with a probability above 0, and that probability. */
  readonly atoms: readonly (readonly [number, number])[];
}

export interface Rounding {
  /** The type of the unrounded draw. */
  readonly from: string;
  readonly distinct: number;
  /** Numbers of the storage type between the least and the greatest element. */
  readonly possible: number;
  /** Elements that rounding alone would have put beyond a bound; null without bounds. */
  readonly clamped: number | null;
  /** Entropy of the stored values, in bits, and the bits of the type. */
  readonly entropy: number;
  readonly bits: number;
  /** Elements that are 0 although the unrounded ones are not. */
  readonly zeros: number;
  /** Root of the mean square of the error, as a part of the standard deviation. */
  readonly error: number;
  /** Unrounded and stored elements in a narrow range, and its numbers of the storage type. */
  readonly points: readonly (readonly [number, number])[];
  readonly range: readonly [number, number];
}

export type Range = readonly [number, number];

export interface LookAnswer {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly scheme: string;
  readonly formula: string;
  readonly fans: FansAnswer;
  /** By formula, before and after elements are rounded to the storage type; null for codes and scales. */
  readonly drawn: Expected | null;
  readonly stored: Expected | null;
  readonly measured: Numbers | null;
  /** Standard errors of the measured mean and deviation; null where elements are not independent. */
  readonly chance: { readonly mean: number; readonly std: number } | null;
  readonly elements: string;
  readonly sampled: number;
  readonly histogram: Histogram | null;
  readonly rounding: Rounding | null;
}

export interface BlockAnswer {
  /** Sizes of the matrix as which the tensor is shown, and of the part. */
  readonly matrix: readonly [number, number];
  readonly first: readonly [number, number];
  readonly size: readonly [number, number];
  readonly values: readonly number[];
  /** Greatest magnitude that the colours show. */
  readonly most: number;
  /** Singular values, the greatest first; null for a type without them. */
  readonly singular: readonly number[] | null;
  /** The density of Marchenko and Pastur for singular values, and its ends; null where elements are not independent. */
  readonly law: { readonly curve: readonly (readonly [number, number])[]; readonly ends: readonly [number, number] } | null;
  /** Least and greatest singular value that the complete matrix has by its distribution; null if this is it, or unknown. */
  readonly whole: readonly [number, number] | null;
  readonly isOrthogonal: boolean;
}

export interface DepthAnswer {
  readonly width: number;
  /** Fan-out divided by fan-in; 1 for orthogonal matrices. */
  readonly ratio: number;
  /** The reason for the missing plot, or null. */
  readonly refusal: string | null;
  /** Mean squares by layer, from layer 1 on: by the recursion for wide layers, and of one simulated network. */
  readonly signal: readonly number[];
  readonly gradient: readonly number[];
  readonly simulatedSignal: readonly number[];
  readonly simulatedGradient: readonly number[];
}

export interface DigestAnswer {
  readonly sha256: string;
  /** SHA-256 of each block of `blockSize` bytes. */
  readonly blocks: readonly string[];
}

export interface ServiceDigests {
  readonly blockSize: number;
  readonly blocks: readonly string[];
  readonly file: string;
}

export interface Ends {
  readonly start: number;
  readonly stop: number;
}

/** The requests: their arguments and their responses. */
export interface Questions {
  recipe: [{ text: string }, RecipeAnswer];
  seed: [{ seed: string }, { digest: string; seed: string; canonical: string }];
  /** The ends of the axis of values; null where only a sample can tell them. */
  range: [{ subject: Subject }, Range | null];
  look: [{ subject: Subject; range: Range | null }, LookAnswer];
  block: [{ subject: Subject; row: number; column: number }, BlockAnswer];
  depth: [{ subject: Subject; activation: string; layers: number }, DepthAnswer];
  digest: [{ name: string | null; blockSize: number }, DigestAnswer];
  stopDigest: [Record<string, never>, Record<string, never>];
  serviceDigests: [{ root: string; token: string; name: string }, ServiceDigests];
  open: [{ source: "browser" | "service"; root: string; token: string }, { size: number }];
  read: [Record<string, never>, { chunk: Uint8Array<ArrayBuffer> | null }];
  close: [Record<string, never>, Record<string, never>];
}
export type QuestionName = keyof Questions;

export interface Asked {
  readonly id: number;
  readonly question: QuestionName;
  readonly argument: unknown;
}
export interface Answered {
  readonly id: number;
  readonly answer?: unknown;
  /** A part of the work that is done, from 0 to 1. The response follows. */
  readonly progress?: number;
  readonly error?: { readonly message: string; readonly faults?: readonly Fault[]; readonly status?: number | null };
}
