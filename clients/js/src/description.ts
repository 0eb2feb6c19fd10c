/** Descriptions of tensors: the distribution of each as text and as numbers. The port of fanin.description. */

import type { Draw, MappedFunction } from "./draws/index.js";
import { type DType, dtypeOf } from "./dtypes.js";
import { DrawError, Invalid } from "./errors.js";
import { product } from "./fans.js";
import type { LayoutLike } from "./file.js";
import { FileLayout } from "./layout.js";
import { type Moments, mixture, momentsOf } from "./moments.js";
import { type Tensor, Tensor as TensorClass, hasFans, tensorFans } from "./schemes/base.js";

/** Distributions of a tensor of blocks that are written out. */
const SHOWN = 4;

export interface Description {
  /** The distribution of an element as text. */
  readonly formula: string;
  /** Mean and deviation before the rounding to the storage type, bounds after it; null for codes and scales. */
  readonly moments: Moments | null;
  /** The fans, if the scheme has some. */
  readonly fans: { readonly fanIn: bigint; readonly fanOut: bigint } | null;
}

/** Return the description of each tensor, by name in the order of the file. Nothing is generated. */
export function describe(recipe: LayoutLike): Map<string, Description> {
  const { recipe: found, entries } = FileLayout.of(recipe),
    known = new Map<Tensor, Description>();
  return new Map(
    entries.map(({ name }) => {
      const tensor = found.tensors.get(name)!;
      const description = known.get(tensor) ?? descriptionOf(tensor);
      known.set(tensor, description);
      return [name, description];
    }),
  );
}

/** Return the description of a validated tensor. */
export function descriptionOf(tensor: Tensor): Description {
  return { formula: formula(tensor.draw), moments: moments(tensor), fans: hasFans(tensor) ? tensorFans(tensor) : null };
}

/** Return the draw of the tensor at another storage type. Throws `DrawError` or `Invalid` where it has none. */
export function drawAt(tensor: Tensor, dtype: DType): Draw {
  const { scheme, shape, defaults, depth, values, given, nested } = tensor;
  const other = Object.assign(new TensorClass(scheme, shape, dtype, defaults, depth), {
    values: { ...values },
    given,
    nested,
  });
  return scheme.lower(other);
}

/** Those of a normal or uniform distribution follow from its draw at F64, where deviations are rounded least. */
function moments(tensor: Tensor): Moments | null {
  const size = Number(product(tensor.shape));
  if (tensor.parts.length && tensor.scheme.name === "blocks" && size) {
    return mixture(tensor.parts.map((part) => [Number(product(part.tensor.shape)) / size, moments(part.tensor)]));
  }
  const { draw, dtype } = tensor,
    found = momentsOf(draw, dtype);
  if (!found || dtype.kind === "complex" || !["normal", "truncated", "uniform"].includes(draw.kind)) return found;
  try {
    const finer = momentsOf(drawAt(tensor, dtypeOf("F64")), dtypeOf("F64"))!;
    return { ...found, mean: finer.mean, std: finer.std };
  } catch (error) {
    if (error instanceof DrawError || error instanceof Invalid) return found; // a bound is too small for float64
    throw error;
  }
}

/** Return the distribution of an element as text; numbers have the fewest digits that identify them. */
export function formula(draw: Draw): string {
  switch (draw.kind) {
    case "fill":
      return short(draw.value);
    case "uniform":
      return `U[${short(draw.low)}, ${short(draw.high)}]`;
    case "normal":
      return `N(${short(draw.mean)}, ${short(draw.std)}^2)`;
    case "truncated":
      return `N(${short(draw.mean)}, ${short(draw.std)}^2) in [${short(draw.low)}, ${short(draw.high)}]`;
    case "blocks": {
      const all = [...new Set(distributions(draw))];
      const more = all.length > SHOWN ? ` | ... ${all.length - SHOWN} more` : "";
      return all.slice(0, SHOWN).join(" | ") + more;
    }
    case "table":
      return "table";
    case "arange":
      return `${draw.start} + ${draw.step} i, i = 0 .. ${draw.size - 1n}`;
    case "waves":
      return `sin(2 pi (f t + s / 4)) of ${draw.frequencies.length} frequencies f`;
    case "mapped": {
      const u = `U[${short(draw.center - draw.halfWidth)}, ${short(draw.center + draw.halfWidth)}]`;
      return `${FUNCTIONS[draw.function]}, u = ${u}`;
    }
    case "polar":
      if (draw.mass === 0) return `uniform in |z| <= ${short(draw.scale)}`;
      if (draw.mass === 1) return `N(0, ${short(draw.scale)}^2) of complex numbers`;
      return `N(0, ${short(draw.scale)}^2) in |z| <= ${short(Math.sqrt(-Math.log1p(-draw.mass)) * draw.scale)}`;
    case "sparse":
      return `${formula(draw.draw)}, ${draw.zeros} of ${draw.size} zero`;
    case "stack":
      return `${formula(draw.matrix)}, ${draw.count} matrices`;
    case "quantized": {
      const shared = draw.rule === "given" ? "" : ` in groups of ${draw.group[0]} x ${draw.group[1]}`;
      return `${PARTS[draw.part]} ${draw.element} of ${formula(draw.draw)}${shared}`;
    }
    case "orthogonal":
      return `${short(draw.gain)} Q, Q orthogonal, ${draw.rows} x ${draw.columns}`;
  }
}

const FUNCTIONS: Readonly<Record<MappedFunction, string>> = {
  log: "ln u",
  inverseSoftplusExp: "ln(exp(exp u) - 1)",
  inverseSoftplusLog: "ln(exp(-ln(u) / 2) - 1)",
  inverseSoftplusLog8: "ln(exp(-ln(u) / 8) - 1)",
  logLog: "ln(-ln(u) / 2)",
  logit: "ln(u / (1 - u))",
};
const PARTS = { data: "codes", scale: "scales for", zero_point: "zero points for" } as const;

function* distributions(draw: Draw): Generator<string> {
  if (draw.kind === "blocks") for (const part of draw.draws) yield* distributions(part);
  else yield formula(draw);
}

/** Return the fewest digits that identify a float32 number, or a float64 number, as Python writes them. */
export function short(value: number | bigint): string {
  if (typeof value === "bigint") return String(value);
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const [digits, power] = shortest(value).split("e") as [string, string];
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 16) return decimal(digits, exponent);
  return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Return the digits with an exponent, such as 1.5e-3. */
function shortest(value: number): string {
  if (Math.fround(value) === value) {
    for (let places = 0; places < 9; places++) {
      const text = value.toExponential(places);
      if (Math.fround(Number(text)) === value) return toEven(value, text, places);
    }
  }
  return value.toExponential();
}

/** Return the text, with an even last digit where two texts are equally near. */
function toEven(value: number, text: string, places: number): string {
  const [digits, power] = value.toExponential(60).split("e") as [string, string];
  const cut = digits.length - 60 + places;
  return /^50*$/.test(digits.slice(cut)) && /[02468]$/.test(digits.slice(0, cut)) ? `${digits.slice(0, cut)}e${power}` : text;
}

/** Return digits times a power of ten without an exponent. */
function decimal(digits: string, exponent: number): string {
  const sign = digits.startsWith("-") ? "-" : "",
    all = digits.replace(/[-.]/g, "");
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${all}`;
  const whole = all.slice(0, exponent + 1).padEnd(exponent + 1, "0"),
    rest = all.slice(exponent + 1);
  return sign + whole + (rest && `.${rest}`);
}
