// Exhaustive check of the frozen inverse-normal tables, plain normal distribution, float32.
//
//   gcc -O3 -march=native -ffp-contract=off -fopenmp check_normal.c -o check_normal -lm && ./check_normal
//
// 0. the oracle (normal_f64.inc in double) against long double erfc on a sample;
//    check_normal_f64.py checks the same table against mpmath.
// 1. every k of one side, 0 <= k < 2^31 (the other side is its mirror image): error in
//    float32 spacings of the exact value at t = (2k + 1) / 2^32, and |z| non-increasing.
// 2. every float32 t in [2^-96, 1/2) and every r in [2^-33, 1/2 + 2^-11]: the same for
//    the polynomials alone, rows a word cannot reach and row borders included.
// Exit status 0 only if all errors are <= 4 spacings and everything is monotone.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const float F32[] = {
#include "../python/fanin/backends/csrc/normal_f32.inc"
};
static const double F64[] = {
#include "../python/fanin/backends/csrc/normal_f64.inc"
};
enum { ROWS32 = 96, ROWS64 = 128,
       W32 = sizeof F32 / sizeof *F32 / ROWS32, W64 = sizeof F64 / sizeof *F64 / ROWS64 };

#define N 2147483648u                       // words per side
#define K ((1u << 30) - (1u << 19))         // words of a side in the tail region

static inline float tail32(float x, int *row) {
    uint32_t b;
    memcpy(&b, &x, 4);
    *row = 126 - (int)(b >> 23);
    b = (b & 0x7fffff) | 0x3f800000;
    float m;
    memcpy(&m, &b, 4);
    const float v = 2.0f - m, *c = F32 + *row * W32;
    float q = c[W32 - 1];
    for (int i = W32 - 2; i >= 0; i--) { q = q * v; q = q + c[i]; }
    return q;
}

static inline float central32(float x) {
    const float y = x * x;
    float q = F32[W32 - 1];
    for (int i = W32 - 2; i >= 0; i--) { q = q * y; q = q + F32[i]; }
    return x * q;
}

static inline float normal32(uint32_t k, int *row) {
    if (k < K) {
        float f = (float)k;
        f = f + 0.5f;
        return tail32(0x1p-31f * f, row);
    }
    float f = (float)(N - 1 - k);
    f = f + 0.5f;
    *row = 0;
    return central32(0x1p-31f * f);
}

static inline double tail64(double x) {
    uint64_t b;
    memcpy(&b, &x, 8);
    const double *c = F64 + (1022 - (int)(b >> 52)) * W64;
    b = (b & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    double m;
    memcpy(&m, &b, 8);
    const double v = 2.0 - m;
    double q = c[W64 - 1];
    for (int i = W64 - 2; i >= 0; i--) { q = q * v; q = q + c[i]; }
    return q;
}

static inline double central64(double x) {
    const double y = x * x;
    double q = F64[W64 - 1];
    for (int i = W64 - 2; i >= 0; i--) { q = q * y; q = q + F64[i]; }
    return x * q;
}

static inline double spacings(float z, double exact) {
    uint64_t b;
    memcpy(&b, &exact, 8);
    b &= 0x7ff0000000000000ull;             // 2^floor(log2 exact)
    double e;
    memcpy(&e, &b, 8);
    return fabs((double)z - exact) / (e * 0x1p-23);
}

static double check_oracle(void) {
    double worst = 0;
    for (uint64_t i = 0; i < 400000; i++) {
        uint64_t h = (i + 1) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
        const double u = 1 + (double)(h >> 12) * 0x1p-52;
        const int tail = i & 1;             // t over 96 octaves, r over 40
        const double x = tail ? ldexp(u, -2 - (int)(i / 2 % 95)) : ldexp(u, -2 - (int)(i / 2 % 40));
        const long double z = tail ? tail64(x) : central64(x), s = z / sqrtl(2);
        const long double e = (tail ? erfcl(s) - x : (long double)x - erfl(s))
                            / (0.797884560802865355879892119868763737L * expl(-s * s));
        const double rel = (double)fabsl(e / z);
        if (rel > worst) worst = rel;
    }
    return worst;
}

typedef struct { double err[ROWS32]; uint64_t down; } Stats;

static void merge(Stats *a, const Stats *b) {
    for (int r = 0; r < ROWS32; r++) if (b->err[r] > a->err[r]) a->err[r] = b->err[r];
    a->down += b->down;
}

static Stats all_words(void) {
    Stats s = {0};
#pragma omp parallel for schedule(dynamic)
    for (int c = 0; c < 2048; c++) {
        const uint32_t k0 = (uint32_t)c << 20;
        Stats l = {0};
        int row;
        float last = k0 ? normal32(k0 - 1, &row) : INFINITY;
        for (uint32_t i = 0; i < 1u << 20; i++) {
            const uint32_t k = k0 + i;
            const float z = normal32(k, &row);
            const double exact = k < N / 2 ? tail64((2.0 * k + 1) * 0x1p-32)
                                           : central64((2.0 * (N - 1 - k) + 1) * 0x1p-32);
            const double e = spacings(z, exact);
            if (e > l.err[row]) l.err[row] = e;
            l.down += !(z <= last);
            last = z;
        }
#pragma omp critical
        merge(&s, &l);
    }
    return s;
}

static Stats all_floats(void) {
    Stats s = {0};
    // Tail octaves, each started one float below, then the central octaves.
#pragma omp parallel for schedule(dynamic)
    for (int c = 0; c < 95 + 33; c++) {
        const int tail = c < 95;
        uint32_t b0 = (uint32_t)(tail ? 31 + c : 94 + (c - 95)) << 23, n = 1u << 23;
        if (c == 95 + 32) n = (1u << 12) + 1;   // [1/2, 1/2 + 2^-11]
        Stats l = {0};
        int row = 0;
        float x, last = 0;
        for (uint32_t i = (c == 0 || c == 95); i <= n; i++) {
            const uint32_t b = b0 + i - 1;
            memcpy(&x, &b, 4);
            const float z = tail ? tail32(x, &row) : central32(x);
            if (last) l.down += tail ? !(z <= last) : !(z >= last);
            last = z;
            const double e = spacings(z, tail ? tail64(x) : central64(x));
            if (e > l.err[row]) l.err[row] = e;
        }
#pragma omp critical
        merge(&s, &l);
    }
    return s;
}

static int report(const char *what, const Stats *s, int rows) {
    double worst = 0;
    for (int r = 0; r < rows; r++) {
        printf("%s row %2d  max error %.3f\n", what, r, s->err[r]);
        if (s->err[r] > worst) worst = s->err[r];
    }
    printf("%s: max error %.3f spacings, order violations %llu\n", what, worst, (unsigned long long)s->down);
    return worst <= 4 && s->down == 0;
}

int main(void) {
    const double o = check_oracle();
    printf("oracle against long double erfc: max relative difference %.2e\n", o);
    for (size_t i = 0; i < sizeof F32 / sizeof *F32; i++) if (!(F32[i] >= 0)) return 1;
    for (size_t i = 0; i < sizeof F64 / sizeof *F64; i++) if (!(F64[i] >= 0)) return 1;
    const Stats w = all_words(), f = all_floats();
    const int ok = report("words ", &w, 32) & report("floats", &f, ROWS32) & (o < 1e-14);
    puts(ok ? "OK" : "FAILED");
    return !ok;
}
