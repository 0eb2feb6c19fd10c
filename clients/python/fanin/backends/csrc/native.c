/* The native backend: loops over the element functions, and little-endian stores. Called through ctypes. */
#include "fanin_kernels.h"

#include <stddef.h>

#define FANIN_EXPORT __attribute__((visibility("default")))

enum { FANIN_UNIFORM, FANIN_NORMAL };                                            /* laws */
enum { FANIN_F64, FANIN_F32, FANIN_BF16, FANIN_F16, FANIN_F8_E4M3, FANIN_F8_E5M2 }; /* storage types */
enum { FANIN_CHUNK = 512 };                                                      /* elements per pass, in L1 */

/* Bumped when the meaning of an argument changes, so that a stale library is refused. */
FANIN_EXPORT int fanin_abi(void) { return 1; }

static void put(unsigned char *out, uint64_t bits, int size)
{
    for (int n = 0; n < size; n++) out[n] = (unsigned char)(bits >> (8 * n));
}

/* words[i] = word first + i of the stream; room for 3 words more than count. Returns the first wanted word. */
static const uint32_t *generate(const uint32_t key[4], uint64_t block, int skip, size_t count, uint32_t *words)
{
    for (size_t n = 0; n < skip + count; n += 4) fanin_philox(key, block + n / 4, words + n);
    return words + skip;
}

/* Write `count` elements of a random draw, from word `skip` (0 to 3) of Philox block `block` on, to `out`.
   `keys` are the four words of stream purpose main, then those of low. */
FANIN_EXPORT void fanin_fill(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block, int skip,
                             uint64_t count, unsigned char *out)
{
    uint32_t main_words[FANIN_CHUNK + 8], low_words[FANIN_CHUNK + 8];
    while (count) {
        /* Whole blocks, so that the next pass starts at a block. */
        size_t size = count < (uint64_t)(FANIN_CHUNK - skip) ? (size_t)count : (size_t)(FANIN_CHUNK - skip);
        const uint32_t *high = generate(keys, block, skip, size, main_words);
        if (dtype == FANIN_F64) {
            const uint32_t *low = generate(keys + 4, block, skip, size, low_words);
            for (size_t n = 0; n < size; n++, out += 8) {
                double x = law == FANIN_UNIFORM ? fanin_symmetric_unit64(high[n], low[n])
                                                : fanin_standard_normal64(draw, high[n], low[n]);
                put(out, fanin_bits64(fanin_place64(draw, x)), 8);
            }
        } else {
            float values[FANIN_CHUNK];
            for (size_t n = 0; n < size; n++) {
                float x = law == FANIN_UNIFORM ? fanin_symmetric_unit(high[n]) : fanin_standard_normal(draw, high[n]);
                values[n] = fanin_place(draw, x);
            }
            switch (dtype) {
            case FANIN_F32:
                for (size_t n = 0; n < size; n++, out += 4) put(out, fanin_bits(values[n]), 4);
                break;
            case FANIN_BF16:
                for (size_t n = 0; n < size; n++, out += 2) put(out, fanin_narrow(values[n], 8, -126, 2), 2);
                break;
            case FANIN_F16:
                for (size_t n = 0; n < size; n++, out += 2) put(out, fanin_narrow(values[n], 11, -14, 2), 2);
                break;
            case FANIN_F8_E4M3:
                for (size_t n = 0; n < size; n++, out += 1) put(out, fanin_narrow(values[n], 4, -6, 1), 1);
                break;
            case FANIN_F8_E5M2:
                for (size_t n = 0; n < size; n++, out += 1) put(out, fanin_narrow(values[n], 3, -14, 1), 1);
                break;
            }
        }
        block += (skip + size) / 4;
        skip = (int)((skip + size) % 4);
        count -= size;
    }
}
