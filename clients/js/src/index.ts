export { FaninError, FileError, MismatchError, NotSupportedError, RecipeError, ServiceError, type Fault } from "./errors.js";
export { Recipe, type RecipeLike } from "./recipe.js";
