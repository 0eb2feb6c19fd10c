/* What the parts of the native backend share. */
#ifndef FANIN_NATIVE_H
#define FANIN_NATIVE_H

#include "fanin_kernels.h"

#include <stddef.h>

enum { FANIN_UNIFORM, FANIN_NORMAL, FANIN_TRUNCATED };                              /* laws */
enum { FANIN_F64, FANIN_F32, FANIN_BF16, FANIN_F16, FANIN_F8_E4M3, FANIN_F8_E5M2 }; /* storage types */
enum { FANIN_CHUNK = 512 };                                                         /* elements per pass, in L1 */
enum { FANIN_GROUP = 64 };                                                          /* elements that levels make at once */

/* One level of instructions. */
typedef struct {
    /* Called before the others, on a processor that has the instructions; twice does no harm. */
    void (*prepare)(void);
    /* The float32 values of Philox blocks [block, block + blocks), a multiple of FANIN_GROUP / 4, to `out`. */
    void (*values)(const fanin_draw *draw, int law, const uint32_t key[4], uint64_t block, size_t blocks, float *out);
    /* `count` values, at most FANIN_CHUNK and with FANIN_GROUP more behind them, in a storage type other than F64, little-endian, of any alignment. */
    void (*store)(const float *values, size_t count, int dtype, unsigned char *out);
    /* The same in float64; the keys of stream purpose low follow those of main. */
    void (*values64)(const fanin_draw *draw, int law, const uint32_t keys[8], uint64_t block, size_t blocks, double *out);
    /* Whether values may go to an address of any alignment, in the byte order of storage. */
    int in_place;
} fanin_level;

/* The columns of the float64 table that are not zero in every row. */
enum { FANIN_TERMS_F64 = 16 };
static const int fanin_powers_f64[FANIN_TERMS_F64] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 18, 24};

extern const fanin_level fanin_avx512, fanin_avx2;

static inline void fanin_put(unsigned char *out, uint64_t bits, int size)
{
    for (int n = 0; n < size; n++) out[n] = (unsigned char)(bits >> (8 * n));
}

/* Compiled anew in each file, for its instructions: packed first, in a loop that compilers make vectors of. A file that has
   an instruction for F16, rounding as we do, defines FANIN_HALVES, how many it packs, and pack_halves. */
static inline void fanin_store(const float *values, size_t count, int dtype, unsigned char *out)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FANIN_PUT(packed) memcpy(out, packed, count * sizeof packed[0])
#else
#define FANIN_PUT(packed) for (size_t n = 0; n < count; n++) fanin_put(out + n * sizeof packed[0], packed[n], sizeof packed[0])
#endif
#define FANIN_STORE(type, bits)                                                                                      \
    do {                                                                                                             \
        type packed[FANIN_CHUNK];                                                                                    \
        for (size_t n = 0; n < count; n++) packed[n] = (type)(bits);                                                 \
        FANIN_PUT(packed);                                                                                           \
    } while (0)
    switch (dtype) {
    case FANIN_F32: FANIN_STORE(uint32_t, fanin_bits(values[n])); break;
    case FANIN_BF16: FANIN_STORE(uint16_t, fanin_narrow_bf16(values[n])); break;
#ifdef FANIN_HALVES
    case FANIN_F16: {
        uint16_t packed[FANIN_CHUNK];
        for (size_t n = 0; n < count; n += FANIN_HALVES) pack_halves(values + n, packed + n);
        FANIN_PUT(packed);
        break;
    }
#else
    case FANIN_F16: FANIN_STORE(uint16_t, fanin_narrow(values[n], 11, -14, 2)); break;
#endif
    case FANIN_F8_E4M3: FANIN_STORE(uint8_t, fanin_narrow(values[n], 4, -6, 1)); break;
    case FANIN_F8_E5M2: FANIN_STORE(uint8_t, fanin_narrow(values[n], 3, -14, 1)); break;
    }
#undef FANIN_STORE
#undef FANIN_PUT
}

#endif
