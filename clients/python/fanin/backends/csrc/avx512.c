/* AVX-512: 16 lanes, masks of their own, and 32 rows of the table in two registers a column. */
#include "native.h"

#include <immintrin.h>

#define FANIN_VECTOR static inline __attribute__((always_inline))
#define FANIN_NAME fanin_avx512
#define FANIN_HALVES 16
enum { LANES = 16, BLOCKS = 16, ROWS = 32 };

FANIN_VECTOR void pack_halves(const float *values, uint16_t *packed)
{
    _mm256_storeu_si256((__m256i *)packed, _mm512_cvtps_ph(_mm512_loadu_ps(values), _MM_FROUND_TO_NEAREST_INT));
}

typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef struct {
    __m512 low, high;
} column;

#define set1(x) _mm512_set1_ps(x)
#define set1i(x) _mm512_set1_epi32((int)(x))
#define add(a, b) _mm512_add_ps(a, b)
#define sub(a, b) _mm512_sub_ps(a, b)
#define mul(a, b) _mm512_mul_ps(a, b)
#define at_least(low, x) _mm512_max_ps(low, x)
#define at_most(high, x) _mm512_min_ps(high, x)
#define addi(a, b) _mm512_add_epi32(a, b)
#define subi(a, b) _mm512_sub_epi32(a, b)
#define muli(a, b) _mm512_mullo_epi32(a, b)
#define andi(a, b) _mm512_and_si512(a, b)
#define ori(a, b) _mm512_or_si512(a, b)
#define xori(a, b) _mm512_xor_si512(a, b)
#define noti(a) _mm512_sub_epi32(_mm512_set1_epi32(-1), a) /* gcc 12's vpternlog waits for its old result */
#define shift_left(a, n) _mm512_slli_epi32(a, n)
#define shift_right(a, n) _mm512_srli_epi32(a, n)
#define shift_right_signed(a, n) _mm512_srai_epi32(a, n)
#define as_int(x) _mm512_castps_si512(x)
#define as_float(x) _mm512_castsi512_ps(x)
#define to_float(a) _mm512_cvtepi32_ps(a)
#define to_float_unsigned(a) _mm512_cvtepu32_ps(a)
#define select(m, yes, no) _mm512_mask_blend_ps(m, no, yes)
#define selecti(m, yes, no) _mm512_mask_blend_epi32(m, no, yes)
#define more_signed(a, b) _mm512_cmpgt_epi32_mask(a, b)
#define not_more(a, b) _mm512_cmple_epu32_mask(a, b)
#define below(a, b) _mm512_cmplt_epu32_mask(a, b)
#define same(a, b) ((__mmask16) ~((a) ^ (b)))
#define none() ((__mmask16)0)
#define all() ((__mmask16)0xFFFF)
#define lanes_below(a, n) _cvtmask16_u32(_mm512_cmplt_epi32_mask(a, _mm512_set1_epi32(n)))
#define store_floats(out, x) _mm512_storeu_ps(out, x)
#define gather(table, index) _mm512_i32gather_ps(index, table, 4)
#define lookup(c, e) _mm512_permutex2var_ps((c).low, e, (c).high)

FANIN_VECTOR column load_column(const float *values)
{
    return (column){_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16)};
}

/* The state's words live in the low halves of 64-bit lanes, where products are taken. */
FANIN_VECTOR void philox4(const uint32_t key[4], uint64_t block, vi words[4])
{
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); /* so that unpacking sorts */
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    for (int half = 0; half < 2; half++) {
        const __m512i counter = _mm512_add_epi64(_mm512_set1_epi64((long long)block + 8 * half), order);
        __m512i c0 = counter, c1 = _mm512_srli_epi64(counter, 32);
        __m512i c2 = _mm512_set1_epi64(key[2]), c3 = _mm512_set1_epi64(key[3]);
        uint32_t k0 = key[0], k1 = key[1];
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const __m512i p0 = _mm512_mul_epu32(c0, m0), p1 = _mm512_mul_epu32(c2, m1);
            const __m512i h0 = _mm512_shuffle_epi32(p0, 0xF5), h1 = _mm512_shuffle_epi32(p1, 0xF5);
            c0 = _mm512_ternarylogic_epi32(h1, c1, set1i(k0), 0x96), c1 = p1;
            c2 = _mm512_ternarylogic_epi32(h0, c3, set1i(k1), 0x96), c3 = p0;
        }
        c0 = _mm512_mask_shuffle_epi32(c0, 0xAAAA, c1, 0xA0);
        c2 = _mm512_mask_shuffle_epi32(c2, 0xAAAA, c3, 0xA0);
        words[2 * half] = _mm512_unpacklo_epi64(c0, c2);
        words[2 * half + 1] = _mm512_unpackhi_epi64(c0, c2);
    }
}

typedef __m512d vf64;
typedef __m512i vi64;
typedef __mmask8 vm64;
enum { ROWS64 = 16, TOGETHER = 4 };

#define set64(x) _mm512_set1_pd(x)
#define set64i(x) _mm512_set1_epi64((long long)(x))
#define add64(a, b) _mm512_add_pd(a, b)
#define sub64(a, b) _mm512_sub_pd(a, b)
#define mul64(a, b) _mm512_mul_pd(a, b)
#define at_least64(low, x) _mm512_max_pd(low, x)
#define at_most64(high, x) _mm512_min_pd(high, x)
#define sub64i(a, b) _mm512_sub_epi64(a, b)
#define and64i(a, b) _mm512_and_si512(a, b)
#define or64i(a, b) _mm512_or_si512(a, b)
#define xor64i(a, b) _mm512_xor_si512(a, b)
#define and_not64i(a, b) _mm512_andnot_si512(b, a)
#define shift_right64(a, n) _mm512_srli_epi64(a, n)
#define fill_with_sign(a) _mm512_srai_epi64(a, 63)
#define as_int64(x) _mm512_castpd_si512(x)
#define as_double(x) _mm512_castsi512_pd(x)
#define to_double(a) _mm512_cvtepu64_pd(a)
#define select64(m, yes, no) _mm512_mask_blend_pd(m, no, yes)
#define select64i(m, yes, no) _mm512_mask_blend_epi64(m, no, yes)
#define high_below(a, b) _mm512_cmplt_epu64_mask(a, b)
#define same64(a, b) ((__mmask8) ~((a) ^ (b)))
#define all64() ((__mmask8)0xFF)
#define lanes_below64(a, n) _cvtmask8_u32(_mm512_cmplt_epi64_mask(a, _mm512_set1_epi64(n)))
#define store_doubles(out, x) _mm512_storeu_pd(out, x)

FANIN_VECTOR void join(vi high, vi low, vi64 w[2])
{
    const __m512i a = _mm512_unpacklo_epi32(low, high), b = _mm512_unpackhi_epi32(low, high);
    w[0] = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), b);
    w[1] = _mm512_permutex2var_epi64(a, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), b);
}

/* By columns, as a lookup in two registers needs them. */
static double table64[FANIN_TERMS_F64 * ROWS64] __attribute__((aligned(64)));
#define place_in_table64(row, term) (ROWS64 * (term) + (1022 - (row)) % ROWS64)

FANIN_VECTOR void coefficients(int far, int term, vi64 e, vf64 c[4])
{
    const vi64 row = _mm512_mullo_epi64(sub64i(set64i(1022), e), set64i(FANIN_COEFFICIENTS_F64));
#pragma GCC unroll 4
    for (int n = 0; n < 4; n++) {
        const double *column = table64 + ROWS64 * (term + n);
        c[n] = far ? _mm512_i64gather_pd(row, fanin_normal_f64 + fanin_powers_f64[term + n], 8)
                   : _mm512_permutex2var_pd(_mm512_load_pd(column), e, _mm512_load_pd(column + 8));
    }
}

#include "simd.h"
