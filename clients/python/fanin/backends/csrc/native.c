/* The native backend: passes over the chunks of an element range, at one of several levels of instructions. Called
   through ctypes. */
#include "native.h"

#define FANIN_EXPORT __attribute__((visibility("default")))

/* Bumped when the meaning of an argument changes, so that a stale library is refused. */
FANIN_EXPORT int fanin_abi(void) { return 2; }

static void baseline_values(const fanin_draw *draw, int law, const uint32_t key[4], uint64_t block, size_t blocks, float *out)
{
    for (size_t at = 0; at < blocks; at++) {
        uint32_t words[4];
        fanin_philox(key, block + at, words);
        for (int n = 0; n < 4; n++)
            *out++ = fanin_place(draw, law == FANIN_UNIFORM ? fanin_symmetric_unit(words[n]) : fanin_standard_normal(draw, words[n]));
    }
}

static void baseline_values64(const fanin_draw *draw, int law, const uint32_t keys[8], uint64_t block, size_t blocks, double *out)
{
    for (size_t at = 0; at < blocks; at++) {
        uint32_t words[4], low[4];
        fanin_philox(keys, block + at, words);
        fanin_philox(keys + 4, block + at, low);
        for (int n = 0; n < 4; n++)
            *out++ = fanin_place64(draw, law == FANIN_UNIFORM ? fanin_symmetric_unit64(words[n], low[n])
                                                              : fanin_standard_normal64(draw, words[n], low[n]));
    }
}

static void nothing(void) {}

static const fanin_level baseline = {nothing, baseline_values, fanin_store, baseline_values64, 0};

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

static void store_f64(const double *values, size_t count, unsigned char *out)
{
    for (size_t n = 0; n < count; n++) fanin_put(out + 8 * n, fanin_bits64(values[n]), 8);
}

/* Write `count` elements of a random draw, from word `skip` (0 to 3) of Philox block `block` on, to `out`.
   `keys` are the four words of stream purpose main, then those of low; `level` is one that fanin_has_level. */
FANIN_EXPORT void fanin_fill(const fanin_draw *draw, int law, int dtype, const uint32_t keys[8], uint64_t block, int skip,
                             uint64_t count, unsigned char *out, int level)
{
    static const int sizes[] = {8, 4, 2, 2, 1, 1};
    const fanin_level *use = level_of(level);
    while (count) {
        /* Whole blocks, so that the next pass starts at a block. */
        size_t size = count < (uint64_t)(FANIN_CHUNK - skip) ? (size_t)count : (size_t)(FANIN_CHUNK - skip);
        /* Whole groups are made, and the rest left out. */
        size_t made = (skip + size + FANIN_GROUP - 1) / FANIN_GROUP * FANIN_GROUP;
        int in_place = use->in_place && (dtype == FANIN_F32 || dtype == FANIN_F64) && skip == 0 && made == size;
        if (dtype == FANIN_F64) {
            double values[FANIN_CHUNK + FANIN_GROUP];
            use->values64(draw, law, keys, block, made / 4, in_place ? (double *)out : values);
            if (!in_place) store_f64(values + skip, size, out);
        } else {
            float values[FANIN_CHUNK + FANIN_GROUP];
            use->values(draw, law, keys, block, made / 4, in_place ? (float *)out : values);
            if (!in_place) use->store(values + skip, size, dtype, out);
        }
        out += size * sizes[dtype];
        block += (skip + size) / 4;
        skip = (int)((skip + size) % 4);
        count -= size;
    }
}
