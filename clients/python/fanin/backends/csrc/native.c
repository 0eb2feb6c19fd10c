/* The native backend: passes over the chunks of an element range, at one of several levels of instructions. Called
   through ctypes. */
#include "native.h"

#define FANIN_EXPORT __attribute__((visibility("default")))

/* Bumped when the meaning of an argument changes, so that a stale library is refused. */
FANIN_EXPORT int fanin_abi(void) { return 2; }

static void baseline_fill(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block, int skip,
                          uint64_t count, unsigned char *out)
{
    while (count) {
        /* Whole blocks, so that the next pass starts at a block. */
        const size_t size = count < (uint64_t)(FANIN_CHUNK - skip) ? (size_t)count : (size_t)(FANIN_CHUNK - skip);
        float values[FANIN_CHUNK];
        for (size_t n = 0; n < skip + size; n += 4) {
            uint32_t words[4], low[4];
            fanin_philox(keys, block + n / 4, words);
            if (dtype == FANIN_F64) fanin_philox(keys + 4, block + n / 4, low);
            for (size_t m = 0; m < 4; m++) {
                if (dtype != FANIN_F64) {
                    values[n + m] = fanin_place(draw, law == FANIN_UNIFORM ? fanin_symmetric_unit(words[m])
                                                                           : fanin_standard_normal(draw, words[m]));
                } else if (n + m >= (size_t)skip && n + m < skip + size) {
                    const double value = fanin_place64(draw, law == FANIN_UNIFORM ? fanin_symmetric_unit64(words[m], low[m])
                                                                                  : fanin_standard_normal64(draw, words[m], low[m]));
                    fanin_put(out + 8 * (n + m - skip), fanin_bits64(value), 8);
                }
            }
        }
        if (dtype != FANIN_F64) fanin_store(values + skip, size, dtype, out);
        out += size * fanin_sizes[dtype];
        block += (skip + size) / 4;
        skip = (int)((skip + size) % 4);
        count -= size;
    }
}

static void nothing(void) {}

static const fanin_level baseline = {nothing, baseline_fill};

#ifdef FANIN_X86
#include <cpuid.h>
/* __builtin_cpu_supports knows it only from gcc 11 and clang 18 on. */
static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

/* Level number n, 0 the plainest; NULL where this processor or this build has none of that number. */
static const fanin_level *level_of(int number)
{
    switch (number) {
    case 0: return &baseline;
#ifdef FANIN_X86
    case 1: return __builtin_cpu_supports("avx2") && has_f16c() ? &fanin_avx2 : NULL;
    case 2:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl")
                   ? &fanin_avx512
                   : NULL;
#endif
    default: return NULL;
    }
}

/* Whether level `number` can be used; it must not be before this has been asked. */
FANIN_EXPORT int fanin_has_level(int number)
{
    const fanin_level *level = level_of(number);
    if (level) level->prepare();
    return level != NULL;
}

/* Write `count` elements of a random draw, from word `skip` (0 to 3) of Philox block `block` on, to `out`.
   `keys` are the four words of stream purpose main, then those of low; `level` is one that fanin_has_level. */
FANIN_EXPORT void fanin_fill(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block, int skip,
                             uint64_t count, unsigned char *out, int level)
{
    level_of(level)->fill(draw, law, dtype, keys, block, skip, count, out);
}
