/* Types and functions that the files of the native backend share. */
#ifndef FANIN_NATIVE_H
#define FANIN_NATIVE_H

#include "fanin_kernels.h"

#include <stddef.h>

#define FANIN_EXPORT __attribute__((visibility("default")))

/* Numbers that backends/packing.py has too. */
typedef enum { FANIN_UNIFORM, FANIN_NORMAL, FANIN_TRUNCATED, FANIN_CONSTANT } fanin_distribution;
typedef enum { FANIN_F64, FANIN_F32, FANIN_BF16, FANIN_F16, FANIN_F8_E4M3, FANIN_F8_E5M2 } fanin_dtype;

static const int fanin_sizes[] = {8, 4, 2, 2, 1, 1}; /* bytes of an element, by storage type */

#define FANIN_LITTLE_ENDIAN (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* ---- orthogonal matrices ---------------------------------------------------------------------------------------- */

enum {
    FANIN_PANEL = 32,        /* columns of a panel */
    FANIN_GROUP_BYTES = 256, /* bytes of one row of the columns that are processed together */
    FANIN_PADDING = 4,       /* the number of rows is rounded up to a multiple of this */
};

/* A matrix and the memory to compute it in. `rows` >= `columns`. If `is_wide`, the result is the transpose. One call makes
   some panels, and some groups of columns from these and earlier panels. */
typedef struct {
    uint64_t rows, columns;
    uint64_t padded;     /* rows, rounded up to a multiple of FANIN_PADDING */
    void *v;             /* Householder vectors, panel by panel, each panel from its first row on; in the compute type */
    void *t;             /* T of each panel, in the compute type */
    double *x;           /* X of each panel */
    unsigned char *work; /* FANIN_GROUP_BYTES for each padded row, for each thread */
    const fanin_draw *normal; /* the standard normal distribution */
    double gain;
    unsigned char *out;
    uint32_t keys[8];
    int32_t dtype; /* fanin_dtype */
    int32_t is_wide;
    uint64_t first_panel, stop_panel;
    uint64_t first_group, stop_group; /* groups of columns with FANIN_GROUP_BYTES in a row */
} fanin_matrix;

static inline uint64_t fanin_panel_at(const fanin_matrix *matrix, uint64_t panel)
{
    return FANIN_PANEL * (panel * matrix->padded - panel * (panel - 1) / 2 * FANIN_PANEL);
}

/* ---- sparse tensors -------------------------------------------------------------------------------------------- */

/* A permutation of `size` rows (SPEC.md section 6.11). A row is a pair of digits, below `first` and below `second`. The
   number of rounds is even, and neither number of digits is above 2^16. */
typedef struct {
    uint64_t size, first, second, rounds;
} fanin_permutation;

/* A sparse tensor: `zeros` elements of each line are zero, and neighbours in a line are `inner` positions apart. `out` has
   the elements at `count` positions from `start` on, `itemsize` bytes each. Those that are zero are overwritten. */
typedef struct {
    fanin_permutation rows;
    uint64_t inner, zeros, start, count, itemsize;
    unsigned char *out;
    uint32_t key[4];
} fanin_sparse;

/* ---- quantized tensors ------------------------------------------------------------------------------------------- */

/* Numbers that backends/native_codes.py has too. */
typedef enum { FANIN_E4M3, FANIN_E2M1, FANIN_I8, FANIN_I4, FANIN_U4 } fanin_element;

/* A row-major matrix, divided into groups of `tall` rows and `wide` columns, which divide `rows` and `columns`. Arrays of
   groups are row-major too. If `codes` is NULL, a call writes two arrays. `below` gets the largest magnitude of the negative
   numbers of each group, `above` that of the others; either is 0 if there are none. If not, it writes the code of each element divided by the divisor
   of its group. `zeros` has the zero points, for FANIN_U4. */
typedef struct {
    const float *values;
    uint64_t rows, columns, tall, wide;
    float *below, *above;
    const float *divisors, *zeros;
    unsigned char *codes;
    int32_t element; /* fanin_element */
} fanin_groups;

/* ---- levels ----------------------------------------------------------------------------------------------------- */

/* One level of instructions. */
typedef struct {
    /* Fills tables. Call it before `fill`, only on a processor that has the instructions. A second call is harmless. */
    void (*prepare)(void);
    /* Writes `count` elements of a random draw, little-endian, to `out`, at any alignment. The first element has word
       `skip` (0 to 3) of Philox block `block`. `keys` are the four words of stream purpose main, then those of low. */
    void (*fill)(const fanin_draw *draw, fanin_distribution distribution, fanin_dtype dtype, const uint32_t keys[8],
                 uint64_t block, int skip, uint64_t count, unsigned char *out);
    /* Writes the first words of `count` Philox blocks from `block` on, under the key `key`. The lower half of the block number
       must not overflow in them. */
    void (*first_words)(const uint32_t key[4], uint64_t block, uint64_t count, uint32_t *out);
    /* Steps of an orthogonal matrix, for float and for double. `reflect` replaces Gaussian columns of a panel by
       Householder vectors, and writes T and X. `columns` then computes one group of columns, once the panels up to its last column are done. */
    void (*reflect[2])(uint64_t rows, uint64_t padded, int count, void *panel, void *t, double *x);
    void (*columns[2])(const fanin_matrix *matrix, uint64_t group, void *work);
    /* Steps of quantized tensors: one group, and one row. */
    void (*group_magnitudes)(const fanin_groups *task, uint64_t group);
    void (*codes_of_row)(const fanin_groups *task, uint64_t row);
} fanin_level;

/* Degrees of the float64 polynomials whose coefficients are not zero in every row. */
enum { FANIN_TERMS_F64 = 16 };
static const int fanin_powers_f64[FANIN_TERMS_F64] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 18, 24};

extern const fanin_level fanin_baseline, fanin_avx2, fanin_avx512;

void fanin_make_orthogonal(const fanin_level *level, const fanin_matrix *matrix, int threads);
void fanin_clear(const fanin_level *level, const fanin_sparse *task, int threads);
void fanin_quantize_steps(const fanin_level *level, const fanin_groups *task, int threads);

/* The parts of Philox rounds that all blocks of a call share: they depend on the key and the upper half of the block
   number only. These are half of each of the first two rounds, and one word of the third. */
typedef struct {
    uint32_t first2, second0, second2, third2; /* combined by exclusive or with the upper halves of products */
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

/* Writes a value in a storage type other than F64. */
static inline void fanin_store(float value, fanin_dtype dtype, unsigned char *out)
{
    uint32_t bits = fanin_bits(value);
    switch (dtype) {
    case FANIN_F64:
    case FANIN_F32: break;
    case FANIN_BF16: bits = fanin_narrow_bf16(value); break;
    case FANIN_F16: bits = fanin_narrow(value, FANIN_F16_FORMAT); break;
    case FANIN_F8_E4M3: bits = fanin_narrow(value, FANIN_F8_E4M3_FORMAT); break;
    case FANIN_F8_E5M2: bits = fanin_narrow(value, FANIN_F8_E5M2_FORMAT); break;
    }
    fanin_put(out, bits, fanin_sizes[dtype]);
}

/* Writes values of the compute type, `width` bytes each, in a storage type. */
static inline void fanin_store_many(const void *values, size_t width, uint64_t count, fanin_dtype dtype, unsigned char *out)
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
