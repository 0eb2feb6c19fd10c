export { FaninError, FileError, MismatchError, NotSupportedError, RecipeError, ServiceError, type Fault } from "./errors.js";
export { Recipe, type RecipeLike } from "./recipe.js";
export { FileLayout, type Entry } from "./layout.js";
export { Generator } from "./composed.js";
export { Kernels, hasSimd, loadKernels } from "./kernels.js";
export { pieces, rangeOf } from "./plan.js";
