/** A part of a tensor as a picture: one cell an element. */

import type { BlockAnswer } from "../protocol.js";
import { el } from "../ui/dom.js";
import { onTheme } from "../ui/theme.js";
import { number } from "../ui/words.js";
import { figure } from "./frame.js";

type Colour = readonly [number, number, number];
const NEGATIVE: Colour = [33, 102, 172],
  POSITIVE: Colour = [200, 60, 20];
const MIDDLE = { light: [250, 250, 250], dark: [24, 26, 30] } as const;

/** Return the picture. Those of `others`, which stand beside it, have the same colours for the same values. */
export function heatFigure(block: BlockAnswer, others: readonly BlockAnswer[], moved: (row: number, column: number) => void): HTMLElement {
  const [rows, columns] = block.size,
    [top, left] = block.first;
  const title = "Part of the tensor";
  if (!rows || !columns) return figure(title, "The tensor has no elements.", []);
  const canvas = el("canvas", {
    width: columns,
    height: rows,
    role: "img",
    tabindex: 0,
    class: "heat",
    "aria-label":
      `Heat map of rows ${top} to ${top + rows - 1} and columns ${left} to ${left + columns - 1}. ` +
      "Arrow keys read single elements.",
  });
  canvas.style.aspectRatio = `${columns} / ${Math.max(rows, columns / 16)}`;
  canvas.style.width = `min(100%, ${Math.max(Math.min((columns / rows) * 400, 640), 60)}px)`;
  const most = Math.max(block.most, ...others.map((each) => each.most));
  const paint = () => draw(canvas, block, most);
  paint();
  onTheme(() => canvas.isConnected && paint());
  const readout = el("output", { class: "fine readout" }, `The strongest colours are ±${number(most)} and beyond${others.length ? ", in both pictures" : ""}. Point at an element to read it.`);
  let at: [number, number] = [0, 0];
  const read = (row: number, column: number) => {
    at = [Math.min(Math.max(row, 0), rows - 1), Math.min(Math.max(column, 0), columns - 1)];
    readout.textContent = `row ${top + at[0]}, column ${left + at[1]}: ${number(block.values[at[0] * columns + at[1]]!, 7)}`;
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    read(
      Math.floor(((event.clientY - box.top) / box.height) * rows),
      Math.floor(((event.clientX - box.left) / box.width) * columns),
    );
  });
  canvas.addEventListener("keydown", (event) => {
    const step: Record<string, readonly [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = step[event.key];
    if (!move) return;
    event.preventDefault();
    read(at[0] + move[0], at[1] + move[1]);
  });
  return figure(
    title,
    `Each cell is one element: blue below 0, red above. Random elements look like noise. A stripe or a repeated pattern means that elements depend on each other. ${rangesOf(block)}`,
    [],
    canvas,
    readout,
    (block.matrix[0] > rows || block.matrix[1] > columns) && moves(block, moved),
  );
}

/** Return which rows and columns are shown. */
function rangesOf({ matrix, first, size }: BlockAnswer): string {
  const name = `the tensor as a matrix of ${matrix.join(" × ")}`;
  if (size[0] === matrix[0] && size[1] === matrix[1]) return `It is all of ${name}.`;
  const [rows, columns] = ([0, 1] as const).map((axis) => `${first[axis]} to ${first[axis] + size[axis] - 1}`);
  return `It is rows ${rows} and columns ${columns} of ${name}.`;
}

function moves(block: BlockAnswer, moved: (row: number, column: number) => void): HTMLElement {
  const field = (axis: 0 | 1, name: string) =>
    el("input", { type: "number", min: 0, max: Math.max(block.matrix[axis] - block.size[axis], 0), step: block.size[axis], value: block.first[axis], "data-first": name });
  const row = field(0, "row"),
    column = field(1, "column");
  const change = () => moved(Math.max(Math.floor(Number(row.value)) || 0, 0), Math.max(Math.floor(Number(column.value)) || 0, 0));
  row.addEventListener("change", change);
  column.addEventListener("change", change);
  return el("div", { class: "controls" }, el("label", {}, "First row ", row), el("label", {}, "first column ", column));
}

function draw(canvas: HTMLCanvasElement, { values, size: [rows, columns] }: BlockAnswer, most: number): void {
  const isDark = getComputedStyle(document.body).color.match(/\d+/g)!.map(Number)[0]! > 128;
  const middle = MIDDLE[isDark ? "dark" : "light"],
    context = canvas.getContext("2d")!,
    image = context.createImageData(columns, rows);
  values.forEach((value, n) => {
    const part = most ? Math.min(Math.abs(value) / most, 1) : 0,
      end = value < 0 ? NEGATIVE : POSITIVE;
    for (let k = 0; k < 3; k++) image.data[4 * n + k] = middle[k]! + (end[k]! - middle[k]!) * part;
    image.data[4 * n + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}
