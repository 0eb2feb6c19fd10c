/* The native backend: fills ranges of elements in several threads, at one of several levels of instructions. Python calls
   it through ctypes. */
#include "native.h"
#include "threads.h"

#include <pthread.h>

/* Changes with the meaning of any argument, so that Python refuses a library of another version. */
FANIN_EXPORT int fanin_abi(void) { return 9; }

/* Sizes that the caller allocates memory by. */
FANIN_EXPORT int fanin_panel(void) { return FANIN_PANEL; }
FANIN_EXPORT int fanin_group_bytes(void) { return FANIN_GROUP_BYTES; }
FANIN_EXPORT int fanin_padding(void) { return FANIN_PADDING; }

#ifdef FANIN_X86
#include <cpuid.h>
/* __builtin_cpu_supports accepts "f16c" only from gcc 11 and clang 18 on. */
static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

/* Returns a level by its number, from the simplest on. NULL if this processor or this build does not have it. */
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

/* Levels that fanin_has_level has found. Asking the processor takes as long as filling a small tensor. */
static const fanin_level *levels[3];

/* Returns whether a level can be used. Call this before any other function is given the level. */
FANIN_EXPORT int fanin_has_level(int number)
{
    const fanin_level *level = level_of(number);
    if (level) {
        level->prepare();
        levels[number] = level;
    }
    return level != NULL;
}

enum { PART = 1 << 14 }; /* least elements that a thread takes: they take some microseconds, more than taking them does */

/* A draw with its storage type. */
typedef struct {
    fanin_draw draw;
    unsigned char bits[8]; /* a constant, as it is stored */
    int32_t distribution;  /* fanin_distribution */
    int32_t dtype;         /* fanin_dtype */
} fanin_source;

/* `count` elements of the source at index `source`, to be written to `out`. The first has word `skip` (0 to 3) of Philox
   block `block`. `keys` are the four words of stream purpose main, then those of low. */
typedef struct {
    uint64_t block, count;
    unsigned char *out;
    uint32_t keys[8];
    uint32_t source, skip;
} fanin_range;

/* Writes `count` elements with the same bits, as fast as memset writes bytes. */
static void repeat(const unsigned char *bits, int size, uint64_t count, unsigned char *out)
{
    enum { CHUNK = 64 };
    unsigned char pattern[CHUNK];
    const uint64_t total = count * size;
    for (int n = 0; n < size; n++) pattern[n] = bits[n];
    for (int n = size; n < CHUNK; n *= 2) memcpy(pattern + n, pattern, n);
    if (!memcmp(pattern, pattern + 1, CHUNK - 1)) {
        memset(out, bits[0], total);
        return;
    }
    uint64_t at = 0;
#ifdef FANIN_X86
    /* As memset does on large memory. The processor then writes cache lines without reading them first. */
    if (total >= 4096) {
        uint64_t word, words = total / 8;
        unsigned char *to = out;
        memcpy(&word, pattern, 8);
        __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(word) : "memory");
        at = total - total % 8;
    }
#endif
    for (; at + CHUNK <= total; at += CHUNK) memcpy(out + at, pattern, CHUNK);
    memcpy(out + at, pattern, total - at);
}

/* Writes elements [start, stop) of a range. */
static void fill_part(const fanin_level *level, const fanin_source *sources, const fanin_range *range, uint64_t start,
                      uint64_t stop)
{
    const fanin_source *source = sources + range->source;
    if (start == stop) return;
    unsigned char *out = range->out + start * fanin_sizes[source->dtype];
    if (source->distribution == FANIN_CONSTANT)
        repeat(source->bits, fanin_sizes[source->dtype], stop - start, out);
    else
        level->fill(&source->draw, (fanin_distribution)source->distribution, (fanin_dtype)source->dtype, range->keys,
                    range->block + (range->skip + start) / 4, (range->skip + start) % 4, stop - start, out);
}

/* Work that threads share. `lock` protects the last row: the next part begins at element `element` of range `range`, and
   `left` elements follow from there. */
typedef struct {
    const fanin_level *level;
    const fanin_source *sources;
    const fanin_range *ranges;
    uint64_t count;
    int threads;
    pthread_mutex_t lock;
    uint64_t range, element, left;
} sharing;

/* Takes parts and fills them until none is left. Parts become smaller towards the end, so that all threads end at about the
   same time. */
static void share(void *context)
{
    sharing *all = context;
    for (;;) {
        pthread_mutex_lock(&all->lock);
        uint64_t range = all->range, element = all->element;
        uint64_t size = all->left / (2 * all->threads);
        if (size < PART) size = PART;
        while (size && all->range < all->count) {
            const fanin_range *at = all->ranges + all->range;
            /* A part ends between groups of vectors. Otherwise it and the next part would each write a group through a
               buffer. */
            const uint64_t stop = ((at->skip + all->element + size + 63) & ~(uint64_t)63) - at->skip;
            const uint64_t taken = (stop < at->count ? stop : at->count) - all->element;
            all->element += taken;
            all->left -= taken;
            size -= taken < size ? taken : size;
            if (all->element == at->count) {
                all->range++;
                all->element = 0;
            }
        }
        const uint64_t last = all->range, stop = all->element;
        pthread_mutex_unlock(&all->lock);
        if (range == last && element == stop) return;
        for (; range < last; range++, element = 0)
            fill_part(all->level, all->sources, all->ranges + range, element, all->ranges[range].count);
        if (stop) fill_part(all->level, all->sources, all->ranges + range, element, stop);
    }
}

/* Fills `count` ranges in up to `threads` threads. fanin_has_level must have returned true for `level`. */
FANIN_EXPORT void fanin_fill(const fanin_source *sources, const fanin_range *ranges, uint64_t count, int level, int threads)
{
    sharing all = {
        .level = levels[level],
        .sources = sources,
        .ranges = ranges,
        .threads = threads,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .count = count,
    };
    for (uint64_t n = 0; n < count; n++) all.left += ranges[n].count;
    if (threads > 1 && all.left >= 8 * PART) {
        fanin_together(share, &all, threads);
    } else {
        for (uint64_t n = 0; n < count; n++) fill_part(all.level, sources, ranges + n, 0, ranges[n].count);
    }
    pthread_mutex_destroy(&all.lock);
}

/* Writes columns of an orthogonal matrix in up to `threads` threads. matrix->work has memory for that many. */
FANIN_EXPORT void fanin_orthogonal(const fanin_matrix *matrix, int level, int threads)
{
    fanin_make_orthogonal(levels[level], matrix, threads);
}

/* Writes the zeros of a sparse tensor over its elements, in up to `threads` threads. */
FANIN_EXPORT void fanin_clear_zeros(const fanin_sparse *task, int level, int threads) { fanin_clear(levels[level], task, threads); }

/* Writes magnitudes of groups, or codes, in up to `threads` threads. */
FANIN_EXPORT void fanin_quantize(const fanin_groups *task, int level, int threads)
{
    fanin_quantize_steps(levels[level], task, threads);
}
