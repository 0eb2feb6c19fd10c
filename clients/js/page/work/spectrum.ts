/** Singular values of a small matrix, and the density of Marchenko and Pastur. */

/** Return the singular values of a matrix, the greatest first. They are roots of eigenvalues of its Gram matrix. */
export function singularValues(values: Float64Array, rows: number, columns: number): number[] {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  const n = Math.min(rows, columns);
  if (!most) return new Array<number>(n).fill(0);
  return eigenvalues(gram(values, rows, columns, most), n)
    .map((each) => most * Math.sqrt(Math.max(each, 0)))
    .sort((a, b) => b - a);
}

/** Return the products of all pairs of rows, or of columns if there are fewer. Elements are divided by `most`. */
function gram(values: Float64Array, rows: number, columns: number, most: number): Float64Array {
  const n = Math.min(rows, columns),
    length = Math.max(rows, columns);
  const line = (k: number, at: number) => (rows <= columns ? values[k * columns + at]! : values[at * columns + k]!) / most;
  const lines = new Float64Array(n * length);
  for (let k = 0; k < n; k++) for (let at = 0; at < length; at++) lines[k * length + at] = line(k, at);
  const found = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let at = 0; at < length; at++) sum += lines[i * length + at]! * lines[j * length + at]!;
      found[i * n + j] = found[j * n + i] = sum;
    }
  }
  return found;
}

/** Return the eigenvalues of a symmetric matrix, which is overwritten: Householder's reduction, then implicit QL. */
export function eigenvalues(a: Float64Array, n: number): number[] {
  const [diagonal, beside] = tridiagonal(a, n);
  for (let first = 0; first < n; first++) {
    for (let turn = 0; turn < 60; turn++) {
      let last = first;
      for (; last < n - 1; last++) {
        const size = Math.abs(diagonal[last]!) + Math.abs(diagonal[last + 1]!);
        if (Math.abs(beside[last]!) <= Number.EPSILON * size) break;
      }
      if (last === first) break;
      step(diagonal, beside, first, last);
    }
  }
  return [...diagonal];
}

/** Reduce a symmetric matrix to its diagonal and the elements beside it, by reflections. */
function tridiagonal(a: Float64Array, n: number): [Float64Array, Float64Array] {
  const diagonal = new Float64Array(n),
    beside = new Float64Array(n),
    v = new Float64Array(n),
    p = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    let square = 0;
    for (let i = k + 1; i < n; i++) square += a[i * n + k]! ** 2;
    const first = a[(k + 1) * n + k]!,
      alpha = first > 0 ? -Math.sqrt(square) : Math.sqrt(square);
    const norm = square - alpha * first; // half of |v|^2
    beside[k] = alpha;
    if (!(norm > 0)) continue;
    for (let i = k + 1; i < n; i++) v[i] = a[i * n + k]!;
    v[k + 1] = first - alpha;
    let overlap = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += a[i * n + j]! * v[j]!;
      p[i] = sum / norm;
      overlap += p[i]! * v[i]!;
    }
    const half = overlap / (2 * norm);
    for (let i = k + 1; i < n; i++) p[i]! -= half * v[i]!;
    for (let i = k + 1; i < n; i++)
      for (let j = k + 1; j < n; j++) a[i * n + j]! -= v[i]! * p[j]! + p[i]! * v[j]!;
  }
  if (n > 1) beside[n - 2] = a[(n - 1) * n + n - 2]!;
  for (let k = 0; k < n; k++) diagonal[k] = a[k * n + k]!;
  return [diagonal, beside];
}

/** Do one step of QL with Wilkinson's shift on rows `first` to `last`. */
function step(d: Float64Array, e: Float64Array, first: number, last: number): void {
  let g = (d[first + 1]! - d[first]!) / (2 * e[first]!);
  let r = Math.hypot(g, 1);
  g = d[last]! - d[first]! + e[first]! / (g + (g >= 0 ? r : -r));
  let [s, c, p] = [1, 1, 0];
  for (let i = last - 1; i >= first; i--) {
    const f = s * e[i]!,
      b = c * e[i]!;
    r = Math.hypot(f, g);
    e[i + 1] = r;
    if (r === 0) {
      d[i + 1]! -= p;
      e[last] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = d[i + 1]! - p;
    r = (d[i]! - g) * s + 2 * c * b;
    p = s * r;
    d[i + 1] = g + p;
    g = c * r - b;
  }
  d[first]! -= p;
  e[first] = g;
  e[last] = 0;
}

/** Return the density of singular values of a large matrix of independent elements, and its ends. */
export function marchenkoPastur(
  rows: number,
  columns: number,
  std: number,
): { curve: [number, number][]; ends: [number, number] } {
  const [small, large] = [Math.min(rows, columns), Math.max(rows, columns)],
    ratio = small / large;
  const unit = std * Math.sqrt(large),
    ends: [number, number] = [unit * (1 - Math.sqrt(ratio)), unit * (1 + Math.sqrt(ratio))];
  const [low, high] = ends.map((end) => (end / unit) ** 2) as [number, number];
  const curve = Array.from({ length: 201 }, (_, n): [number, number] => {
    const x = ends[0] + ((ends[1] - ends[0]) * (n + 0.02)) / 200.04,
      y = (x / unit) ** 2;
    return [x, (Math.sqrt(Math.max((high - y) * (y - low), 0)) / (Math.PI * ratio * (x / unit))) / unit];
  });
  return { curve, ends };
}
