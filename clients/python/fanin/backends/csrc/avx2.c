/* AVX2: 8 lanes, masks as vectors, and 8 rows of the table in one register a column. */
#include "native.h"

#include <immintrin.h>

#define FANIN_VECTOR static inline __attribute__((always_inline))
#define FANIN_NAME fanin_avx2
#define FANIN_HALVES 8
enum { LANES = 8, BLOCKS = 8, ROWS = 8 };

FANIN_VECTOR void pack_halves(const float *values, uint16_t *packed)
{
    _mm_storeu_si128((__m128i *)packed, _mm256_cvtps_ph(_mm256_loadu_ps(values), _MM_FROUND_TO_NEAREST_INT));
}

typedef __m256 vf;
typedef __m256i vi;
typedef __m256i vm;
typedef __m256 column;

#define set1(x) _mm256_set1_ps(x)
#define set1i(x) _mm256_set1_epi32((int)(x))
#define add(a, b) _mm256_add_ps(a, b)
#define sub(a, b) _mm256_sub_ps(a, b)
#define mul(a, b) _mm256_mul_ps(a, b)
#define at_least(low, x) _mm256_max_ps(low, x)
#define at_most(high, x) _mm256_min_ps(high, x)
#define addi(a, b) _mm256_add_epi32(a, b)
#define subi(a, b) _mm256_sub_epi32(a, b)
#define muli(a, b) _mm256_mullo_epi32(a, b)
#define andi(a, b) _mm256_and_si256(a, b)
#define ori(a, b) _mm256_or_si256(a, b)
#define xori(a, b) _mm256_xor_si256(a, b)
#define noti(a) _mm256_xor_si256(a, _mm256_set1_epi32(-1))
#define shift_left(a, n) _mm256_slli_epi32(a, n)
#define shift_right(a, n) _mm256_srli_epi32(a, n)
#define shift_right_signed(a, n) _mm256_srai_epi32(a, n)
#define as_int(x) _mm256_castps_si256(x)
#define as_float(x) _mm256_castsi256_ps(x)
#define to_float(a) _mm256_cvtepi32_ps(a)
#define select(m, yes, no) _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(m))
#define selecti(m, yes, no) _mm256_blendv_epi8(no, yes, m)
#define more_signed(a, b) _mm256_cmpgt_epi32(a, b)
#define not_more(a, b) _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a)
#define below(a, b) _mm256_andnot_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a), _mm256_set1_epi32(-1))
#define same(a, b) _mm256_cmpeq_epi32(a, b)
#define none() _mm256_setzero_si256()
#define all() _mm256_set1_epi32(-1)
#define lanes_below(a, n) (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), a)))
#define store_floats(out, x) _mm256_storeu_ps(out, x)
#define gather(table, index) _mm256_i32gather_ps(table, index, 4)
#define lookup(c, e) _mm256_permutevar8x32_ps(c, e)
#define load_column(values) _mm256_loadu_ps(values)

/* One rounding: both halves, and the upper one scaled, are exact. */
FANIN_VECTOR vf to_float_unsigned(vi a)
{
    const vf high = mul(to_float(shift_right(a, 16)), set1(65536.0f));
    return add(high, to_float(_mm256_blend_epi16(a, _mm256_setzero_si256(), 0xAA)));
}

/* The state's words live in the low halves of 64-bit lanes, where products are taken. */
FANIN_VECTOR void philox4(const uint32_t key[4], uint64_t block, vi words[4])
{
    const __m256i order = _mm256_setr_epi64x(0, 2, 1, 3); /* so that unpacking sorts */
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    for (int half = 0; half < 2; half++) {
        const __m256i counter = _mm256_add_epi64(_mm256_set1_epi64x((long long)block + 4 * half), order);
        __m256i c0 = counter, c1 = _mm256_srli_epi64(counter, 32);
        __m256i c2 = _mm256_set1_epi64x(key[2]), c3 = _mm256_set1_epi64x(key[3]);
        uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const __m256i p0 = _mm256_mul_epu32(c0, m0), p1 = _mm256_mul_epu32(c2, m1);
            const __m256i h0 = _mm256_shuffle_epi32(p0, 0xF5), h1 = _mm256_shuffle_epi32(p1, 0xF5);
            c0 = xori(xori(c1, set1i(k0)), h1), c1 = p1;
            c2 = xori(xori(c3, set1i(k1)), h0), c3 = p0;
        }
        c0 = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xAA);
        c2 = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xAA);
        words[2 * half] = _mm256_unpacklo_epi64(c0, c2);
        words[2 * half + 1] = _mm256_unpackhi_epi64(c0, c2);
    }
}

typedef __m256d vf64;
typedef __m256i vi64;
typedef __m256d vm64;
enum { ROWS64 = 128, TOGETHER = 4 };

#define set64(x) _mm256_set1_pd(x)
#define set64i(x) _mm256_set1_epi64x((long long)(x))
#define add64(a, b) _mm256_add_pd(a, b)
#define sub64(a, b) _mm256_sub_pd(a, b)
#define mul64(a, b) _mm256_mul_pd(a, b)
#define at_least64(low, x) _mm256_max_pd(low, x)
#define at_most64(high, x) _mm256_min_pd(high, x)
#define sub64i(a, b) _mm256_sub_epi64(a, b)
#define and64i(a, b) _mm256_and_si256(a, b)
#define or64i(a, b) _mm256_or_si256(a, b)
#define xor64i(a, b) _mm256_xor_si256(a, b)
#define and_not64i(a, b) _mm256_andnot_si256(b, a)
#define shift_right64(a, n) _mm256_srli_epi64(a, n)
#define fill_with_sign(a) _mm256_cmpgt_epi64(_mm256_setzero_si256(), a)
#define as_int64(x) _mm256_castpd_si256(x)
#define as_double(x) _mm256_castsi256_pd(x)
#define select64(m, yes, no) _mm256_blendv_pd(no, yes, m)
#define select64i(m, yes, no) as_int64(_mm256_blendv_pd(as_double(no), as_double(yes), m))
#define flip64(a) xor64i(a, set64i((uint64_t)1 << 63))
#define high_below(a, b) as_double(_mm256_cmpgt_epi64(flip64(b), flip64(a)))
#define same64(a, b) as_double(_mm256_cmpeq_epi64(as_int64(a), as_int64(b)))
#define all64() as_double(_mm256_set1_epi64x(-1))
#define lanes_below64(a, n) 0
#define store_doubles(out, x) _mm256_storeu_pd(out, x)

/* One rounding: a half in the lowest bits of 2^84 or 2^52 counts units of 2^32 or 1, and the difference is a multiple of
   2^32 below 2^64, exact. */
FANIN_VECTOR vf64 to_double(vi64 a)
{
    const vi64 upper = or64i(shift_right64(a, 32), as_int64(set64(0x1p84)));
    const vi64 lower = _mm256_blend_epi32(as_int64(set64(0x1p52)), a, 0x55);
    return add64(sub64(as_double(upper), set64(0x1p84 + 0x1p52)), as_double(lower));
}

FANIN_VECTOR void join(vi high, vi low, vi64 w[2])
{
    const __m256i a = _mm256_unpacklo_epi32(low, high), b = _mm256_unpackhi_epi32(low, high);
    w[0] = _mm256_permute2x128_si256(a, b, 0x20);
    w[1] = _mm256_permute2x128_si256(a, b, 0x31);
}

/* By rows, of which a lane loads four coefficients at a time. */
static double table64[FANIN_TERMS_F64 * ROWS64] __attribute__((aligned(64)));
#define place_in_table64(row, term) (FANIN_TERMS_F64 * ((1022 - (row)) % ROWS64) + (term))

FANIN_VECTOR void coefficients(int far, int term, vi64 e, vf64 c[4])
{
    (void)far;
    const double *column = table64 + term;
    const vi64 row = _mm256_slli_epi64(and64i(e, set64i(ROWS64 - 1)), 4);
    const double *r0 = column + _mm256_extract_epi64(row, 0), *r1 = column + _mm256_extract_epi64(row, 1);
    const double *r2 = column + _mm256_extract_epi64(row, 2), *r3 = column + _mm256_extract_epi64(row, 3);
    for (int n = 0; n < 4; n += 2) {
        const __m256d even = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_load_pd(r0 + n)), _mm_load_pd(r2 + n), 1);
        const __m256d odd = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_load_pd(r1 + n)), _mm_load_pd(r3 + n), 1);
        c[n] = _mm256_unpacklo_pd(even, odd);
        c[n + 1] = _mm256_unpackhi_pd(even, odd);
    }
}

#include "simd.h"
