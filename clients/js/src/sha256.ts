/** SHA-256 (FIPS 180-4). WebCrypto's is asynchronous, and missing on pages without HTTPS. */

const K = new Uint32Array(64);
const START = new Uint32Array(8);
{
  // The fractional parts of the roots of the first primes.
  const isPrime = (n: number) => {
    for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
    return true;
  };
  const fraction = (n: bigint, degree: bigint) => {
    // The integer root of n 2^(32 degree), modulo 2^32.
    const wanted = n << (32n * degree);
    let low = 0n,
      high = 1n << 40n;
    while (high - low > 1n) {
      const middle = (low + high) >> 1n;
      if (middle ** degree <= wanted) low = middle;
      else high = middle;
    }
    return Number(low & 0xffffffffn);
  };
  for (let n = 2, count = 0; count < 64; n++) {
    if (!isPrime(n)) continue;
    if (count < 8) START[count] = fraction(BigInt(n), 2n);
    K[count++] = fraction(BigInt(n), 3n);
  }
}

export class Sha256 {
  private readonly state = START.slice();
  private readonly block = new Uint8Array(64);
  private readonly words = new Uint32Array(64);
  private filled = 0;
  private length = 0;

  /** Add bytes to the message. */
  update(data: Uint8Array): this {
    this.length += data.length;
    let at = 0;
    if (this.filled) {
      at = Math.min(64 - this.filled, data.length);
      this.block.set(data.subarray(0, at), this.filled);
      this.filled += at;
      if (this.filled < 64) return this;
      this.round(this.block, 0);
    }
    for (; at + 64 <= data.length; at += 64) this.round(data, at);
    this.block.set(data.subarray(at));
    this.filled = data.length - at;
    return this;
  }

  /** Return the 32 bytes of the hash. Nothing may be added afterwards. */
  digest(): Uint8Array {
    const bits = this.length * 8;
    const padding = new Uint8Array((this.filled < 56 ? 56 : 120) - this.filled + 8);
    padding[0] = 0x80;
    const view = new DataView(padding.buffer);
    view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(padding.length - 4, bits >>> 0);
    this.update(padding);
    const found = new Uint8Array(32);
    const out = new DataView(found.buffer);
    this.state.forEach((word, n) => out.setUint32(4 * n, word));
    return found;
  }

  /** Return the hash as 64 hexadecimal digits. */
  hex(): string {
    return Array.from(this.digest(), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  private round(data: Uint8Array, at: number): void {
    const w = this.words;
    for (let n = 0; n < 16; n++, at += 4) {
      w[n] = (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!;
    }
    for (let n = 16; n < 64; n++) {
      const x = w[n - 15]!,
        y = w[n - 2]!;
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[n] = (w[n - 16]! + s0 + w[n - 7]! + s1) | 0;
    }
    const state = this.state;
    let a = state[0]! | 0,
      b = state[1]! | 0,
      c = state[2]! | 0,
      d = state[3]! | 0;
    let e = state[4]! | 0,
      f = state[5]! | 0,
      g = state[6]! | 0,
      h = state[7]! | 0;
    for (let n = 0; n < 64; n++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[n]! + w[n]!) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + t1) | 0;
      d = c;
      c = b;
      b = a;
      a = (t1 + t2) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((each, n) => (state[n] = state[n]! + each));
  }
}

/** Return the SHA-256 of bytes, or of a text in UTF-8, as hexadecimal digits. */
export function sha256(data: Uint8Array | string): string {
  return new Sha256().update(typeof data === "string" ? new TextEncoder().encode(data) : data).hex();
}
