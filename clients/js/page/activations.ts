/** Activations, with their slopes. */

export interface Activation {
  readonly title: string;
  readonly at: (x: number) => number;
  readonly slope: (x: number) => number;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const normal = (x: number) => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);

/** Return P(Z < x) of the standard normal distribution, to 1e-7 (Abramowitz & Stegun 26.2.17). */
function below(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const tail =
    normal(x) * t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return x > 0 ? 1 - tail : tail;
}

export const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  relu: { title: "ReLU", at: (x) => Math.max(x, 0), slope: (x) => (x > 0 ? 1 : 0) },
  leaky_relu: { title: "leaky ReLU, slope 0.01", at: (x) => (x > 0 ? x : 0.01 * x), slope: (x) => (x > 0 ? 1 : 0.01) },
  linear: { title: "none (linear)", at: (x) => x, slope: () => 1 },
  tanh: { title: "tanh", at: Math.tanh, slope: (x) => 1 - Math.tanh(x) ** 2 },
  sigmoid: { title: "sigmoid", at: sigmoid, slope: (x) => sigmoid(x) * (1 - sigmoid(x)) },
  gelu: { title: "GELU", at: (x) => x * below(x), slope: (x) => below(x) + x * normal(x) },
  silu: { title: "SiLU", at: (x) => x * sigmoid(x), slope: (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))) },
  selu: {
    title: "SELU",
    at: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    slope: (x) => 1.0507009873554805 * (x > 0 ? 1 : 1.6732632423543772 * Math.exp(x)),
  },
};
