/** The recipe to begin with, from page/start.json or from the link. */

import { EXAMPLES } from "./examples.js";
import { locate } from "./locate.js";
import { pretty } from "./pretty.js";

export interface Start {
  /** True if a service serves v1/ of the same folder. */
  readonly hasService: boolean;
  /** Text of the recipe, with all digits of its seed. */
  readonly recipe: string;
  readonly title: string | null;
  /** The tensor that the link names. */
  readonly tensor: string | null;
}

/** The URL of the folder of the page, under which a service has /v1. */
export const root = (): string => new URL(".", document.baseURI).href;

export async function start(): Promise<Start> {
  const found = await served(),
    link = ofLink();
  return { ...found, ...(link.recipe !== null && { recipe: link.recipe, title: null }), tensor: link.tensor };
}

async function served(): Promise<Omit<Start, "tensor">> {
  const usual = pretty(EXAMPLES[0]!.text);
  const response = await fetch(new URL("page/start.json", root())).catch(() => null);
  if (!response?.ok) return { hasService: false, recipe: usual, title: null };
  const text = await response.text(),
    document = JSON.parse(text) as { service?: unknown; recipe?: unknown; title?: unknown };
  // The recipe is cut from the text: JSON.parse rounds seeds beyond 2^53.
  const span = document.recipe === null ? undefined : locate(text).values.get("/recipe");
  return {
    hasService: document.service === true,
    recipe: span ? pretty(text.slice(...span)) : usual,
    title: typeof document.title === "string" ? document.title : null,
  };
}

/** Return the recipe and the tensor of the fragment: #recipe=JSON&tensor=NAME. */
export function ofLink(): { recipe: string | null; tensor: string | null } {
  const members = new URLSearchParams(location.hash.slice(1)),
    recipe = members.get("recipe");
  return { recipe: recipe === null ? null : pretty(recipe), tensor: members.get("tensor") };
}
