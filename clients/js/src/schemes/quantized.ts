/** Quantized tensors: each is one part of a matrix in a quantized format (SPEC.md section 9.12). */

import type { Draw } from "../draws/index.js";
import { NOTHING, hasMatrix, isWhole } from "../draws/index.js";
import { DrawError, Invalid } from "../errors.js";
import { checkName } from "../names.js";
import { FORMATS, type Format, globalScaleOf, groupIndex, quantized, shapeTable } from "../draws/quantization.js";
import { dtypeOf } from "../dtypes.js";
import { type Scheme, type Tensor, tensorOf } from "./base.js";
import * as fields from "./fields.js";

const GROUP_SIZE = 128;
const PARTS: Readonly<Record<string, readonly string[]>> = {
  nvfp4: ["data", "scale", "global_scale"],
  int4: ["data", "scale", "shape"],
  int4_asymmetric: ["data", "scale", "zero_point", "shape"],
  awq: ["data", "scale", "zero_point"],
  gptq: ["data", "scale", "zero_point", "group_index"],
};
const TWO_PARTS = ["data", "scale"];

const twin = fields.custom((json) => {
  if (json === null) return null;
  if (typeof json !== "string") throw new Invalid("a tensor name must be a string");
  checkName(json);
  return json;
}, null);

export function quantizedScheme(schemes: ReadonlyMap<string, Scheme>): Scheme {
  return {
    name: "quantized",
    aliases: [],
    sizeField: "tensor",
    parameters: {
      format: fields.word(Object.keys(FORMATS)),
      part: fields.word(["data", "scale", "zero_point", "global_scale", "shape", "group_index"], "data"),
      twin,
      group_size: fields.count(GROUP_SIZE),
      scale_dtype: fields.wordOrNull(["F32", "BF16", "F16"], null),
      transposed: fields.flag(false),
    },
    lower: (tensor) => lower(tensor, twinOf(tensor, schemes)),
    spell: (tensor) => {
      if (tensor.values.scale_dtype === FORMATS[tensor.text("format")]!.scaleTypes[0]) tensor.values.scale_dtype = null;
    },
    nested: (tensor) => {
      const { dtype: _dtype, ...rest } = tensor.parts[0]!.tensor.canonical();
      return { tensor: rest };
    },
    blockCount: (tensor) => tensor.parts[0]!.tensor.blockCount,
  };
}

/** Return the tensor before quantization, at F32. */
function twinOf(tensor: Tensor, schemes: ReadonlyMap<string, Scheme>): Tensor {
  const given = tensor.nested.tensor!;
  if (!(given instanceof Map)) throw new Invalid("must be a tensor", ["tensor"]);
  if (given.has("dtype"))
    throw new Invalid("the twin has no dtype: its float32 numbers are quantized", ["tensor", "dtype"]);
  const faults: Invalid[] = [],
    { layout } = tensor.defaults;
  const found = tensorOf(
    given,
    schemes,
    layout === undefined ? {} : { layout },
    faults,
    { dtype: dtypeOf("F32") },
    tensor.depth + 1,
  );
  if (!found) throw faults[0]!.within("tensor");
  tensor.parts = [{ size: 0, tensor: found }];
  return found;
}

function lower(tensor: Tensor, of: Tensor): Draw {
  const name = tensor.text("format"),
    form = FORMATS[name]!,
    part = tensor.text("part"),
    parts = PARTS[name] ?? TWO_PARTS;
  if (!parts.includes(part)) throw new DrawError("part", `${name} has no ${part}; its parts are ${parts.join(", ")}`);
  if (of.rank < 2)
    throw new DrawError("tensor", `the shape of the twin has ${of.rank} axes; a quantized tensor has at least 2`);
  const isTransposed = tensor.flag("transposed"),
    last = of.shape.slice(-2);
  const shape = [...of.shape.slice(0, -2), ...(isTransposed ? last.reverse() : last)];
  const [rows, columns] = shape.slice(-2) as [number, number];
  const group = groupOf(tensor, name, form, rows, columns);
  const given = tensor.values.scale_dtype as string | null;
  if (given !== null && !form.scaleTypes.includes(given))
    throw new DrawError("scale_dtype", `the scales of ${name} are ${form.scaleTypes.join(" or ")}`);
  const scaleType = given ?? form.scaleTypes[0]!;
  const [shapes, types] = stored(part, form, shape, group, scaleType);
  if (!shapes.some((each) => each.length === tensor.rank && each.every((size, n) => size === tensor.shape[n]))) {
    throw new DrawError(
      "shape",
      `[${tensor.shape.join(", ")}] is not the shape of this part: ${shapes.map((each) => `[${each.join(", ")}]`).join(" or ")}`,
    );
  }
  if (!types.includes(tensor.dtype.name))
    throw new DrawError("dtype", `${tensor.dtype.name} is not the dtype of this part: ${types.join(" or ")}`);
  if (isWhole(of.draw) || hasMatrix(of.draw))
    throw new DrawError(
      "tensor",
      "an orthogonal, sparse or quantized tensor cannot be quantized: its elements depend on each other",
    );
  if (tensor.isEmpty) return NOTHING;
  if (part === "shape") return shapeTable(shape);
  if (part === "group_index") return groupIndex(columns / group[1], group[1]);
  if (part === "global_scale") return globalScaleOf(of.draw, form);
  if (part === "zero_point" && name === "gptq") return { kind: "fill", value: 0x77777777n };
  // Each row is a group without elements.
  if (part === "scale" && form.rule !== "given" && !columns) return { kind: "fill", value: 1 };
  const twinName = tensor.values.twin as string | null;
  return quantized(form, part as "data", of.draw, [rows, columns], group, scaleType, twinName, isTransposed);
}

/** Return the rows and columns of a group. */
function groupOf(tensor: Tensor, name: string, form: Format, rows: number, columns: number): [number, number] {
  const size = tensor.number("group_size");
  if (size !== GROUP_SIZE && !form.hasGroupSize)
    throw new DrawError("group_size", `the groups of ${name} have a fixed size; leave group_size out`);
  const width = form.hasGroupSize ? size : form.group[1];
  if (form.group[0] === 1 && width && columns % width)
    throw new DrawError("tensor", `${columns} columns are not a multiple of ${width}, the columns of a group`);
  if ((form.packing === "awq" || form.packing === "gptq") && rows % 8)
    throw new DrawError("tensor", `${rows} rows are not a multiple of 8, the numbers in a word`);
  if ((form.packing === "words" || form.packing === "gptq") && columns % 8)
    throw new DrawError("tensor", `${columns} columns are not a multiple of 8, the numbers in a word`);
  return [form.group[0], width || Math.max(columns, 1)];
}

/** Return the shapes and the storage types that a part can have. */
function stored(
  part: string,
  form: Format,
  shape: readonly number[],
  group: readonly [number, number],
  scaleType: string,
): [number[][], readonly string[]] {
  const lead = shape.slice(0, -2),
    [rows, columns] = shape.slice(-2) as [number, number];
  const down = Math.ceil(rows / group[0]),
    across = Math.ceil(columns / group[1]),
    eighth = Math.ceil(rows / 8);
  const isFlipped = form.packing === "awq" || form.packing === "gptq";
  switch (part) {
    case "shape":
      return [[[shape.length]], ["I64"]];
    case "group_index":
      return [[[columns]], ["I32"]];
    case "global_scale":
      return [[[1], []], ["F32"]];
    case "zero_point":
      return [[isFlipped ? [...lead, across, eighth] : [...lead, eighth, across]], ["I32"]];
    case "scale": {
      if (form.rule === "given") return [[[1], []], [scaleType]];
      const isRow = !form.group[1] && !form.hasGroupSize; // a group is a row, which may have no element
      const found = [isFlipped ? [...lead, across, down] : [...lead, down, isRow ? 1 : across]];
      if (isRow) found.push([...lead, down]);
      return [found, form.rule === "power" ? form.scaleTypes : [scaleType]];
    }
    default:
      switch (form.packing) {
        case "awq":
          return [[[...lead, columns, eighth]], [form.dataType]];
        case "gptq":
          return [[[...lead, Math.ceil(columns / 8), rows]], [form.dataType]];
        case "words":
          return [[[...lead, rows, Math.ceil(columns / 8)]], [form.dataType]];
        case "bytes":
          return [
            [
              [...lead, rows, columns / 2],
              [...lead, rows, across, group[1] / 2],
            ],
            [form.dataType],
          ];
        case "none":
          return [[[...shape]], [form.dataType]];
      }
  }
}
