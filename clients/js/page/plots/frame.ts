/** The frame of a plot: its axes, its title and its text for people who do not see it. */

import { type Child, el, svg } from "../ui/dom.js";
import { number } from "../ui/words.js";

export const WIDTH = 400,
  HEIGHT = 220;
const LEFT = 60,
  RIGHT = 12,
  TOP = 10,
  BOTTOM = 40;

export interface Axis {
  readonly from: number;
  readonly to: number;
  readonly label: string;
  readonly isLog?: boolean;
}

/** Maps numbers of two axes to places in the plot. */
export class Frame {
  constructor(
    readonly x: Axis,
    readonly y: Axis,
  ) {}

  atX = (value: number): number => LEFT + share(this.x, value) * (WIDTH - LEFT - RIGHT);
  atY = (value: number): number => HEIGHT - BOTTOM - share(this.y, value) * (HEIGHT - TOP - BOTTOM);

  /** Return the path of a line through these points, empty if there are none. */
  line(points: readonly (readonly [number, number])[], className: string): SVGPathElement {
    return svg("path", { class: className, d: points.map((point, n) => (n ? "L" : "M") + this.place(point)).join("") });
  }
  private place([x, y]: readonly [number, number]): string {
    return `${this.atX(x).toFixed(1)} ${this.atY(y).toFixed(1)}`;
  }

  /** Return the plot with its axes. `text` says what it shows, for screen readers. */
  drawn(text: string, ...marks: Child[]): SVGSVGElement {
    const bottom = HEIGHT - BOTTOM;
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": text });
    for (const value of ticks(this.x)) {
      const at = this.atX(value).toFixed(1);
      picture.append(svg("line", { class: "grid", x1: at, x2: at, y1: TOP, y2: bottom }));
      picture.append(svg("text", { x: at, y: bottom + 14, "text-anchor": "middle" }, tick(value)));
    }
    for (const value of ticks(this.y)) {
      const at = this.atY(value).toFixed(1);
      picture.append(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at }));
      picture.append(svg("text", { x: LEFT - 5, y: Number(at) + 4, "text-anchor": "end" }, tick(value)));
    }
    picture.append(
      svg("text", { class: "label", x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, this.x.label),
    );
    const middle = (TOP + bottom) / 2;
    picture.append(
      svg("text", { class: "label", x: 11, y: middle, "text-anchor": "middle", transform: `rotate(-90 11 ${middle})` }, this.y.label),
    );
    for (const mark of marks) if (mark) picture.append(mark);
    picture.append(svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: bottom, y2: bottom }));
    return picture;
  }
}

/** Return the text of a tick: powers of ten far from 1 are short. */
const tick = (value: number) =>
  value && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5) ? value.toExponential().replace("e+", "e") : number(value, 3);

function share({ from, to, isLog }: Axis, value: number): number {
  const found = isLog ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
  return Math.min(Math.max(found, -0.02), 1.02);
}

/** Return round numbers between the ends of an axis. */
export function ticks({ from, to, isLog }: Axis): number[] {
  if (isLog) {
    const [low, high] = [Math.ceil(Math.log10(from) - 1e-9), Math.floor(Math.log10(to) + 1e-9)];
    const step = Math.max(1, Math.ceil((high - low) / 5));
    return Array.from({ length: Math.max(Math.floor((high - low) / step) + 1, 0) }, (_, n) => 10 ** (low + n * step));
  }
  const rough = (to - from) / 5,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((each) => each * power >= rough * 0.999)! * power;
  const first = Math.ceil(from / step - 1e-9),
    last = Math.floor(to / step + 1e-9);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, n) => Number(((first + n) * step).toPrecision(12)));
}

/** Return a figure: a heading, one sentence that explains the plot, the plot, and a key of its marks. */
export function figure(
  title: string,
  sentence: string,
  key: readonly (readonly [string, string])[],
  ...content: Child[]
): HTMLElement {
  return el(
    "figure",
    {},
    el("figcaption", {}, el("h4", {}, title), el("p", {}, sentence)),
    ...content,
    key.length > 0 &&
      el(
        "ul",
        { class: "key" },
        ...key.map(([className, text]) => el("li", {}, el("span", { class: `swatch ${className}`, "aria-hidden": "true" }), text)),
      ),
  );
}
