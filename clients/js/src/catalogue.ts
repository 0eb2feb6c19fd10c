/** The schemes, for people who write recipes. */

import { SCHEMES } from "./schemes/index.js";
import { NESTED } from "./schemes/base.js";
import type { Value } from "./schemes/fields.js";

export interface SchemeInfo {
  readonly name: string;
  /** Other names of the scheme. */
  readonly aliases: readonly string[];
  /** The members of a tensor besides shape, dtype and scheme. */
  readonly parameters: Readonly<Record<string, ParameterInfo>>;
}
export interface ParameterInfo {
  readonly isRequired: boolean;
  /** The value of a parameter that is not given; missing if it is required. */
  readonly default?: Value;
}

/** Return every scheme with its parameters. */
export function schemes(): SchemeInfo[] {
  return [...new Set(SCHEMES.values())].map(({ name, aliases, parameters }) => {
    const found: Record<string, ParameterInfo> = {};
    for (const [parameter, { default: value }] of Object.entries(parameters))
      found[parameter] = value === undefined ? { isRequired: true } : { isRequired: false, default: value };
    const nested = NESTED[name];
    if (nested) found[nested] = { isRequired: true };
    return { name, aliases, parameters: found };
  });
}
