/** Elements of the page. All text becomes text nodes: nothing that a user typed is parsed as HTML. */

export type Child = Node | string | null | undefined | false;
type Properties = Record<string, unknown>;

function filled<E extends Element>(element: E, properties: Properties, children: readonly Child[]): E {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value as EventListener);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, ...children);
  return element;
}

/** Return an HTML element. Properties that begin with `on` are listeners, all others attributes. */
export function el<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  return filled(document.createElement(name), properties, children);
}

/** Return an SVG element. */
export function svg<Name extends keyof SVGElementTagNameMap>(
  name: Name,
  properties: Properties = {},
  ...children: Child[]
): SVGElementTagNameMap[Name] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

export function append(parent: Element, ...children: readonly Child[]): void {
  for (const child of children) if (child) parent.append(child);
}

export function replace(parent: Element, ...children: readonly Child[]): void {
  parent.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

/** Return the element of the document with this id. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as E;
}

let count = 0;
/** Return an id that no other element has. */
export const newId = (prefix: string): string => `${prefix}-${++count}`;
