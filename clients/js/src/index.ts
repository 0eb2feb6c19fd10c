export { type ParameterInfo, type SchemeInfo, schemes } from "./catalogue.js";
export { type ServiceOptions, Service, fromService } from "./client.js";
export { Generator } from "./composed.js";
export { type Description, describe } from "./description.js";
export type { DTypeName } from "./dtypes.js";
export {
  type Fault,
  FaninError,
  FileError,
  MismatchError,
  NotSupportedError,
  RecipeError,
  ServiceError,
} from "./errors.js";
export {
  type LayoutLike,
  type Part,
  type Source,
  fileStream,
  materialize,
  range,
  slice,
  tensor,
  verify,
} from "./file.js";
export { Kernels, hasSimd, loadKernels } from "./kernels.js";
export { type Entry, FileLayout } from "./layout.js";
export type { Moments } from "./moments.js";
export { type Piece, pieces, rangeOf } from "./plan.js";
export { Recipe, type RecipeLike, recipeInHeader } from "./recipe.js";
export { type Index, type TensorData, type TypedArray, numbers } from "./tensors.js";
