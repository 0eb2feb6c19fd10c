/** Exact rational numbers. */

export class Rational {
  /** A reduced fraction with a positive denominator. */
  private constructor(
    readonly n: bigint,
    readonly d: bigint,
  ) {}

  static of(n: bigint | number, d: bigint | number = 1n): Rational {
    let top = BigInt(n),
      bottom = BigInt(d);
    if (bottom < 0n) [top, bottom] = [-top, -bottom];
    if (bottom === 1n) return new Rational(top, bottom);
    // Approximations have powers of 2 there, for which Euclid's algorithm is slow.
    if (!(bottom & (bottom - 1n))) return Rational.dyadic(top, 1 - bitLength(bottom));
    const shared = gcd(top < 0n ? -top : top, bottom);
    return new Rational(top / shared, bottom / shared);
  }

  /** Return the exact value of a finite float64 number. */
  static fromNumber(value: number): Rational {
    if (Number.isSafeInteger(value)) return new Rational(BigInt(value), 1n);
    VIEW.setFloat64(0, value);
    const bits = VIEW.getBigUint64(0);
    const field = Number((bits >> 52n) & 0x7ffn);
    const significand = (bits & 0xfffffffffffffn) | (field ? 1n << 52n : 0n);
    return Rational.dyadic(value < 0 ? -significand : significand, Math.max(field, 1) - 1075);
  }

  /** Return m 2^e. */
  static dyadic(m: bigint, e: number): Rational {
    if (e >= 0) return new Rational(m << BigInt(e), 1n);
    if (m === 0n) return new Rational(0n, 1n);
    let zeros = 0;
    while (zeros < -e && !((m >> BigInt(zeros)) & 0xffffffffn)) zeros += 32;
    while (zeros < -e && !((m >> BigInt(zeros)) & 1n)) zeros++;
    zeros = Math.min(zeros, -e);
    return new Rational(m >> BigInt(zeros), 1n << BigInt(-e - zeros));
  }

  /** Return the value of a decimal without exponent. */
  static decimal(text: string): Rational {
    const [whole, part = ""] = text.split(".");
    return Rational.of(BigInt(whole! + part), 10n ** BigInt(part.length));
  }

  add(other: Rational): Rational {
    return Rational.of(this.n * other.d + other.n * this.d, this.d * other.d);
  }
  sub(other: Rational): Rational {
    return Rational.of(this.n * other.d - other.n * this.d, this.d * other.d);
  }
  mul(other: Rational): Rational {
    return Rational.of(this.n * other.n, this.d * other.d);
  }
  div(other: Rational): Rational {
    if (other.n === 0n) throw new RangeError("division by zero");
    return Rational.of(this.n * other.d, this.d * other.n);
  }
  neg(): Rational {
    return new Rational(-this.n, this.d);
  }
  abs(): Rational {
    return this.n < 0n ? this.neg() : this;
  }
  /** Return an integer power. */
  pow(exponent: number): Rational {
    if (exponent < 0) return ONE.div(this.pow(-exponent));
    const power = BigInt(exponent);
    return new Rational(this.n ** power, this.d ** power);
  }
  compare(other: Rational): number {
    const difference = this.n * other.d - other.n * this.d;
    return difference < 0n ? -1 : difference > 0n ? 1 : 0;
  }
  less(other: Rational): boolean {
    return this.compare(other) < 0;
  }
  equals(other: Rational): boolean {
    return this.n === other.n && this.d === other.d;
  }
  get isZero(): boolean {
    return this.n === 0n;
  }
  get isInteger(): boolean {
    return this.d === 1n;
  }
  floor(): bigint {
    const quotient = this.n / this.d;
    return this.n < 0n && quotient * this.d !== this.n ? quotient - 1n : quotient;
  }
  ceil(): bigint {
    return -this.neg().floor();
  }
  /** Return the nearest integer, ties to even. */
  round(): bigint {
    const low = this.floor();
    const twice = 2n * (this.n - low * this.d);
    if (twice === this.d) return low & 1n ? low + 1n : low;
    return twice < this.d ? low : low + 1n;
  }
  /** Return floor(log2) of a positive number. */
  floorLog2(): number {
    const exponent = bitLength(this.n) - bitLength(this.d);
    const [a, b] = exponent >= 0 ? [this.n, this.d << BigInt(exponent)] : [this.n << BigInt(-exponent), this.d];
    return a >= b ? exponent : exponent - 1;
  }
  toString(): string {
    return this.d === 1n ? String(this.n) : `${this.n}/${this.d}`;
  }
}

const VIEW = new DataView(new ArrayBuffer(8));

function gcd(a: bigint, b: bigint): bigint {
  while (b) [a, b] = [b, a % b];
  return a || 1n;
}

export function bitLength(n: bigint): number {
  const text = n.toString(16);
  return 4 * (text.length - 1) + (32 - Math.clz32(parseInt(text[0]!, 16)));
}

/** Return the integer root, rounded down, of n >= 0. */
export function integerRoot(n: bigint, degree: number): bigint {
  if (n < 2n) return n;
  const d = BigInt(degree);
  let x = 1n << BigInt(Math.floor((bitLength(n) - 1) / degree) + 1);
  for (;;) {
    const next = ((d - 1n) * x + n / x ** (d - 1n)) / d;
    if (next >= x) return x;
    x = next;
  }
}

export const ZERO = Rational.of(0);
export const ONE = Rational.of(1);
export const TWO = Rational.of(2);
export const HALF = Rational.of(1, 2);
export const max = (a: Rational, b: Rational): Rational => (a.less(b) ? b : a);
export const min = (a: Rational, b: Rational): Rational => (b.less(a) ? b : a);
