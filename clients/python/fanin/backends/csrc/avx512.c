/* AVX-512: 16 lanes, mask registers, and 32 rows of the table in two registers per column. */
#include "native.h"

#include <immintrin.h>

#define FANIN_VECTOR static inline __attribute__((always_inline))
#define FANIN_NAME fanin_avx512
#define VECTOR 64
#define TILE 4
enum { LANES = 16, BLOCKS = 16, ROWS = 32 };

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
#define most(a, b) _mm512_max_epu32(a, b)
#define muli(a, b) _mm512_mullo_epi32(a, b)
#define andi(a, b) _mm512_and_si512(a, b)
#define ori(a, b) _mm512_or_si512(a, b)
#define xori(a, b) _mm512_xor_si512(a, b)
#define shift_right(a, n) _mm512_srli_epi32(a, n)
#define shift_right_signed(a, n) _mm512_srai_epi32(a, n)
#define as_int(x) _mm512_castps_si512(x)
#define as_float(x) _mm512_castsi512_ps(x)
#define to_float(a) _mm512_cvtepi32_ps(a)
#define to_float_unsigned(a) _mm512_cvtepu32_ps(a)
#define select(m, yes, no) _mm512_mask_blend_ps(m, no, yes)
#define flip(m, a, bits) _mm512_mask_xor_epi32(a, m, a, set1i(bits))
#define mul_where(m, a, b) _mm512_mask_mul_ps(a, m, a, b)
#define subi_where(m, a, b) _mm512_mask_sub_epi32(a, m, a, b)
#define add_unless(m, x, y) _mm512_mask_add_ps(x, (__mmask16)~(m), x, y)
#define exponent_unless(m, bits, e) _mm512_mask_srli_epi32(set1i(e), (__mmask16)~(m), bits, 23)
#define mantissa(x) _mm512_getmant_ps(x, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src)
#define copy_inverted_sign(w, x) as_float(_mm512_ternarylogic_epi32(as_int(x), w, set1i(1u << 31), 0xD2)) /* x ^ (~w & sign) */
#define more_signed(a, b) _mm512_cmpgt_epi32_mask(a, b)
#define not_more(a, b) _mm512_cmple_epu32_mask(a, b)
#define below(a, b) _mm512_cmplt_epu32_mask(a, b)
#define same(a, b) ((__mmask16) ~((a) ^ (b)))
#define none() ((__mmask16)0)
#define all() ((__mmask16)0xFFFF)
#define lanes_below(a, n) _cvtmask16_u32(_mm512_cmplt_epi32_mask(a, _mm512_set1_epi32(n)))
#define gather(table, index) _mm512_i32gather_ps(index, table, 4)
#define lookup(columns, c, e) _mm512_permutex2var_ps((columns)[c].low, e, (columns)[c].high)

FANIN_VECTOR column load_column(const float *values)
{
    return (column){_mm512_loadu_ps(values), _mm512_loadu_ps(values + 16)};
}

FANIN_VECTOR void store_bits(const vi x[4], unsigned char *out)
{
    for (int n = 0; n < 4; n++) _mm512_storeu_si512(out + 64 * n, x[n]);
}

FANIN_VECTOR void pack_halves(const vf x[4], unsigned char *out)
{
    for (int n = 0; n < 4; n++)
        _mm256_storeu_si256((__m256i *)(out + 32 * n), _mm512_cvtps_ph(x[n], _MM_FROUND_TO_NEAREST_INT));
}

FANIN_VECTOR void pack_upper(const vi x[4], unsigned char *out)
{
    /* Interleaved first: the evens of both come before the odds. */
    const __m512i order = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1, 30, 28, 26, 24, 22, 20,
                                           18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    for (int n = 0; n < 4; n += 2) {
        const __m512i both = _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(x[n], 16), x[n + 1]);
        _mm512_storeu_si512(out + 32 * n, _mm512_permutexvar_epi16(order, both));
    }
}

FANIN_VECTOR void pack_bytes(const vi x[4], unsigned char *out)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15); /* packed by 128 bits */
    const __m512i words = _mm512_packus_epi32(x[0], x[1]), more = _mm512_packus_epi32(x[2], x[3]);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(words, more)));
}

/* The state's words live in the low halves of 64-bit lanes, where products are taken; two halves of the blocks take turns,
   since each waits for its products. */
FANIN_VECTOR void philox4(const fanin_rounds *rounds, uint32_t block, vi words[4])
{
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); /* so that unpacking sorts */
    const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
    __m512i c0[2], c1[2], c2[2], c3[2], p0[2], p1[2];
#define UPPER(p) _mm512_shuffle_epi32(p, 0xF5)
#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, set1i(c), 0x96)
#define HALVES for (int h = 0; h < 2; h++)
    HALVES p0[h] = _mm512_mul_epu32(_mm512_add_epi64(_mm512_set1_epi64(block + 8 * h), order), m0);
    HALVES c3[h] = p0[h], c2[h] = xori(UPPER(p0[h]), set1i(rounds->first2));
    HALVES p1[h] = _mm512_mul_epu32(c2[h], m1);
    HALVES c1[h] = p1[h], c0[h] = xori(UPPER(p1[h]), set1i(rounds->second0));
    HALVES c2[h] = xori(c3[h], set1i(rounds->second2));
    HALVES p0[h] = _mm512_mul_epu32(c0[h], m0), p1[h] = _mm512_mul_epu32(c2[h], m1);
    HALVES c0[h] = XOR3(UPPER(p1[h]), c1[h], rounds->k0[2]), c1[h] = p1[h];
    HALVES c2[h] = xori(UPPER(p0[h]), set1i(rounds->third2)), c3[h] = p0[h];
#pragma GCC unroll 6
    for (int n = 3; n < 9; n++) {
        HALVES p0[h] = _mm512_mul_epu32(c0[h], m0), p1[h] = _mm512_mul_epu32(c2[h], m1);
        HALVES c0[h] = XOR3(UPPER(p1[h]), c1[h], rounds->k0[n]), c1[h] = p1[h];
        HALVES c2[h] = XOR3(UPPER(p0[h]), c3[h], rounds->k1[n]), c3[h] = p0[h];
    }
    /* The last products, their halves exchanged, are both words of a pair already. */
    HALVES p0[h] = _mm512_shuffle_epi32(_mm512_mul_epu32(c0[h], m0), 0xB1);
    HALVES p1[h] = _mm512_shuffle_epi32(_mm512_mul_epu32(c2[h], m1), 0xB1);
    HALVES c0[h] = _mm512_mask_ternarylogic_epi32(p1[h], 0x5555, c1[h], set1i(rounds->k0[9]), 0x96);
    HALVES c2[h] = _mm512_mask_ternarylogic_epi32(p0[h], 0x5555, c3[h], set1i(rounds->k1[9]), 0x96);
    HALVES words[2 * h] = _mm512_unpacklo_epi64(c0[h], c2[h]);
    HALVES words[2 * h + 1] = _mm512_unpackhi_epi64(c0[h], c2[h]);
}

typedef __m512d vf64;
typedef __m512i vi64;
typedef __mmask8 vm64;
enum { ROWS64 = 16 };

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
#define store_doubles(x, out) _mm512_storeu_pd(out, x)

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

enum { AHEAD = 1 };
#define philox_ahead philox4

#include "level.inc"
