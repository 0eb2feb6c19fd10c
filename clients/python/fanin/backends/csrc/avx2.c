/* AVX2: 8 lanes, masks as vectors, and 8 rows of the table in one register a column. */
#include "native.h"

#include <immintrin.h>

#define FANIN_VECTOR static inline __attribute__((always_inline))
#define FANIN_NAME fanin_avx2
#define VECTOR 32
#define TILE 2
enum { LANES = 8, BLOCKS = 8, ROWS = 8 };

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
#define most(a, b) _mm256_max_epu32(a, b)
#define muli(a, b) _mm256_mullo_epi32(a, b)
#define andi(a, b) _mm256_and_si256(a, b)
#define ori(a, b) _mm256_or_si256(a, b)
#define xori(a, b) _mm256_xor_si256(a, b)
#define shift_right(a, n) _mm256_srli_epi32(a, n)
#define shift_right_signed(a, n) _mm256_srai_epi32(a, n)
#define as_int(x) _mm256_castps_si256(x)
#define as_float(x) _mm256_castsi256_ps(x)
#define to_float(a) _mm256_cvtepi32_ps(a)
#define select(m, yes, no) _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(m))
#define flip(m, a, bits) xori(a, andi(m, set1i(bits)))
#define mul_where(m, a, b) mul(a, _mm256_max_ps(b, _mm256_andnot_ps(as_float(m), set1(1.0f)))) /* if b <= 1 */
#define subi_where(m, a, b) subi(a, andi(m, b))
#define add_unless(m, x, y) add(x, _mm256_andnot_ps(as_float(m), y))
#define exponent_unless(m, bits, e) _mm256_max_epi32(shift_right(bits, 23), andi(m, set1i(e))) /* if fields are at most e */
#define mantissa(x) as_float(ori(andi(as_int(x), set1i(0x7FFFFF)), set1i(0x3F800000)))
#define copy_inverted_sign(w, x) as_float(xori(as_int(x), _mm256_andnot_si256(w, set1i(1u << 31))))
#define more_signed(a, b) _mm256_cmpgt_epi32(a, b)
#define not_more(a, b) _mm256_cmpeq_epi32(_mm256_min_epu32(a, b), a)
#define below(a, b) _mm256_andnot_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a), _mm256_set1_epi32(-1))
#define same(a, b) _mm256_cmpeq_epi32(a, b)
#define none() _mm256_setzero_si256()
#define all() _mm256_set1_epi32(-1)
#define lanes_below(a, n) (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), a)))
#define gather(table, index) _mm256_i32gather_ps(table, index, 4)
#define lookup(columns, c, e) _mm256_permutevar8x32_ps((columns)[c], e)
#define load_column(values) _mm256_loadu_ps(values)

/* One rounding: both halves, and the upper one scaled, are exact. */
FANIN_VECTOR vf to_float_unsigned(vi a)
{
    const vf high = mul(to_float(shift_right(a, 16)), set1(65536.0f));
    return add(high, to_float(_mm256_blend_epi16(a, _mm256_setzero_si256(), 0xAA)));
}

FANIN_VECTOR void store_bits(const vi x[4], unsigned char *out)
{
    for (int n = 0; n < 4; n++) _mm256_storeu_si256((__m256i *)(out + 32 * n), x[n]);
}

FANIN_VECTOR void pack_halves(const vf x[4], unsigned char *out)
{
    for (int n = 0; n < 4; n++)
        _mm_storeu_si128((__m128i *)(out + 16 * n), _mm256_cvtps_ph(x[n], _MM_FROUND_TO_NEAREST_INT));
}

FANIN_VECTOR void pack_upper(const vi x[4], unsigned char *out)
{
    for (int n = 0; n < 4; n += 2) {
        const __m256i both = _mm256_packus_epi32(shift_right(x[n], 16), shift_right(x[n + 1], 16));
        _mm256_storeu_si256((__m256i *)(out + 16 * n), _mm256_permute4x64_epi64(both, 0xD8));
    }
}

FANIN_VECTOR void pack_bytes(const vi x[4], unsigned char *out)
{
    const __m256i words = _mm256_packus_epi32(x[0], x[1]), more = _mm256_packus_epi32(x[2], x[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* packed by 128 bits */
    _mm256_storeu_si256((__m256i *)out, _mm256_permutevar8x32_epi32(_mm256_packus_epi16(words, more), order));
}

/* Words of 4 * `pairs` blocks, as 2 * `pairs` vectors in stream order. The state's words are in the low halves of 64-bit
   lanes, where products are taken. A pair has 4 vectors of state for 4 blocks, and each operation waits for the one before,
   so pairs are interleaved. Three of them and the two factors fill the 16 registers. The loop over rounds is not unrolled:
   unrolled, gcc 12 spills. */
FANIN_VECTOR void philox_pairs(const fanin_rounds *rounds, int pairs, uint32_t block, vi *words)
{
    const __m256i order = _mm256_setr_epi64x(0, 2, 1, 3); /* so that unpacking sorts */
    const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
    vi c0[3], c1[3], c2[3], c3[3];
#define UPPER(p) _mm256_shuffle_epi32(p, 0xF5)
#define EACH_PAIR _Pragma("GCC unroll 3") for (int n = 0; n < pairs; n++)
    EACH_PAIR
    {
        c3[n] = _mm256_mul_epu32(_mm256_add_epi64(_mm256_set1_epi64x(block + 4 * n), order), m0);
        c1[n] = _mm256_mul_epu32(xori(UPPER(c3[n]), set1i(rounds->first2)), m1);
        const vi p0 = _mm256_mul_epu32(xori(UPPER(c1[n]), set1i(rounds->second0)), m0);
        const vi p1 = _mm256_mul_epu32(xori(c3[n], set1i(rounds->second2)), m1);
        c0[n] = xori(UPPER(p1), xori(c1[n], set1i(rounds->k0[2]))), c1[n] = p1;
        c2[n] = xori(UPPER(p0), set1i(rounds->third2)), c3[n] = p0;
    }
#pragma GCC unroll 1
    for (int round = 3; round < 9; round++) {
        const vi k0 = set1i(rounds->k0[round]), k1 = set1i(rounds->k1[round]);
        EACH_PAIR
        {
            const vi p0 = _mm256_mul_epu32(c0[n], m0), p1 = _mm256_mul_epu32(c2[n], m1);
            c0[n] = xori(UPPER(p1), xori(c1[n], k0)), c1[n] = p1;
            c2[n] = xori(UPPER(p0), xori(c3[n], k1)), c3[n] = p0;
        }
    }
    /* The last products, their halves exchanged, are both words of a pair already. */
    EACH_PAIR
    {
        const vi p0 = _mm256_shuffle_epi32(_mm256_mul_epu32(c0[n], m0), 0xB1);
        const vi p1 = _mm256_shuffle_epi32(_mm256_mul_epu32(c2[n], m1), 0xB1);
        c0[n] = _mm256_blend_epi32(p1, xori(xori(p1, c1[n]), set1i(rounds->k0[9])), 0x55);
        c2[n] = _mm256_blend_epi32(p0, xori(xori(p0, c3[n]), set1i(rounds->k1[9])), 0x55);
        words[2 * n] = _mm256_unpacklo_epi64(c0[n], c2[n]);
        words[2 * n + 1] = _mm256_unpackhi_epi64(c0[n], c2[n]);
    }
}

FANIN_VECTOR void philox4(const fanin_rounds *rounds, uint32_t block, vi words[4]) { philox_pairs(rounds, 2, block, words); }

enum { AHEAD = 3 };

FANIN_VECTOR void philox_ahead(const fanin_rounds *rounds, uint32_t block, vi words[4 * AHEAD])
{
#pragma GCC unroll 1
    for (int n = 0; n < 2; n++) philox_pairs(rounds, 3, block + 12 * n, words + 6 * n);
}

typedef __m256d vf64;
typedef __m256i vi64;
typedef __m256d vm64;
enum { ROWS64 = FANIN_ROWS_F64 };

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
#define store_doubles(x, out) _mm256_storeu_pd((double *)(out), x)

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

#include "level.inc"
