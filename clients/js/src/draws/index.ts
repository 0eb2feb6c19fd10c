/**
 * Draws: the few primitives that every scheme lowers to (SPEC.md section 6). Their numbers are rounded to the type they
 * are computed in, and bounds inwards to the storage type.
 */

export * from "./composed.js";
export { EXACT, NOTHING, checkInterval, fill, normal, truncatedNormal, uniform, whole } from "./plain.js";
export type * from "./types.js";
