// Speed prototype: Philox4x32-10 + inverse-normal transform + mean + std * z -> float32.
//
//   gcc -O3 -ffp-contract=off speed_normal.c -o speed_normal -lm && ./speed_normal [core]
//
// Checks that every vector kernel gives the bits of the scalar one.  Then prints the median
// nanoseconds per element of RUNS runs of 2^24 elements written through a 64 KiB buffer.
//
// "giles" is the alternative without a table (log, two polynomials, sqrt) for comparison:
// AVX-512 only, same word-to-x mapping, not the frozen distribution.
#define _GNU_SOURCE
#include <immintrin.h>
#include <math.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { W = 9, ROWS = 96, BLOCK = 1 << 14, TOTAL = 1 << 24, RUNS = 11 };
static const float C[ROWS * W] = {
#include "../python/fanin/backends/csrc/normal_f32.inc"
};

// A distribution: side 0 is positive, side 1 negative.  Plain normal: T = 2^31, a = 0, beta = 2^-31.
typedef struct {
    uint64_t T;
    uint32_t last[2], K[2];             // N - 1 and tail words per side
    float beta[2], at[2], ar[2];
    float mean, std, lo, hi;
} Distribution;

static Distribution make_distribution(double lo, double hi, float mean, float std) {
    Distribution l = {.mean = mean, .std = std};
    const double neg = lo < 0 ? .5 * (erf(fmin(-lo, 40) / sqrt(2)) - (hi < 0 ? erf(-hi / sqrt(2)) : 0)) : 0;
    const double pos = hi > 0 ? .5 * (erf(fmin(hi, 40) / sqrt(2)) - (lo > 0 ? erf(lo / sqrt(2)) : 0)) : 0;
    l.T = (uint64_t)llrint(0x1p32 * neg / (neg + pos));
    for (int s = 0; s < 2; s++) {
        const double far = s ? -lo : hi, near = fmax(s ? -hi : lo, 0), n = s ? (double)l.T : 0x1p32 - (double)l.T;
        if (n == 0) continue;
        const double t0 = erfc(far / sqrt(2)), r0 = erf(near / sqrt(2)), b = (1 - r0 - t0) / n;
        const double k = ceil((.5 - 0x1p-12 - t0) / b - .5);
        l.last[s] = (uint32_t)(n - 1), l.K[s] = (uint32_t)fmin(fmax(k, 0), n);
        l.beta[s] = (float)b, l.at[s] = (float)t0, l.ar[s] = (float)r0;
    }
    l.lo = mean + std * (float)lo, l.hi = mean + std * (float)hi;
    return l;
}

enum Kind { UNIFORM, NORMAL, TRUNCATED, GILES };

// ---- scalar reference -------------------------------------------------------------------
#define M0 0xD2511F53u
#define M1 0xCD9E8D57u
#define K0 0x9E3779B9u
#define K1 0xBB67AE85u
static const uint32_t KEY[2] = {0x12345678u, 0x9abcdef0u};

static void philox(uint64_t counter, uint32_t x[4]) {
    uint32_t k0 = KEY[0], k1 = KEY[1];
    x[0] = (uint32_t)counter, x[1] = (uint32_t)(counter >> 32), x[2] = x[3] = 0;
    for (int i = 0; i < 10; i++, k0 += K0, k1 += K1) {
        const uint64_t p = (uint64_t)M0 * x[0], q = (uint64_t)M1 * x[2];
        const uint32_t a = (uint32_t)(q >> 32) ^ x[1] ^ k0, b = (uint32_t)(p >> 32) ^ x[3] ^ k1;
        x[0] = a, x[1] = (uint32_t)q, x[2] = b, x[3] = (uint32_t)p;
    }
}

static float scalar(enum Kind kind, const Distribution *l, uint32_t w) {
    if (kind == UNIFORM) return l->mean + l->std * ((float)(w >> 8) * 0x1p-24f);
    const int neg = w < l->T;
    const uint32_t k = neg ? w : ~w;
    const int tail = k < l->K[neg];
    float x = (float)(tail ? k : l->last[neg] - k), z;
    x = x + 0.5f;
    x = l->beta[neg] * x;
    if (kind == TRUNCATED) x = (tail ? l->at : l->ar)[neg] + x;
    uint32_t b;
    memcpy(&b, &x, 4);
    const float *c = C + (tail ? 126 - (b >> 23) : 0) * W;
    b = (b & 0x7fffff) | 0x3f800000;
    memcpy(&z, &b, 4);
    const float v = tail ? 2.0f - z : x * x;
    float q = c[8];
    for (int i = 7; i >= 0; i--) q = q * v + c[i];
    if (!tail) q = x * q;
    z = l->mean + l->std * (neg ? -q : q);
    if (kind == TRUNCATED) z = fmaxf(l->lo, fminf(l->hi, z));
    return z;
}

// ---- AVX-512: 32 rows in two registers per coefficient ---------------------------------------
// Enough for any distribution with a_t + beta / 2 >= 2^-32, which is known when the distribution is set up.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw")
#define SET(x) _mm512_set1_ps(x)
#define SETI(x) _mm512_set1_epi32((int)(x))

// 16 counters -> 64 words in stream order.  State words live in the low halves of 64-bit lanes.
static inline void philox512(uint64_t counter, __m512i out[4]) {
    const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);    // so that unpacking sorts
    const __m512i m0 = _mm512_set1_epi64(M0), m1 = _mm512_set1_epi64(M1);
    for (int g = 0; g < 2; g++) {
        const __m512i n = _mm512_add_epi64(_mm512_set1_epi64((long long)counter + 8 * g), order);
        __m512i x0 = n, x1 = _mm512_srli_epi64(n, 32), x2 = _mm512_setzero_si512(), x3 = x2;
        uint32_t k0 = KEY[0], k1 = KEY[1];
#pragma GCC unroll 10
        for (int i = 0; i < 10; i++, k0 += K0, k1 += K1) {
            const __m512i p = _mm512_mul_epu32(x0, m0), q = _mm512_mul_epu32(x2, m1);
            const __m512i ph = _mm512_shuffle_epi32(p, 0xf5), qh = _mm512_shuffle_epi32(q, 0xf5);
            x0 = _mm512_ternarylogic_epi32(qh, x1, SETI(k0), 0x96), x1 = q;
            x2 = _mm512_ternarylogic_epi32(ph, x3, SETI(k1), 0x96), x3 = p;
        }
        x0 = _mm512_mask_shuffle_epi32(x0, 0xaaaa, x1, 0xa0);
        x2 = _mm512_mask_shuffle_epi32(x2, 0xaaaa, x3, 0xa0);
        out[2 * g] = _mm512_unpacklo_epi64(x0, x2), out[2 * g + 1] = _mm512_unpackhi_epi64(x0, x2);
    }
}

// Column i for exponents E = 126 - row taken modulo 32: row 0 sits at 30, row 31 at 31.
typedef struct { __m512 lo, hi; } Column;
static inline void load_columns(Column t[W]) {
    float a[32];
    for (int i = 0; i < W; i++) {
        for (int r = 0; r < 32; r++) a[(126 - r) & 31] = C[r * W + i];
        t[i].lo = _mm512_loadu_ps(a), t[i].hi = _mm512_loadu_ps(a + 16);
    }
}
#define COEF(i) _mm512_permutex2var_ps(t[i].lo, e, t[i].hi)
#define STEP(q, arg, c) _mm512_add_ps(_mm512_mul_ps(q, arg), c)

static inline __attribute__((always_inline)) __m512 transform512(enum Kind kind, const Distribution *l, const Column *t, __m512i w) {
    if (kind == UNIFORM)
        return _mm512_add_ps(SET(l->mean), _mm512_mul_ps(SET(l->std),
            _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_srli_epi32(w, 8)), SET(0x1p-24f))));
    __m512i k;
    __mmask16 tail;
    __m512 x;
    __mmask16 neg = 0;
    if (kind == TRUNCATED) {
        // The words between the two tails are central; there j = w - T or its complement.
        // a_r is non-zero only if the distribution has a single side, so it needs no selection.
        // The masks settle distributions without a negative side and distributions without a tail.
        const __mmask16 some_neg = l->T ? 0xffff : 0, some_tail = l->K[0] | l->K[1] ? 0xffff : 0;
        neg = _mm512_mask_cmple_epu32_mask(some_neg, w, SETI(l->T - 1));
        tail = _mm512_mask_cmpge_epu32_mask(some_tail, _mm512_sub_epi32(w, SETI(l->K[1])), SETI(0 - l->K[0] - l->K[1]));
        k = _mm512_mask_sub_epi32(w, (__mmask16)~tail, w, SETI(l->T));
        // Complement by subtraction: gcc's ~ (vpternlog) drags in a false dependency.
        k = _mm512_mask_sub_epi32(k, (__mmask16)(neg ^ tail), SETI(-1), k);
        x = _mm512_add_ps(_mm512_cvtepu32_ps(k), SET(0.5f));
        x = _mm512_mul_ps(_mm512_mask_blend_ps(neg, SET(l->beta[0]), SET(l->beta[1])), x);
        x = _mm512_add_ps(_mm512_mask_blend_ps(tail, SET(l->ar[0] + l->ar[1]),
                                               _mm512_mask_blend_ps(neg, SET(l->at[0]), SET(l->at[1]))), x);
    } else {
        k = _mm512_xor_si512(w, _mm512_srai_epi32(w, 31));
        tail = _mm512_cmplt_epi32_mask(k, SETI((1 << 30) - (1 << 19)));
        k = _mm512_mask_sub_epi32(k, (__mmask16)~tail, SETI(0x7fffffff), k);
        x = _mm512_mul_ps(SET(0x1p-31f), _mm512_add_ps(_mm512_cvtepi32_ps(k), SET(0.5f)));
    }
    __m512 q;
    if (kind == GILES) {                // k counts from the tail; x := t in (0, 1), |z| by w = -log(t (2 - t))
        x = _mm512_mask_sub_ps(x, (__mmask16)~tail, SET(1), x);
        const __m512 a = _mm512_mul_ps(x, _mm512_sub_ps(SET(2), x));
        const __m512i b = _mm512_sub_epi32(_mm512_castps_si512(a), SETI(0x3f3504f3));
        const __m512 ex = _mm512_cvtepi32_ps(_mm512_srai_epi32(b, 23));
        const __m512 f = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(b, SETI(0x7fffff)), SETI(0x3f3504f3))), SET(1));
        static const float L[9] = {7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                                   -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f};  // Cephes logf
        __m512 p = SET(L[0]);
        for (int i = 1; i < 9; i++) p = STEP(p, f, SET(L[i]));
        const __m512 f2 = _mm512_mul_ps(f, f);
        p = _mm512_mul_ps(_mm512_mul_ps(f, f2), p);
        p = _mm512_add_ps(_mm512_sub_ps(p, _mm512_mul_ps(SET(.5f), f2)), f);
        const __m512 y = _mm512_sub_ps(_mm512_setzero_ps(), _mm512_add_ps(p, _mm512_mul_ps(ex, SET(0.6931471806f))));
        static const float A[9] = {2.81022636e-08f, 3.43273939e-07f, -3.5233877e-06f, -4.39150654e-06f, 0.00021858087f,
                                   -0.00125372503f, -0.00417768164f, 0.246640727f, 1.50140941f};
        static const float B[9] = {-0.000200214257f, 0.000100950558f, 0.00134934322f, -0.00367342844f, 0.00573950773f,
                                   -0.0076224613f, 0.00943887047f, 1.00167406f, 2.83297682f};
        const __mmask16 far = _mm512_cmp_ps_mask(y, SET(5), _CMP_GE_OQ);
        const __m512 s = _mm512_mask_sub_ps(_mm512_sub_ps(y, SET(2.5f)), far, _mm512_sqrt_ps(y), SET(3));
        q = _mm512_mask_blend_ps(far, SET(A[0]), SET(B[0]));
        for (int i = 1; i < 9; i++) q = STEP(q, s, _mm512_mask_blend_ps(far, SET(A[i]), SET(B[i])));
        q = _mm512_mul_ps(_mm512_mul_ps(SET(1.41421356f), _mm512_sub_ps(SET(1), x)), q);
    } else {
        const __m512i b = _mm512_castps_si512(x);
        const __m512i e = _mm512_mask_srli_epi32(SETI(126), tail, b, 23);
        const __m512 m = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(b, SETI(0x7fffff), SETI(0x3f800000), 0xea));
        const __m512 v = _mm512_mask_sub_ps(_mm512_mul_ps(x, x), tail, SET(2.0f), m);
        q = _mm512_mul_ps(_mm512_mul_ps(_mm512_mul_ps(COEF(8), v), v), v);  // columns 6 and 7 are zero
        q = _mm512_add_ps(q, COEF(5));
        q = STEP(q, v, COEF(4)), q = STEP(q, v, COEF(3)), q = STEP(q, v, COEF(2)), q = STEP(q, v, COEF(1)), q = STEP(q, v, COEF(0));
        q = _mm512_mask_mul_ps(q, (__mmask16)~tail, x, q);
    }
    if (kind == TRUNCATED)
        q = _mm512_castsi512_ps(_mm512_mask_xor_epi32(_mm512_castps_si512(q), neg, _mm512_castps_si512(q), SETI(1u << 31)));
    else                                // q ^ (~w & sign)
        q = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(q), w, SETI(1u << 31), 0xd2));
    q = _mm512_add_ps(SET(l->mean), _mm512_mul_ps(SET(l->std), q));
    if (kind == TRUNCATED) q = _mm512_max_ps(SET(l->lo), _mm512_min_ps(SET(l->hi), q));
    return q;
}

// words == NULL: Philox from `counter`; otherwise the given words.  n is a multiple of 64.
#define KERNEL512(NAME, KIND)                                                                   \
    static void NAME(const Distribution *l, const uint32_t *words, uint64_t counter, float *out, int n) { \
        Column t[W];                                                                            \
        if (KIND != UNIFORM) load_columns(t);                                                   \
        const Distribution c = *l;                                                                       \
        for (int i = 0; i < n; i += 64, counter += 16) {                                        \
            __m512i w[4];                                                                       \
            if (words) memcpy(w, words + i, sizeof w); else philox512(counter, w);              \
            for (int j = 0; j < 4; j++) _mm512_storeu_ps(out + i + 16 * j, transform512(KIND, &c, t, w[j])); \
        }                                                                                       \
    }
KERNEL512(uniform512, UNIFORM)
KERNEL512(normal512, NORMAL)
KERNEL512(truncated512, TRUNCATED)
KERNEL512(giles512, GILES)
#pragma GCC pop_options

// ---- AVX2: rows 0..7 in one register per coefficient, rarer rows redone in scalar -----------------
#pragma GCC push_options
#pragma GCC target("avx2")
#undef SET
#undef SETI
#undef STEP
#undef COEF
#define SET(x) _mm256_set1_ps(x)
#define SETI(x) _mm256_set1_epi32((int)(x))
#define STEP(q, arg, c) _mm256_add_ps(_mm256_mul_ps(q, arg), c)
#define COEF(i) _mm256_permutevar8x32_ps(t[i], e)
#define BLEND(a, b, mask) _mm256_blendv_ps(a, b, _mm256_castsi256_ps(mask))

static inline void philox256(uint64_t counter, __m256i out[4]) {
    const __m256i order = _mm256_setr_epi64x(0, 2, 1, 3);
    const __m256i m0 = _mm256_set1_epi64x(M0), m1 = _mm256_set1_epi64x(M1);
    for (int g = 0; g < 2; g++) {
        const __m256i n = _mm256_add_epi64(_mm256_set1_epi64x((long long)counter + 4 * g), order);
        __m256i x0 = n, x1 = _mm256_srli_epi64(n, 32), x2 = _mm256_setzero_si256(), x3 = x2;
        uint32_t k0 = KEY[0], k1 = KEY[1];
#pragma GCC unroll 10
        for (int i = 0; i < 10; i++, k0 += K0, k1 += K1) {
            const __m256i p = _mm256_mul_epu32(x0, m0), q = _mm256_mul_epu32(x2, m1);
            const __m256i ph = _mm256_shuffle_epi32(p, 0xf5), qh = _mm256_shuffle_epi32(q, 0xf5);
            x0 = _mm256_xor_si256(_mm256_xor_si256(x1, SETI(k0)), qh), x1 = q;
            x2 = _mm256_xor_si256(_mm256_xor_si256(x3, SETI(k1)), ph), x3 = p;
        }
        x0 = _mm256_blend_epi32(x0, _mm256_slli_epi64(x1, 32), 0xaa);
        x2 = _mm256_blend_epi32(x2, _mm256_slli_epi64(x3, 32), 0xaa);
        out[2 * g] = _mm256_unpacklo_epi64(x0, x2), out[2 * g + 1] = _mm256_unpackhi_epi64(x0, x2);
    }
}

static inline __attribute__((always_inline)) void transform256(enum Kind kind, const Distribution *l, const __m256 *t, __m256i w, float *out) {
    if (kind == UNIFORM) {
        _mm256_storeu_ps(out, _mm256_add_ps(SET(l->mean), _mm256_mul_ps(SET(l->std),
            _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(w, 8)), SET(0x1p-24f)))));
        return;
    }
    __m256i k, central, pos;
    __m256 x;
    if (kind == TRUNCATED) {            // signed compares on shifted words; flags settle degenerate distributions
        pos = _mm256_cmpgt_epi32(_mm256_xor_si256(w, SETI(1u << 31)), SETI((uint32_t)(l->T - 1) ^ 1u << 31));
        pos = _mm256_or_si256(pos, SETI(l->T ? 0 : -1));
        central = _mm256_cmpgt_epi32(SETI((0 - l->K[0] - l->K[1]) ^ 1u << 31), _mm256_sub_epi32(w, SETI(l->K[1] ^ 1u << 31)));
        central = _mm256_or_si256(central, SETI(l->K[0] | l->K[1] ? 0 : -1));
        k = _mm256_sub_epi32(w, _mm256_and_si256(central, SETI(l->T)));
        k = _mm256_xor_si256(k, _mm256_xor_si256(pos, central));
        // u32 -> f32 with one rounding: both halves and the scaled high half are exact.
        const __m256 h = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(k, 16)), SET(65536));
        x = _mm256_add_ps(h, _mm256_cvtepi32_ps(_mm256_blend_epi16(k, _mm256_setzero_si256(), 0xaa)));
        x = _mm256_add_ps(x, SET(0.5f));
        // Constants by side: index 0 (negative) or 3 (positive) of four.  a_r is non-zero only
        // if the distribution has a single side.
        const __m256 beta = _mm256_setr_ps(l->beta[1], 0, 0, l->beta[0], l->beta[1], 0, 0, l->beta[0]);
        const __m256 at = _mm256_setr_ps(l->at[1], 0, 0, l->at[0], l->at[1], 0, 0, l->at[0]);
        x = _mm256_mul_ps(_mm256_permutevar_ps(beta, pos), x);
        x = _mm256_add_ps(BLEND(_mm256_permutevar_ps(at, pos), SET(l->ar[0] + l->ar[1]), central), x);
    } else {
        pos = _mm256_srai_epi32(w, 31);
        k = _mm256_xor_si256(w, pos);
        central = _mm256_cmpgt_epi32(k, SETI((1 << 30) - (1 << 19) - 1));
        k = _mm256_xor_si256(k, _mm256_and_si256(central, SETI(0x7fffffff)));
        x = _mm256_mul_ps(SET(0x1p-31f), _mm256_add_ps(_mm256_cvtepi32_ps(k), SET(0.5f)));
    }
    const __m256i b = _mm256_castps_si256(x);
    // Exponents modulo 8: row 0 at 6, row 7 at 7; central lanes are given 126.
    const __m256i e = _mm256_max_epi32(_mm256_srli_epi32(b, 23), _mm256_and_si256(central, SETI(126)));
    const __m256 m = _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(b, SETI(0x7fffff)), SETI(0x3f800000)));
    const __m256 v = BLEND(_mm256_sub_ps(SET(2.0f), m), _mm256_mul_ps(x, x), central);
    __m256 q = _mm256_mul_ps(_mm256_mul_ps(_mm256_mul_ps(COEF(8), v), v), v);
    q = _mm256_add_ps(q, COEF(5));
    q = STEP(q, v, COEF(4)), q = STEP(q, v, COEF(3)), q = STEP(q, v, COEF(2)), q = STEP(q, v, COEF(1)), q = STEP(q, v, COEF(0));
    q = BLEND(q, _mm256_mul_ps(x, q), central);
    q = _mm256_xor_ps(q, _mm256_castsi256_ps(_mm256_andnot_si256(pos, SETI(1u << 31))));
    q = _mm256_add_ps(SET(l->mean), _mm256_mul_ps(SET(l->std), q));
    if (kind == TRUNCATED) q = _mm256_max_ps(SET(l->lo), _mm256_min_ps(SET(l->hi), q));
    _mm256_storeu_ps(out, q);
    int rare = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(SETI(119), e)));
    if (__builtin_expect(rare, 0)) {
        uint32_t a[8];
        memcpy(a, &w, 32);
        for (; rare; rare &= rare - 1) {
            const int i = __builtin_ctz((unsigned)rare);
            out[i] = scalar(kind, l, a[i]);
        }
    }
}

#define KERNEL256(NAME, KIND)                                                                   \
    static void NAME(const Distribution *l, const uint32_t *words, uint64_t counter, float *out, int n) { \
        __m256 t[W];                                                                            \
        for (int i = 0; i < W; i++) {                                                           \
            float a[8];                                                                         \
            for (int r = 0; r < 8; r++) a[(126 - r) & 7] = C[r * W + i];                        \
            t[i] = _mm256_loadu_ps(a);                                                          \
        }                                                                                       \
        const Distribution c = *l;                                                                       \
        for (int i = 0; i < n; i += 32, counter += 8) {                                         \
            __m256i w[4];                                                                       \
            if (words) memcpy(w, words + i, sizeof w); else philox256(counter, w);              \
            for (int j = 0; j < 4; j++) transform256(KIND, &c, t, w[j], out + i + 8 * j);       \
        }                                                                                       \
    }
KERNEL256(uniform256, UNIFORM)
KERNEL256(normal256, NORMAL)
KERNEL256(truncated256, TRUNCATED)
#pragma GCC pop_options

// ---- harness ------------------------------------------------------------------------------------
typedef void Kernel(const Distribution *, const uint32_t *, uint64_t, float *, int);
typedef struct { const char *name; Kernel *run; enum Kind kind; int distribution; int avx512; double ns[RUNS]; } Case;

static int by_value(const void *a, const void *b) { return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(argc > 1 ? atoi(argv[1]) : 0, &set);
    if (sched_setaffinity(0, sizeof set, &set)) perror("sched_setaffinity");

    Distribution distributions[] = {make_distribution(-INFINITY, INFINITY, 0.001f, 0.02f), make_distribution(-2, 2, 0.001f, 0.02f),
                  make_distribution(-1, 3, 0.001f, 0.02f), make_distribution(0.5, 2, 0.001f, 0.02f), make_distribution(-4, -0.1, 0.001f, 0.02f),
                  make_distribution(-.5, .25, 0.001f, 0.02f), make_distribution(2, 3, 0.001f, 0.02f)};
    distributions[0].K[0] = distributions[0].K[1] = (1u << 30) - (1u << 19);
    Case cases[] = {
        {"avx512 uniform", uniform512, UNIFORM, 0, 1, {0}}, {"avx512 normal", normal512, NORMAL, 0, 1, {0}},
        {"avx512 truncated [-2, 2]", truncated512, TRUNCATED, 1, 1, {0}}, {"avx512 truncated [-1, 3]", truncated512, TRUNCATED, 2, 1, {0}},
        {"avx512 truncated [.5, 2]", truncated512, TRUNCATED, 3, 1, {0}}, {"avx512 truncated [-4, -.1]", truncated512, TRUNCATED, 4, 1, {0}},
        {"avx512 truncated [-.5, .25]", truncated512, TRUNCATED, 5, 1, {0}}, {"avx512 truncated [2, 3]", truncated512, TRUNCATED, 6, 1, {0}},
        {"avx512 giles", giles512, GILES, 0, 1, {0}},
        {"avx2   uniform", uniform256, UNIFORM, 0, 0, {0}}, {"avx2   normal", normal256, NORMAL, 0, 0, {0}},
        {"avx2   truncated [-2, 2]", truncated256, TRUNCATED, 1, 0, {0}}, {"avx2   truncated [-1, 3]", truncated256, TRUNCATED, 2, 0, {0}},
        {"avx2   truncated [.5, 2]", truncated256, TRUNCATED, 3, 0, {0}}, {"avx2   truncated [-4, -.1]", truncated256, TRUNCATED, 4, 0, {0}},
        {"avx2   truncated [-.5, .25]", truncated256, TRUNCATED, 5, 0, {0}}, {"avx2   truncated [2, 3]", truncated256, TRUNCATED, 6, 0, {0}},
    };
    const int n = sizeof cases / sizeof *cases, wide = __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    static _Alignas(64) float out[BLOCK];
    static uint32_t words[BLOCK];
    int bad = 0;
    for (int c = 0; c < n; c++) {
        if ((cases[c].avx512 && !wide)) continue;
        const Distribution *l = &distributions[cases[c].distribution];
        double worst = 0;
        for (int block = 0; block < 256; block++) {     // Philox words, then words in rare rows
            const uint64_t counter = 0xfffff000u + (uint64_t)block * BLOCK / 4;
            for (int i = 0; i < BLOCK; i += 4) philox(counter + i / 4, words + i);
            const int rare = block >= 128;
            if (rare) for (int i = 0; i < BLOCK; i++) words[i] = (i & 32 ? ~0u : 0u) ^ ((i & 64 ? (uint32_t)l->T : 0u) + (words[i] >> (i & 31)));
            cases[c].run(l, rare ? words : NULL, counter, out, BLOCK);
            for (int i = 0; i < BLOCK; i++) {
                const float s = scalar(cases[c].kind == GILES ? NORMAL : cases[c].kind, l, words[i]);
                worst = fmax(worst, fabs((double)s - out[i]));
                bad += cases[c].kind != GILES && memcmp(&s, out + i, 4);
            }
        }
        if (cases[c].kind == GILES) printf("giles against the table: largest difference %.1e (std 0.02)\n", worst);
    }
    printf("scalar comparison: %d differing values\n", bad);
    for (int run = 0; run < RUNS; run++)                // interleaved, so that noise is shared
        for (int c = 0; c < n; c++) {
            if (cases[c].avx512 && !wide) continue;
            const double t0 = now();
            for (int i = 0; i < TOTAL; i += BLOCK) cases[c].run(&distributions[cases[c].distribution], NULL, i / 4, out, BLOCK);
            cases[c].ns[run] = (now() - t0) / TOTAL;
        }
    double base = 0;
    for (int c = 0; c < n; c++) {
        qsort(cases[c].ns, RUNS, sizeof(double), by_value);
        if (cases[c].kind == NORMAL) base = cases[c].ns[RUNS / 2];
        printf("%-28s %6.3f ns/element (min %.3f, max %.3f)", cases[c].name, cases[c].ns[RUNS / 2], cases[c].ns[0], cases[c].ns[RUNS - 1]);
        if (base && cases[c].kind != UNIFORM) printf("  %.2f x normal", cases[c].ns[RUNS / 2] / base);
        puts("");
    }
    return bad != 0;
}
