/** Errors that this package throws on purpose. */

export class FaninError extends Error {
  override name = "FaninError";
}

/** One fault of a recipe. */
export interface Fault {
  /** JSON pointer (RFC 6901) of the wrong field; empty for the document itself. */
  pointer: string;
  /** Description of the fault, and of the allowed values. */
  detail: string;
}

/** The recipe is invalid. `faults` has one entry per wrong field. */
export class RecipeError extends FaninError {
  override name = "RecipeError";
  readonly faults: readonly Fault[];
  constructor(faults: readonly Fault[]) {
    super(faults.map((each) => `${each.pointer || "(recipe)"}: ${each.detail}`).join("\n"));
    this.faults = faults;
  }
}

/** The recipe is valid, but this package cannot generate one of its tensors. */
export class NotSupportedError extends FaninError {
  override name = "NotSupportedError";
}

/** Bytes differ from those that the recipe defines. */
export class MismatchError extends FaninError {
  override name = "MismatchError";
  constructor(
    message: string,
    /** Name of the first tensor that differs; null if the header or the length differs. */
    readonly tensor: string | null,
    /** Row-major index of its first element that differs. */
    readonly element: bigint | null,
  ) {
    super(message);
  }
}

/** The file has no recipe in its header, or is not a safetensors file. */
export class FileError extends FaninError {
  override name = "FileError";
}

/** A request to a Fanin service failed, or its response is invalid. */
export class ServiceError extends FaninError {
  override name = "ServiceError";
  constructor(
    message: string,
    /** HTTP status; null if no response arrived. */
    readonly status: number | null = null,
    /** The RFC 9457 document of the response, if it had one. */
    readonly problem: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

/** A field has a wrong value. `path` leads to it from the value that a function was given. */
export class Invalid extends Error {
  constructor(
    readonly detail: string,
    readonly path: readonly (string | number)[] = [],
  ) {
    super(detail);
  }
  /** Return the same fault of a value that has this one at `step`. */
  within(...step: (string | number)[]): Invalid {
    return new Invalid(this.detail, [...step, ...this.path]);
  }
}

/** A draw cannot have these parameters. `field` is the parameter that is wrong. */
export class DrawError extends Error {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

const NAME = 2048;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Return a JSON pointer that can be printed. Long names are cut, so that an error does not repeat a document of megabytes. */
export function pointer(path: readonly (string | number)[]): string {
  return path
    .map((part) => {
      const text = String(part);
      const cut = text.length <= NAME ? text : text.slice(0, NAME - 3) + "...";
      const escaped = cut.replaceAll("~", "~0").replaceAll("/", "~1");
      // UTF-8 has no lone surrogates.
      return "/" + escaped.replace(LONE, (unit) => "\\u" + unit.charCodeAt(0).toString(16));
    })
    .join("");
}
