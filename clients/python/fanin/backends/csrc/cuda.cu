/* The CUDA kernels: loops over the element functions. NVRTC takes them as one source (backends/source.py).

   Kernel fanin_<distribution>_<storage type> writes `count` elements of a draw, from word `skip` (0 to 3) of Philox block
   `block` on, to `out`. A thread makes one unit at a time, for any grid: the elements of as many Philox blocks as fill
   16 bytes. Where the first block's words begin at a multiple of 16 bytes, whole units are stored 16 bytes at a time. */
#define FANIN_SHARED __shared__
#include "fanin_kernels.h"

#ifdef __CUDACC__
#define FANIN_UNROLL _Pragma("unroll") /* arrays of a thread stay in registers */
#else
#define FANIN_UNROLL
#endif

/* Four words of stream purpose main, then those of low: a struct, so that it is passed by value. */
typedef struct {
    uint32_t word[8];
} fanin_keys;

typedef struct __align__(16) {
    uint32_t word[4];
} fanin_vector;

/* The tables, copied by all threads of the block. */
FANIN_FUNCTION void fanin_share(float *near, const float *table, uint32_t size)
{
    for (uint32_t n = threadIdx.x; n < size; n += blockDim.x) near[n] = table[n];
    __syncthreads();
}

FANIN_FUNCTION void fanin_share64(double *near, const double *table, uint32_t size)
{
    for (uint32_t n = threadIdx.x; n < size; n += blockDim.x) near[n] = table[n];
    __syncthreads();
}

#define FANIN_SHARE fanin_share(fanin_near_f32, fanin_normal_f32, FANIN_ROWS_F32 *FANIN_COEFFICIENTS_F32)
#define FANIN_SHARE64 fanin_share64(fanin_near_f64, fanin_normal_f64, FANIN_ROWS_F64 *FANIN_COEFFICIENTS_F64)

/* Elements: the value of a word, and for float64 of a word and its 32 further bits. A constant is its draw's offset. */
FANIN_FUNCTION float fanin_constant(const fanin_draw *draw, uint32_t word)
{
    (void)word;
    return fanin_f32(draw->offset);
}

FANIN_FUNCTION float fanin_uniform(const fanin_draw *draw, uint32_t word)
{
    return fanin_place(draw, fanin_symmetric_unit(word));
}

FANIN_FUNCTION float fanin_normal(const fanin_draw *draw, uint32_t word)
{
    return fanin_place(draw, fanin_standard_normal(draw, word));
}

FANIN_FUNCTION double fanin_constant64(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    (void)word, (void)low;
    return draw->offset;
}

FANIN_FUNCTION double fanin_uniform64(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    return fanin_place64(draw, fanin_symmetric_unit64(word, low));
}

FANIN_FUNCTION double fanin_normal64(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    return fanin_place64(draw, fanin_standard_normal64(draw, word, low));
}

/* Element n of `size` bytes at its place in a sequence of words; elements come in order. */
FANIN_FUNCTION void fanin_pack(uint32_t *packed, uint32_t n, uint32_t size, uint64_t bits)
{
    if (size == 8) {
        packed[2 * n] = (uint32_t)bits;
        packed[2 * n + 1] = (uint32_t)(bits >> 32);
    } else {
        const uint32_t at = n * size / 4, shift = n * size % 4 * 8;
        packed[at] = (shift ? packed[at] : 0) | (uint32_t)bits << shift;
    }
}

/* `type` holds the bits of an element; `prepare` comes once for each thread; `words` fills main_words (and low_words)
   from Philox block `at` on; `element` is the bits of word n. */
#define FANIN_KERNEL(name, type, prepare, words, element)                                                            \
    extern "C" __global__ void name(fanin_draw draw, fanin_keys keys, uint64_t block, uint32_t skip, uint64_t count, \
                                    void *out)                                                                       \
    {                                                                                                                \
        enum { BLOCKS = sizeof(type) < 4 ? 4 / sizeof(type) : 1, UNIT = 4 * BLOCKS };                                \
        enum { VECTORS = UNIT * sizeof(type) / 16 };                                                                 \
        const uint64_t units = count ? (skip + count - 1) / UNIT + 1 : 0;                                            \
        const uint64_t threads = (uint64_t)gridDim.x * blockDim.x;                                                   \
        const int aligned = ((uint64_t)out - skip * sizeof(type)) % 16 == 0;                                         \
        prepare;                                                                                                     \
        for (uint64_t u = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; u < units; u += threads) {                \
            type bits[UNIT];                                                                                         \
            FANIN_UNROLL for (uint32_t b = 0; b < BLOCKS; b++) {                                                     \
                const uint64_t at = block + u * BLOCKS + b;                                                          \
                uint32_t main_words[4], low_words[4];                                                                \
                (void)low_words;                                                                                     \
                words;                                                                                               \
                FANIN_UNROLL for (uint32_t n = 0; n < 4; n++) bits[4 * b + n] = (type)(element);                     \
            }                                                                                                        \
            /* Wraps for the skipped words of the first unit, and is then far beyond `count`. */                     \
            const uint64_t i = u * UNIT - skip;                                                                      \
            if (aligned && i < count && count - i >= UNIT) {                                                         \
                uint32_t packed[4 * VECTORS];                                                                        \
                FANIN_UNROLL for (uint32_t n = 0; n < UNIT; n++) fanin_pack(packed, n, sizeof(type), bits[n]);       \
                FANIN_UNROLL for (uint32_t v = 0; v < VECTORS; v++) {                                                \
                    const uint32_t *w = packed + 4 * v;                                                              \
                    const fanin_vector vector = {{w[0], w[1], w[2], w[3]}};                                          \
                    ((fanin_vector *)((type *)out + i))[v] = vector;                                                 \
                }                                                                                                    \
            } else {                                                                                                 \
                FANIN_UNROLL for (uint32_t n = 0; n < UNIT; n++)                                                     \
                    if (i + n < count) ((type *)out)[i + n] = bits[n];                                               \
            }                                                                                                        \
        }                                                                                                            \
    }

#define FANIN_NONE ((void)keys, (void)at)
#define FANIN_MAIN fanin_philox(keys.word, at, main_words)
#define FANIN_BOTH (FANIN_MAIN, fanin_philox(keys.word + 4, at, low_words))
#define FANIN_VALUE(element) element(&draw, main_words[n])

#define FANIN_KERNELS(element, share, share64, main, both)                                                           \
    FANIN_KERNEL(element##_F64, uint64_t, share64, both, fanin_bits64(element##64(&draw, main_words[n], low_words[n]))) \
    FANIN_KERNEL(element##_F32, uint32_t, share, main, fanin_bits(FANIN_VALUE(element)))                             \
    FANIN_KERNEL(element##_BF16, unsigned short, share, main, fanin_narrow_bf16(FANIN_VALUE(element)))               \
    FANIN_KERNEL(element##_F16, unsigned short, share, main, fanin_narrow(FANIN_VALUE(element), FANIN_F16_FORMAT))         \
    FANIN_KERNEL(element##_F8_E4M3, unsigned char, share, main, fanin_narrow(FANIN_VALUE(element), FANIN_F8_E4M3_FORMAT))        \
    FANIN_KERNEL(element##_F8_E5M2, unsigned char, share, main, fanin_narrow(FANIN_VALUE(element), FANIN_F8_E5M2_FORMAT))

FANIN_KERNELS(fanin_constant, (void)0, (void)0, FANIN_NONE, FANIN_NONE)
FANIN_KERNELS(fanin_uniform, (void)0, (void)0, FANIN_MAIN, FANIN_BOTH)
FANIN_KERNELS(fanin_normal, FANIN_SHARE, FANIN_SHARE64, FANIN_MAIN, FANIN_BOTH)

#include "cuda_orthogonal.h"
