/* The CUDA kernels: loops over the element functions. NVRTC takes them as one source (backends/source.py).

   Kernel fanin_<law>_<storage type> writes `count` elements of a random draw, from word `skip` (0 to 3) of Philox
   block `block` on, to `out`. Each thread takes one Philox block at a time, for any grid. */
#include "fanin_kernels.h"

/* Four words of stream purpose main, then those of low: a struct, so that it is passed by value. */
typedef struct {
    uint32_t word[8];
} fanin_keys;

FANIN_FUNCTION float fanin_uniform(const fanin_draw *draw, uint32_t word)
{
    return fanin_place(draw, fanin_symmetric_unit(word));
}

FANIN_FUNCTION float fanin_normal(const fanin_draw *draw, uint32_t word)
{
    return fanin_place(draw, fanin_standard_normal(draw, word));
}

FANIN_FUNCTION double fanin_uniform64(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    return fanin_place64(draw, fanin_symmetric_unit64(word, low));
}

FANIN_FUNCTION double fanin_normal64(const fanin_draw *draw, uint32_t word, uint32_t low)
{
    return fanin_place64(draw, fanin_standard_normal64(draw, word, low));
}

/* `words` fills main_words (and low_words) of Philox block b; `element` is the value to store of word n. */
#define FANIN_KERNEL(name, type, words, element)                                                                     \
    extern "C" __global__ void name(fanin_draw draw, fanin_keys keys, uint64_t block, uint32_t skip, uint64_t count, \
                                    type *out)                                                                       \
    {                                                                                                                \
        const uint64_t blocks = count ? (skip + count - 1) / 4 + 1 : 0;                                              \
        const uint64_t threads = (uint64_t)gridDim.x * blockDim.x;                                                   \
        for (uint64_t b = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; b < blocks; b += threads) {               \
            uint32_t main_words[4], low_words[4];                                                                    \
            (void)low_words;                                                                                         \
            words;                                                                                                   \
            for (uint32_t n = 0; n < 4; n++) {                                                                       \
                /* Wraps for the skipped words of the first block, and is then far beyond `count`. */                \
                const uint64_t i = 4 * b + n - skip;                                                                 \
                if (i < count) out[i] = (type)(element);                                                             \
            }                                                                                                        \
        }                                                                                                            \
    }

#define FANIN_MAIN_WORDS fanin_philox(keys.word, block + b, main_words)
#define FANIN_BOTH_WORDS FANIN_MAIN_WORDS, fanin_philox(keys.word + 4, block + b, low_words)

#define FANIN_KERNELS(law)                                                                                           \
    FANIN_KERNEL(law##_F64, double, FANIN_BOTH_WORDS, law##64(&draw, main_words[n], low_words[n]))                   \
    FANIN_KERNEL(law##_F32, float, FANIN_MAIN_WORDS, law(&draw, main_words[n]))                                      \
    FANIN_KERNEL(law##_BF16, unsigned short, FANIN_MAIN_WORDS, fanin_narrow_bf16(law(&draw, main_words[n])))         \
    FANIN_KERNEL(law##_F16, unsigned short, FANIN_MAIN_WORDS, fanin_narrow(law(&draw, main_words[n]), 11, -14, 2))   \
    FANIN_KERNEL(law##_F8_E4M3, unsigned char, FANIN_MAIN_WORDS, fanin_narrow(law(&draw, main_words[n]), 4, -6, 1))  \
    FANIN_KERNEL(law##_F8_E5M2, unsigned char, FANIN_MAIN_WORDS, fanin_narrow(law(&draw, main_words[n]), 3, -14, 1))

FANIN_KERNELS(fanin_uniform)
FANIN_KERNELS(fanin_normal)
