/* The baseline: 4 lanes in the vector types of GCC and Clang, which become SSE2, NEON or what else a processor has, plain
   arithmetic at the least. */
#include "native.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define FANIN_VECTOR static inline __attribute__((always_inline))
#define FANIN_NAME fanin_baseline
#define VECTOR 16
#define TILE 2
enum { LANES = 4, BLOCKS = 4, ROWS = FANIN_ROWS_F32 };

typedef float vf __attribute__((vector_size(16)));
typedef uint32_t vi __attribute__((vector_size(16)));
typedef int32_t vs __attribute__((vector_size(16)));
typedef vi vm;
typedef double vf64 __attribute__((vector_size(16)));
typedef uint64_t vi64 __attribute__((vector_size(16)));
typedef vi64 vm64;
enum { LITTLE_ENDIAN_LANES = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ };

/* Lanes of a and b, those of b counted on from those of a. */
#if defined(__clang__)
#define shuffle(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define shuffle64(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define shuffle(a, b, ...) __builtin_shuffle(a, b, (vi){__VA_ARGS__})
#define shuffle64(a, b, ...) __builtin_shuffle(a, b, (vi64){__VA_ARGS__})
#endif

FANIN_VECTOR vf set1(float x) { return (vf){x, x, x, x}; }
FANIN_VECTOR vi set1i(uint32_t x) { return (vi){x, x, x, x}; }
FANIN_VECTOR vf64 set64(double x) { return (vf64){x, x}; }
FANIN_VECTOR vi64 set64i(uint64_t x) { return (vi64){x, x}; }
#define add(a, b) ((a) + (b))
#define sub(a, b) ((a) - (b))
#define mul(a, b) ((a) * (b))
#define addi(a, b) ((a) + (b))
#define subi(a, b) ((a) - (b))
#define muli(a, b) ((a) * (b))
#define andi(a, b) ((a) & (b))
#define ori(a, b) ((a) | (b))
#define xori(a, b) ((a) ^ (b))
#define shift_right(a, n) ((a) >> (n))
#define shift_right_signed(a, n) ((vi)((vs)(a) >> (n)))
#define as_int(x) ((vi)(x))
#define as_float(x) ((vf)(x))
#define to_float(a) __builtin_convertvector((vs)(a), vf)
#define to_float_unsigned(a) __builtin_convertvector(a, vf)
#define selecti(m, yes, no) (((yes) & (m)) | ((no) & ~(m)))
#define select(m, yes, no) ((vf)selecti(m, (vi)(yes), (vi)(no)))
#define more_signed(a, b) ((vi)((vs)(a) > (vs)(b)))
#define not_more(a, b) ((vi)((a) <= (b)))
#define below(a, b) ((vi)((a) < (b)))
#define same(a, b) (~((a) ^ (b)))
#define none() set1i(0)
#define all() set1i(0xFFFFFFFF)
#define lanes_below(a, n) 0
#if defined(__SSE2__) /* whose instructions compilers do not find in a selection */
#define at_least(low, x) ((vf)_mm_max_ps((__m128)(low), (__m128)(x)))
#define at_most(high, x) ((vf)_mm_min_ps((__m128)(high), (__m128)(x)))
#else
FANIN_VECTOR vf at_least(vf low, vf x) { return select((vi)(x < low), low, x); }
FANIN_VECTOR vf at_most(vf high, vf x) { return select((vi)(high < x), high, x); }
#endif
#define flip(m, a, bits) ((a) ^ ((m) & (bits)))
#define mul_where(m, a, b) select(m, (a) * (b), a)
#define subi_where(m, a, b) ((a) - ((m) & (b)))
#define add_unless(m, x, y) ((x) + (vf)(~(m) & (vi)(y)))
#define exponent_unless(m, bits, e) selecti(m, set1i(e), (bits) >> 23)
#define mantissa(x) ((vf)(((vi)(x) & 0x7FFFFF) | 0x3F800000))
#define copy_inverted_sign(w, x) ((vf)((vi)(x) ^ (~(w) & (1u << 31))))
FANIN_VECTOR vi most(vi a, vi b) { return selecti((vi)(a > b), a, b); }

#define gather(table, index) ((vf){(table)[(index)[0]], (table)[(index)[1]], (table)[(index)[2]], (table)[(index)[3]]})

/* Without a lookup in registers, every row is loaded from the full table. */
typedef struct {
    int nothing;
} column;
#define load_column(values) ((void)(values), (column){0})
#define lookup(columns, c, e) ((void)(columns), gather(fanin_normal_f32 + (c), (126 - (e)) * FANIN_COEFFICIENTS_F32))

/* The lowest `size` bytes of each lane. */
FANIN_VECTOR void pack(const vi x[4], int size, unsigned char *out)
{
    uint32_t bits[4 * LANES];
    memcpy(bits, x, sizeof bits);
    if (!LITTLE_ENDIAN_LANES) {
        for (int n = 0; n < 4 * LANES; n++) fanin_put(out + n * size, bits[n], size);
    } else if (size == 4) {
        memcpy(out, bits, sizeof bits);
    } else if (size == 2) {
        uint16_t packed[4 * LANES];
        for (int n = 0; n < 4 * LANES; n++) packed[n] = (uint16_t)bits[n];
        memcpy(out, packed, sizeof packed);
    } else {
        for (int n = 0; n < 4 * LANES; n++) out[n] = (uint8_t)bits[n];
    }
}

FANIN_VECTOR void store_bits(const vi x[4], unsigned char *out) { pack(x, 4, out); }
FANIN_VECTOR void pack_bytes(const vi x[4], unsigned char *out) { pack(x, 1, out); }

FANIN_VECTOR void pack_upper(const vi x[4], unsigned char *out)
{
    const vi upper[4] = {x[0] >> 16, x[1] >> 16, x[2] >> 16, x[3] >> 16};
    pack(upper, 2, out);
}

FANIN_VECTOR void pack_halves(const vf x[4], unsigned char *out)
{
    float values[4 * LANES];
    uint32_t bits[4 * LANES];
    vi halves[4];
    memcpy(values, x, sizeof values);
    for (int n = 0; n < 4 * LANES; n++) bits[n] = fanin_narrow(values[n], FANIN_F16_FORMAT);
    memcpy(halves, bits, sizeof halves);
    pack(halves, 2, out);
}

/* Products of the lower halves of 64-bit lanes. */
FANIN_VECTOR vi64 multiply(vi64 a, vi64 b)
{
#if defined(__SSE2__)
    return (vi64)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__ARM_NEON)
    return (vi64)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
    return (a & 0xFFFFFFFF) * (b & 0xFFFFFFFF);
#endif
}

/* The lower halves of a's lanes, each before that of b's. */
FANIN_VECTOR vi64 pair(vi64 a, vi64 b)
{
    return LITTLE_ENDIAN_LANES ? (a & 0xFFFFFFFF) | b << 32 : a << 32 | (b & 0xFFFFFFFF);
}

/* The state's words live in the low halves of 64-bit lanes, where products are taken. */
FANIN_VECTOR void philox4(const fanin_rounds *rounds, uint32_t block, vi words[4])
{
    const vi64 m0 = set64i(0xD2511F53), m1 = set64i(0xCD9E8D57);
    for (int half = 0; half < 2; half++) {
        vi64 p0 = multiply((vi64){0, 1} + block + 2 * half, m0);
        vi64 c3 = p0, c2 = p0 >> 32 ^ rounds->first2;
        vi64 p1 = multiply(c2, m1);
        vi64 c1 = p1, c0 = p1 >> 32 ^ rounds->second0;
        c2 = c3 ^ rounds->second2;
        p0 = multiply(c0, m0), p1 = multiply(c2, m1);
        c0 = p1 >> 32 ^ c1 ^ rounds->k0[2], c1 = p1;
        c2 = p0 >> 32 ^ rounds->third2, c3 = p0;
#pragma GCC unroll 7
        for (int n = 3; n < 10; n++) {
            p0 = multiply(c0, m0), p1 = multiply(c2, m1);
            c0 = p1 >> 32 ^ c1 ^ rounds->k0[n], c1 = p1;
            c2 = p0 >> 32 ^ c3 ^ rounds->k1[n], c3 = p0;
        }
        const vi64 first = pair(c0, c1), second = pair(c2, c3);
        words[2 * half] = (vi)shuffle64(first, second, 0, 2);
        words[2 * half + 1] = (vi)shuffle64(first, second, 1, 3);
    }
}

enum { ROWS64 = FANIN_ROWS_F64 };

#define add64(a, b) ((a) + (b))
#define sub64(a, b) ((a) - (b))
#define mul64(a, b) ((a) * (b))
#define sub64i(a, b) ((a) - (b))
#define and64i(a, b) ((a) & (b))
#define or64i(a, b) ((a) | (b))
#define xor64i(a, b) ((a) ^ (b))
#define and_not64i(a, b) ((a) & ~(b))
#define shift_right64(a, n) ((a) >> (n))
#define as_int64(x) ((vi64)(x))
#define as_double(x) ((vf64)(x))
#define select64i(m, yes, no) (((yes) & (m)) | ((no) & ~(m)))
#define select64(m, yes, no) ((vf64)select64i(m, (vi64)(yes), (vi64)(no)))
#define same64(a, b) (~((a) ^ (b)))
#define all64() set64i(~(uint64_t)0)
#define lanes_below64(a, n) 0

FANIN_VECTOR void store_doubles(vf64 x, unsigned char *out)
{
    if (LITTLE_ENDIAN_LANES) {
        memcpy(out, &x, sizeof x);
    } else {
        fanin_put(out, fanin_bits64(x[0]), 8);
        fanin_put(out + 8, fanin_bits64(x[1]), 8);
    }
}

#define high_below(a, b) (0 - ((vi64)((vi)(a) < (vi)(b)) >> 63)) /* SSE2 compares 32 bits at most */
#define fill_with_sign(a) (0 - ((a) >> 63))
#if defined(__SSE2__)
#define at_least64(low, x) ((vf64)_mm_max_pd((__m128d)(low), (__m128d)(x)))
#define at_most64(high, x) ((vf64)_mm_min_pd((__m128d)(high), (__m128d)(x)))
#else
FANIN_VECTOR vf64 at_least64(vf64 low, vf64 x) { return select64((vi64)(x < low), low, x); }
FANIN_VECTOR vf64 at_most64(vf64 high, vf64 x) { return select64((vi64)(high < x), high, x); }
#endif

/* One rounding: see avx2.c. */
FANIN_VECTOR vf64 to_double(vi64 a)
{
    const vi64 upper = a >> 32 | as_int64(set64(0x1p84)), lower = (a & 0xFFFFFFFF) | as_int64(set64(0x1p52));
    return (as_double(upper) - set64(0x1p84 + 0x1p52)) + as_double(lower);
}

FANIN_VECTOR void join(vi high, vi low, vi64 w[2])
{
    const vi first = LITTLE_ENDIAN_LANES ? low : high, second = LITTLE_ENDIAN_LANES ? high : low;
    w[0] = (vi64)shuffle(first, second, 0, 4, 1, 5);
    w[1] = (vi64)shuffle(first, second, 2, 6, 3, 7);
}

/* By rows, as in avx2.c. */
static double table64[FANIN_TERMS_F64 * ROWS64] __attribute__((aligned(64)));
#define place_in_table64(row, term) (FANIN_TERMS_F64 * ((1022 - (row)) % ROWS64) + (term))

FANIN_VECTOR void coefficients(int far, int term, vi64 e, vf64 c[4])
{
    (void)far;
    const vi64 row = (e & (ROWS64 - 1)) * FANIN_TERMS_F64;
    for (int n = 0; n < 4; n += 2) {
        vf64 first, second;
        memcpy(&first, table64 + row[0] + term + n, sizeof first);
        memcpy(&second, table64 + row[1] + term + n, sizeof second);
        c[n] = shuffle64(first, second, 0, 2);
        c[n + 1] = shuffle64(first, second, 1, 3);
    }
}

enum { AHEAD = 1 };
#define philox_ahead philox4

#include "level.inc"
