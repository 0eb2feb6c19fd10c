/* What the parts of the native backend share. */
#ifndef FANIN_NATIVE_H
#define FANIN_NATIVE_H

#include "fanin_kernels.h"

#include <stddef.h>

enum { FANIN_UNIFORM, FANIN_NORMAL, FANIN_TRUNCATED };                              /* laws */
enum { FANIN_F64, FANIN_F32, FANIN_BF16, FANIN_F16, FANIN_F8_E4M3, FANIN_F8_E5M2 }; /* storage types */

static const int fanin_sizes[] = {8, 4, 2, 2, 1, 1}; /* bytes of an element, by storage type */

#define FANIN_LITTLE_ENDIAN (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* ---- orthogonal matrices ---------------------------------------------------------------------------------------- */

enum {
    FANIN_PANEL = 32,        /* columns of a panel */
    FANIN_GROUP_BYTES = 256, /* of a row of the columns that are worked on together */
};

/* A matrix in the making: `rows` >= `columns`, or its transpose if it is wide. */
typedef struct {
    uint64_t rows, columns;
    uint64_t padded;     /* rows, rounded up to a multiple of 4 */
    void *v;             /* panels of Householder vectors one after another, each from its first row on, in the compute type */
    void *t;             /* of each panel, in the compute type */
    double *x;           /* of each panel */
    unsigned char *work; /* 256 bytes for each padded row, for each thread */
    const fanin_draw *normal; /* standard */
    double gain;
    unsigned char *out;
    uint32_t keys[8];
    int32_t dtype, is_wide;
} fanin_matrix;

static inline uint64_t fanin_panel_at(const fanin_matrix *matrix, uint64_t panel)
{
    return FANIN_PANEL * (panel * matrix->padded - panel * (panel - 1) / 2 * FANIN_PANEL);
}

/* One level of instructions. */
typedef struct {
    /* Called before `fill`, on a processor that has the instructions; twice does no harm. */
    void (*prepare)(void);
    /* Write `count` elements of a random draw in a storage type, little-endian, from word `skip` (0 to 3) of Philox block
       `block` on, to `out`, of any alignment. `keys` are the four words of stream purpose main, then those of low. */
    void (*fill)(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block, int skip, uint64_t count,
                 unsigned char *out);
    /* Of an orthogonal matrix, for float and for double: columns of Gaussian numbers in a panel to Householder vectors, the
       first `count` of them, with T and X; and WIDTH columns, the `group`-th, of the matrix, all of whose panels are there. */
    void (*reflect[2])(uint64_t rows, uint64_t padded, int count, void *panel, void *t, double *x);
    void (*columns[2])(const fanin_matrix *matrix, uint64_t group, void *work);
} fanin_level;

/* The columns of the float64 table that are not zero in every row. */
enum { FANIN_TERMS_F64 = 16 };
static const int fanin_powers_f64[FANIN_TERMS_F64] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 18, 24};

extern const fanin_level fanin_baseline, fanin_avx2, fanin_avx512;

void fanin_make_orthogonal(const fanin_level *level, const fanin_matrix *matrix, int threads);

/* Philox rounds, with what is the same for all blocks of a call: the key, and the upper half of the block number. Of the
   first two rounds, half is the same for all; of the third, one word. */
typedef struct {
    uint32_t first2, second0, second2, third2; /* what is added, modulo 2, to the upper halves of products */
    uint32_t k0[10], k1[10];
} fanin_rounds;

static inline fanin_rounds fanin_rounds_of(const uint32_t key[4], uint64_t block)
{
    fanin_rounds rounds;
    for (uint32_t n = 0; n < 10; n++) {
        rounds.k0[n] = key[0] + n * 0x9E3779B9u;
        rounds.k1[n] = key[1] + n * 0xBB67AE85u;
    }
    const uint64_t p1 = (uint64_t)0xCD9E8D57u * key[2];
    const uint32_t c0 = (uint32_t)(p1 >> 32) ^ (uint32_t)(block >> 32) ^ rounds.k0[0];
    const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
    rounds.first2 = key[3] ^ rounds.k1[0];
    rounds.second0 = (uint32_t)p1 ^ rounds.k0[1];
    rounds.second2 = (uint32_t)(p0 >> 32) ^ rounds.k1[1];
    rounds.third2 = (uint32_t)p0 ^ rounds.k1[2];
    return rounds;
}

static inline void fanin_put(unsigned char *out, uint64_t bits, int size)
{
    for (int n = 0; n < size; n++) out[n] = (unsigned char)(bits >> (8 * n));
}

/* A value in a storage type other than F64. */
static inline void fanin_store(float value, int dtype, unsigned char *out)
{
    uint32_t bits = fanin_bits(value);
    switch (dtype) {
    case FANIN_BF16: bits = fanin_narrow_bf16(value); break;
    case FANIN_F16: bits = fanin_narrow(value, 11, -14, 2); break;
    case FANIN_F8_E4M3: bits = fanin_narrow(value, 4, -6, 1); break;
    case FANIN_F8_E5M2: bits = fanin_narrow(value, 3, -14, 1); break;
    }
    fanin_put(out, bits, fanin_sizes[dtype]);
}

/* Values of `width` bytes each, in a storage type. */
static inline void fanin_store_many(const void *values, size_t width, uint64_t count, int dtype, unsigned char *out)
{
    if (dtype <= FANIN_F32 && FANIN_LITTLE_ENDIAN) {
        memcpy(out, values, count * width);
        return;
    }
    for (uint64_t n = 0; n < count; n++)
        if (dtype == FANIN_F64)
            fanin_put(out + 8 * n, fanin_bits64(((const double *)values)[n]), 8);
        else
            fanin_store(((const float *)values)[n], dtype, out + n * fanin_sizes[dtype]);
}

#endif
