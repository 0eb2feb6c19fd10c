/* Element functions of stream fanin/1 (clients/SPEC.md), one source for C and CUDA.

   The file has three parts: differences between compilers, tables, functions. Every float operation is one IEEE
   operation, rounded once. A fused multiply-add would change bits, so build with -ffp-contract=off (gcc, clang) or
   -fmad=false (nvcc, NVRTC). Nonzero scalars are in [2^-90, 2^90], so no intermediate is subnormal or infinite. */
#ifndef FANIN_KERNELS_H
#define FANIN_KERNELS_H

/* ---- compilers ---------------------------------------------------------------------------------------------- */

#ifdef __CUDACC_RTC__ /* NVRTC has no standard headers */
typedef unsigned int uint32_t;
typedef int int32_t;
typedef unsigned long long uint64_t;
typedef long long int64_t;
#else
#include <float.h>
#include <stdint.h>
#include <string.h>
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 /* 16: with AVX512-FP16; as 0, except _Float16 */
#error "float arithmetic must round to float after every operation (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif
#endif

#ifdef __CUDACC__
#define FANIN_FUNCTION static __device__ __forceinline__
#define FANIN_TABLE static __device__ const
/* Inline PTX, because CuPy always adds -ftz=true, which would flush subnormal numbers to zero. Neither that option nor
   -fmad changes inline PTX. */
FANIN_FUNCTION float fanin_add(float a, float b)
{
    float sum;
    asm("add.rn.f32 %0, %1, %2;" : "=f"(sum) : "f"(a), "f"(b));
    return sum;
}
FANIN_FUNCTION float fanin_mul(float a, float b)
{
    float product;
    asm("mul.rn.f32 %0, %1, %2;" : "=f"(product) : "f"(a), "f"(b));
    return product;
}
FANIN_FUNCTION float fanin_f32(double value)
{
    float rounded;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(rounded) : "d"(value));
    return rounded;
}
/* A bound may be subnormal. A comparison that flushes would use zero instead. */
FANIN_FUNCTION int fanin_less(float a, float b)
{
    int less;
    asm("{ .reg .pred p; setp.lt.f32 p, %1, %2; selp.s32 %0, 1, 0, p; }" : "=r"(less) : "f"(a), "f"(b));
    return less;
}
/* Not by operations on the bits: from compute_100 on, NVRTC rewrites those to neg.ftz and abs.ftz, which flush. */
FANIN_FUNCTION float fanin_negate(float a)
{
    float negative;
    asm("neg.f32 %0, %1;" : "=f"(negative) : "f"(a));
    return negative;
}
FANIN_FUNCTION float fanin_magnitude(float a)
{
    float magnitude;
    asm("abs.f32 %0, %1;" : "=f"(magnitude) : "f"(a));
    return magnitude;
}
FANIN_FUNCTION double fanin_add64(double a, double b) { return __dadd_rn(a, b); }
FANIN_FUNCTION double fanin_mul64(double a, double b) { return __dmul_rn(a, b); }
FANIN_FUNCTION double fanin_div64(double a, double b) { return __ddiv_rn(a, b); }
FANIN_FUNCTION double fanin_sqrt64(double a) { return __dsqrt_rn(a); }
FANIN_FUNCTION double fanin_widen(float value)
{
    double same;
    asm("cvt.f64.f32 %0, %1;" : "=d"(same) : "f"(value));
    return same;
}
FANIN_FUNCTION uint32_t fanin_bits(float value) { return __float_as_uint(value); }
FANIN_FUNCTION float fanin_float(uint32_t bits) { return __uint_as_float(bits); }
FANIN_FUNCTION uint64_t fanin_bits64(double value) { return (uint64_t)__double_as_longlong(value); }
FANIN_FUNCTION double fanin_double(uint64_t bits) { return __longlong_as_double((int64_t)bits); }
#else
#define FANIN_FUNCTION static inline
#define FANIN_TABLE static const
FANIN_FUNCTION float fanin_add(float a, float b) { return a + b; }
FANIN_FUNCTION float fanin_mul(float a, float b) { return a * b; }
FANIN_FUNCTION float fanin_f32(double value) { return (float)value; }
FANIN_FUNCTION int fanin_less(float a, float b) { return a < b; }
FANIN_FUNCTION float fanin_negate(float a) { return -a; }
FANIN_FUNCTION float fanin_magnitude(float a) { return __builtin_fabsf(a); }
FANIN_FUNCTION double fanin_add64(double a, double b) { return a + b; }
FANIN_FUNCTION double fanin_mul64(double a, double b) { return a * b; }
FANIN_FUNCTION double fanin_div64(double a, double b) { return a / b; }
FANIN_FUNCTION double fanin_sqrt64(double a) { return __builtin_sqrt(a); }
FANIN_FUNCTION double fanin_widen(float value) { return (double)value; }
FANIN_FUNCTION uint32_t fanin_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
FANIN_FUNCTION float fanin_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
FANIN_FUNCTION uint64_t fanin_bits64(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
FANIN_FUNCTION double fanin_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
#endif

/* ---- tables ------------------------------------------------------------------------------------------------- */

#define FANIN_ROWS_F32 96
#define FANIN_COEFFICIENTS_F32 9
FANIN_TABLE float fanin_normal_f32[FANIN_ROWS_F32 * FANIN_COEFFICIENTS_F32] = {
#include "normal_f32.inc"
};

#define FANIN_ROWS_F64 128
#define FANIN_COEFFICIENTS_F64 25
FANIN_TABLE double fanin_normal_f64[FANIN_ROWS_F64 * FANIN_COEFFICIENTS_F64] = {
#include "normal_f64.inc"
};

/* The element functions read the tables under these names. On a GPU they are copies in the shared memory of each block
   (cuda.cu). Row lengths are odd, so threads that read different rows rarely use the same bank. */
#ifdef FANIN_SHARED
static FANIN_SHARED float fanin_near_f32[FANIN_ROWS_F32 * FANIN_COEFFICIENTS_F32];
static FANIN_SHARED double fanin_near_f64[FANIN_ROWS_F64 * FANIN_COEFFICIENTS_F64];
#define FANIN_NORMAL_F32 fanin_near_f32
#define FANIN_NORMAL_F64 fanin_near_f64
#else
#define FANIN_NORMAL_F32 fanin_normal_f32
#define FANIN_NORMAL_F64 fanin_normal_f64
#endif

/* ---- words: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") ---------------- */

/* words[0..3] = Philox of counter (lo32(block), hi32(block), key[2], key[3]) under the key (key[0], key[1]). */
FANIN_FUNCTION void fanin_philox(const uint32_t key[4], uint64_t block, uint32_t words[4])
{
    uint32_t c0 = (uint32_t)block, c1 = (uint32_t)(block >> 32), c2 = key[2], c3 = key[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    words[0] = c0;
    words[1] = c1;
    words[2] = c2;
    words[3] = c3;
}

/* ---- draws -------------------------------------------------------------------------------------------------- */

/* One side of the normal distribution (SPEC.md section 6.4). Every double is a number of the compute type. */
typedef struct {
    uint64_t count;        /* number of words on this side, <= 2^32 */
    uint64_t tail_count;   /* ranks below this are in the tail */
    double tail_offset;    /* two-sided tail probability at the far end */
    double central_offset; /* 1 - two-sided tail probability at the near end */
    double step;           /* probability of one word; for float64, of one 64-bit word */
} fanin_side;

/* value = scale * x + offset, clamped to [low, high]. x is uniform in (-1, 1) or standard normal. */
typedef struct {
    double offset, scale, low, high;
    fanin_side negative, positive;
} fanin_draw;

FANIN_FUNCTION float fanin_place(const fanin_draw *draw, float x)
{
    float value = fanin_add(fanin_f32(draw->offset), fanin_mul(fanin_f32(draw->scale), x));
    float low = fanin_f32(draw->low), high = fanin_f32(draw->high);
    value = fanin_less(value, low) ? low : value;
    return fanin_less(high, value) ? high : value;
}

FANIN_FUNCTION double fanin_place64(const fanin_draw *draw, double x)
{
    double value = fanin_add64(draw->offset, fanin_mul64(draw->scale, x));
    value = value < draw->low ? draw->low : value;
    return value > draw->high ? draw->high : value;
}

/* Odd multiples of 2^-24 in (-1, 1), exact. */
FANIN_FUNCTION float fanin_symmetric_unit(uint32_t word)
{
    return fanin_mul((float)(2 * (int32_t)(word >> 8) + 1 - (1 << 24)), 0x1p-24f);
}

/* Odd multiples of 2^-53 in (-1, 1), exact. */
FANIN_FUNCTION double fanin_symmetric_unit64(uint32_t word, uint32_t low)
{
    int64_t top = (int64_t)(((uint64_t)word << 32 | low) >> 11);
    return fanin_mul64((double)(2 * top + 1 - ((int64_t)1 << 53)), 0x1p-53);
}

FANIN_FUNCTION float fanin_horner(const float *c, float v)
{
    float sum = c[FANIN_COEFFICIENTS_F32 - 1];
    for (int n = FANIN_COEFFICIENTS_F32 - 2; n >= 0; n--) sum = fanin_add(fanin_mul(sum, v), c[n]);
    return sum;
}

FANIN_FUNCTION double fanin_horner64(const double *c, double v)
{
    double sum = c[FANIN_COEFFICIENTS_F64 - 1];
    for (int n = FANIN_COEFFICIENTS_F64 - 2; n >= 0; n--) sum = fanin_add64(fanin_mul64(sum, v), c[n]);
    return sum;
}

/* |z| = factor * polynomial(v). The polynomial's coefficients begin at index `row` of the table. In the tail the factor
   is 1. */
typedef struct {
    uint32_t row;
    double v, factor;
} fanin_term64;

FANIN_FUNCTION fanin_term64 fanin_term(const fanin_side *side, uint32_t rank, uint32_t low)
{
    fanin_term64 term;
    if (rank < side->tail_count) {
        double from_far = (double)((uint64_t)rank << 32 | low);
        double t = fanin_add64(fanin_mul64(side->step, fanin_add64(from_far, 0.5)), side->tail_offset);
        uint64_t bits = fanin_bits64(t);
        double mantissa = fanin_double((bits & 0xFFFFFFFFFFFFFu) | 0x3FF0000000000000u);
        term.row = (uint32_t)(1022 - (bits >> 52)) * FANIN_COEFFICIENTS_F64;
        term.v = fanin_add64(2.0, -mantissa);
        term.factor = 1.0;
    } else {
        double from_near = (double)((uint64_t)((uint32_t)(side->count - 1) - rank) << 32 | (uint32_t)~low);
        double r = fanin_add64(fanin_mul64(side->step, fanin_add64(from_near, 0.5)), side->central_offset);
        term.row = 0;
        term.v = fanin_mul64(r, r);
        term.factor = r;
    }
    return term;
}

/* As fanin_term, but the factor has the sign of z. */
FANIN_FUNCTION fanin_term64 fanin_signed_term(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    int is_negative = word < draw->negative.count;
    fanin_term64 term = is_negative ? fanin_term(&draw->negative, word, low) : fanin_term(&draw->positive, ~word, ~low);
    if (is_negative) term.factor = -term.factor;
    return term;
}

/* Selects values instead of branching on side and region. Threads of a GPU that branch apart would run one after
   another. */
FANIN_FUNCTION float fanin_standard_normal(const fanin_draw *draw, uint32_t word)
{
    int is_negative = word < draw->negative.count;
    uint32_t rank = is_negative ? word : ~word;
    uint32_t last = (uint32_t)((is_negative ? draw->negative.count : draw->positive.count) - 1);
    int in_tail = rank < (is_negative ? draw->negative.tail_count : draw->positive.tail_count);
    float tail = is_negative ? fanin_f32(draw->negative.tail_offset) : fanin_f32(draw->positive.tail_offset);
    float centre = is_negative ? fanin_f32(draw->negative.central_offset) : fanin_f32(draw->positive.central_offset);
    float step = is_negative ? fanin_f32(draw->negative.step) : fanin_f32(draw->positive.step);
    /* t in the tail, else r = 1 - t */
    float p = fanin_add(fanin_mul(step, fanin_add((float)(in_tail ? rank : last - rank), 0.5f)),
                        in_tail ? tail : centre);
    uint32_t bits = fanin_bits(p);
    float mantissa = fanin_float((bits & 0x7FFFFFu) | 0x3F800000u); /* in [1, 2) */
    uint32_t row = in_tail ? (126 - (bits >> 23)) * FANIN_COEFFICIENTS_F32 : 0;
    float v = in_tail ? fanin_add(2.0f, fanin_negate(mantissa)) : fanin_mul(p, p);
    float factor = in_tail ? 1.0f : p; /* a product with 1 is exact */
    return fanin_mul(is_negative ? fanin_negate(factor) : factor, fanin_horner(FANIN_NORMAL_F32 + row, v));
}

FANIN_FUNCTION double fanin_standard_normal64(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    fanin_term64 term = fanin_signed_term(draw, word, low);
    return fanin_mul64(term.factor, fanin_horner64(FANIN_NORMAL_F64 + term.row, term.v));
}

/* ---- storage ------------------------------------------------------------------------------------------------ */

/* The last three arguments of fanin_narrow, for each storage type narrower than float. BF16 has its own function. */
#define FANIN_F16_FORMAT 11, -14, 2
#define FANIN_F8_E4M3_FORMAT 4, -6, 1
#define FANIN_F8_E5M2_FORMAT 3, -14, 1
#define FANIN_F4_FORMAT 2, 0, 1 /* for magnitudes: the sign of F4 is bit 3, not 7 */

/* Returns `value` rounded to nearest even, as bits of a format of `size` bytes. The format has `precision` significand
   bits, including the hidden one, and its smallest normal number is 2^min_exponent. The result must be finite. */
FANIN_FUNCTION uint32_t fanin_narrow(float value, int precision, int min_exponent, int size)
{
    uint32_t bits = fanin_bits(value), magnitude = bits & 0x7FFFFFFFu, least = (uint32_t)(127 + min_exponent) << 23;
    uint32_t octave = magnitude < least ? least : magnitude & 0x7F800000u;
    /* `power` is the power of two whose last place, as a float, has the weight of the format's last place at `value`.
       Their sum rounds the magnitude there, and has the significand in its lowest bits. A carry increments the exponent
       field, also from subnormal to normal numbers. */
    uint32_t power = octave + ((uint32_t)(24 - precision) << 23);
    uint32_t significand = fanin_bits(fanin_add(fanin_magnitude(value), fanin_float(power))) - power;
    return ((octave - least) >> (24 - precision)) + significand + ((bits >> 31) << (8 * size - 1));
}

/* As fanin_narrow, for BF16, whose bits are the upper half of a float's. */
FANIN_FUNCTION uint32_t fanin_narrow_bf16(float value)
{
    uint32_t bits = fanin_bits(value);
    return (bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16;
}

#endif
