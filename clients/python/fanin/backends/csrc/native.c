/* The native backend: passes over the chunks of an element range, at one of several levels of instructions. Called
   through ctypes. */
#include "native.h"

#define FANIN_EXPORT __attribute__((visibility("default")))

/* Bumped when the meaning of an argument changes, so that a stale library is refused. */
FANIN_EXPORT int fanin_abi(void) { return 2; }

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
    case 0: return &fanin_baseline;
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
