/** The mean squares of signal and gradient in a deep network whose layers have the distribution of one tensor. */

import type { Generator } from "../../src/composed.js";
import { descriptionOf, drawAt } from "../../src/description.js";
import type { Draw } from "../../src/draws/index.js";
import { dtypeOf } from "../../src/dtypes.js";
import { DrawError } from "../../src/errors.js";
import { sharedGenerator } from "../../src/plan.js";
import type { Tensor } from "../../src/schemes/base.js";
import type { Stream } from "../../src/streams.js";
import { ACTIVATIONS, type Activation } from "../activations.js";
import type { DepthAnswer, Subject } from "../protocol.js";
import { fansFor } from "./fans.js";
import { find } from "./subject.js";

/** Width of the simulated network, and the number of its random inputs. */
const WIDTH = 128,
  INPUTS = 16;
const NORMAL: Draw = { kind: "normal", mean: 0, std: 1 };
const F32 = dtypeOf("F32");

interface Gains {
  /** Mean square of the output of a layer for an input of mean square 1, and the same for gradients. */
  readonly forward: number;
  readonly backward: number;
  /** Standard deviation of an element; null for orthogonal matrices. */
  readonly std: number | null;
}

export async function depth({
  subject,
  activation,
  layers,
}: {
  subject: Subject;
  activation: string;
  layers: number;
}): Promise<DepthAnswer> {
  const { entry, tensor } = find(subject),
    chosen = ACTIVATIONS[activation]!;
  const gains = gainsOf(tensor);
  if (typeof gains === "string")
    return { width: 0, ratio: 1, refusal: gains, signal: [], gradient: [], simulatedSignal: [], simulatedGradient: [] };
  const [signal, gradient] = recursion(gains, chosen, layers);
  const generator = await sharedGenerator();
  const [simulatedSignal, simulatedGradient] = simulate(generator, drawAt(tensor, F32), entry.stream, gains, chosen, layers);
  return { width: WIDTH, ratio: gains.backward / gains.forward, refusal: null, signal, gradient, simulatedSignal, simulatedGradient };
}

/** Return the gains of a layer, or why it has none. */
function gainsOf(tensor: Tensor): Gains | string {
  const { draw } = tensor;
  if (draw.kind === "orthogonal" || draw.kind === "stack") {
    const { gain } = draw.kind === "stack" ? draw.matrix : draw;
    return { forward: gain * gain, backward: gain * gain, std: null };
  }
  if (tensor.dtype.kind !== "real" || !["uniform", "normal", "truncated"].includes(draw.kind))
    return "This plot needs a kernel of independent random elements, or an orthogonal matrix.";
  const { moments } = descriptionOf(tensor);
  if (!moments || Math.abs(moments.mean) > moments.std / 100) return "This plot needs elements of mean 0.";
  try {
    const { fanIn, fanOut } = fansFor(tensor);
    const variance = moments.std * moments.std;
    return { forward: Number(fanIn) * variance, backward: Number(fanOut) * variance, std: moments.std };
  } catch (error) {
    if (error instanceof DrawError) return `This plot needs the inputs and outputs of a layer: ${error.message}.`;
    throw error;
  }
}

/** Return the mean squares by layer of a network of infinite width. */
function recursion({ forward, backward }: Gains, { at, slope }: Activation, layers: number): [number[], number[]] {
  const signal: number[] = [],
    slopes: number[] = [];
  let input = 1;
  for (let layer = 0; layer < layers; layer++) {
    const square = forward * input,
      size = Math.sqrt(square);
    signal.push(square);
    input = expected((z) => at(size * z) ** 2);
    slopes.push(expected((z) => slope(size * z) ** 2));
  }
  const gradient = new Array<number>(layers).fill(1);
  for (let layer = layers - 2; layer >= 0; layer--) gradient[layer] = backward * slopes[layer]! * gradient[layer + 1]!;
  return [signal, gradient];
}

/** Return the mean of a function of a standard normal number. */
function expected(of: (z: number) => number): number {
  const step = 1 / 32;
  let total = 0;
  // The point between two steps keeps a kink at 0 in the middle.
  for (let z = -10 + step / 2; z < 10; z += step) total += of(z) * Math.exp(-0.5 * z * z);
  return (total * step) / Math.sqrt(2 * Math.PI);
}

/** Return the mean squares by layer of one network of WIDTH units, which has the gains of the tensor's layer. */
function simulate(
  generator: Generator,
  draw: Draw,
  stream: Stream,
  { forward, backward, std }: Gains,
  { at, slope }: Activation,
  layers: number,
): [number[], number[]] {
  const make = (what: Draw, name: string, count: number): Float32Array => {
    const bytes = new Uint8Array(4 * count);
    generator.fill(what, { ...stream, name: `${stream.name} ${name}` }, F32, 0n, bytes);
    return new Float32Array(bytes.buffer);
  };
  const square: Draw = std === null ? { kind: "orthogonal", gain: 1, rows: WIDTH, columns: WIDTH } : draw;
  const weights: Float32Array[] = [],
    before: Float32Array[] = [];
  const unit = std === null ? 1 : 1 / (Math.sqrt(WIDTH) * std);
  let input: Float32Array = make(NORMAL, "inputs", WIDTH * INPUTS);
  for (let layer = 0; layer < layers; layer++) {
    const weight = make(square, `layer ${layer}`, WIDTH * WIDTH),
      scale = Math.sqrt(forward) * unit;
    const sums = new Float32Array(WIDTH * INPUTS);
    product(weight, input, sums, scale, false);
    weights.push(weight);
    before.push(sums);
    input = sums.map(at);
  }
  const gradient = new Array<number>(layers).fill(0);
  let errors = make(NORMAL, "errors", WIDTH * INPUTS);
  for (let layer = layers - 1; layer >= 0; layer--) {
    gradient[layer] = meanSquare(errors);
    if (!layer) break;
    const weight = weights[layer]!,
      back = new Float32Array(WIDTH * INPUTS);
    product(weight, errors, back, Math.sqrt(backward) * unit, true);
    errors = back.map((each, n) => each * slope(before[layer - 1]![n]!));
  }
  return [before.map(meanSquare), gradient];
}

/** Write scale W x, or scale W^T x, to `out`. Inputs lie one after another. */
function product(weight: Float32Array, x: Float32Array, out: Float32Array, scale: number, isTransposed: boolean): void {
  for (let input = 0; input < INPUTS; input++) {
    const base = input * WIDTH;
    for (let i = 0; i < WIDTH; i++) {
      let sum = 0;
      if (isTransposed) for (let j = 0; j < WIDTH; j++) sum += weight[j * WIDTH + i]! * x[base + j]!;
      else for (let j = 0; j < WIDTH; j++) sum += weight[i * WIDTH + j]! * x[base + j]!;
      out[base + i] = scale * sum;
    }
  }
}

function meanSquare(values: Float32Array): number {
  let total = 0;
  for (const value of values) total += value * value;
  return total / values.length;
}
