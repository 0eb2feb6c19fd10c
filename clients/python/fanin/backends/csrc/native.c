/* The native backend: element ranges, shared out among threads, at one of several levels of instructions. Called through
   ctypes. */
#include "native.h"
#include "threads.h"

#include <pthread.h>

#define FANIN_EXPORT __attribute__((visibility("default")))

/* Bumped when the meaning of an argument changes, so that a stale library is refused. */
FANIN_EXPORT int fanin_abi(void) { return 5; }

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

static const fanin_level *levels[3]; /* that have been asked for: asking the processor takes as long as a small tensor */

/* Whether level `number` can be used; it must not be before this has been asked. */
FANIN_EXPORT int fanin_has_level(int number)
{
    const fanin_level *level = level_of(number);
    if (level) {
        level->prepare();
        levels[number] = level;
    }
    return level != NULL;
}

enum { FANIN_CONSTANT = 3 }; /* a law of its own, beside those of draws */
enum { PART = 1 << 14 };     /* least elements that are worth taking: some microseconds */

typedef struct {
    fanin_draw draw;
    unsigned char bits[8]; /* of a constant, as stored */
    int32_t law, dtype;
} fanin_law;

/* `count` elements of the law at place `law`, from word `skip` (0 to 3) of Philox block `block` on, to `out`. `keys` are the
   four words of stream purpose main, then those of low. */
typedef struct {
    uint64_t block, count;
    unsigned char *out;
    uint32_t keys[8];
    uint32_t law, skip;
} fanin_range;

/* `count` elements of the same bits. */
static void repeat(const unsigned char *bits, int size, uint64_t count, unsigned char *out)
{
    unsigned char pattern[4096];
    const uint64_t total = count * size;
    int same = 1;
    for (int n = 1; n < size; n++) same &= bits[n] == bits[0];
    if (same) {
        memset(out, bits[0], total);
        return;
    }
    const uint64_t first = total < sizeof pattern ? total : sizeof pattern;
    for (uint64_t n = 0; n < first; n += size) memcpy(pattern + n, bits, size);
#ifdef FANIN_X86
    /* As memset does: whole lines are written without being read. */
    if (total >= sizeof pattern) {
        uint64_t word, words = total / 8;
        unsigned char *at = out;
        memcpy(&word, pattern, 8);
        __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
        memcpy(at, pattern, total % 8);
        return;
    }
#endif
    for (uint64_t n = 0; n < total; n += first) memcpy(out + n, pattern, total - n < first ? total - n : first);
}

/* Elements [start, stop) of a range. */
static void fill_part(const fanin_level *level, const fanin_law *laws, const fanin_range *range, uint64_t start, uint64_t stop)
{
    const fanin_law *law = laws + range->law;
    if (start == stop) return; /* an empty range may name a law that is not there */
    unsigned char *out = range->out + start * fanin_sizes[law->dtype];
    if (law->law == FANIN_CONSTANT)
        repeat(law->bits, fanin_sizes[law->dtype], stop - start, out);
    else
        level->fill(&law->draw, law->law, law->dtype, range->keys, range->block + (range->skip + start) / 4,
                    (range->skip + start) % 4, stop - start, out);
}

/* What threads share: where the next part begins, and how many elements are left from there. */
typedef struct {
    const fanin_level *level;
    const fanin_law *laws;
    const fanin_range *ranges;
    int threads;
    pthread_mutex_t lock;
    uint64_t count, range, element, left;
} sharing;

/* Parts become smaller towards the end, so that threads end together. */
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
            /* Cut between groups of blocks, so that both parts are made whole vectors at a time. */
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
            fill_part(all->level, all->laws, all->ranges + range, element, all->ranges[range].count);
        if (stop) fill_part(all->level, all->laws, all->ranges + range, element, stop);
    }
}

/* Fill `count` ranges of the laws they name, in up to `threads` threads; `level` is one that fanin_has_level. */
FANIN_EXPORT void fanin_fill(const fanin_law *laws, const fanin_range *ranges, uint64_t count, int level, int threads)
{
    sharing all = {
        .level = levels[level],
        .laws = laws,
        .ranges = ranges,
        .threads = threads,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .count = count,
    };
    for (uint64_t n = 0; n < count; n++) all.left += ranges[n].count;
    if (threads > 1 && all.left >= 8 * PART) {
        fanin_together(share, &all, threads);
    } else {
        for (uint64_t n = 0; n < count; n++) fill_part(all.level, laws, ranges + n, 0, ranges[n].count);
    }
    pthread_mutex_destroy(&all.lock);
}

/* How the rows of a line are permuted (SPEC.md section 6.11): pairs of digits below `first` and below `second`, in an even
   number of rounds. */
typedef struct {
    uint64_t size, first, second, rounds;
} fanin_rows;

/* A digit below `limit`, moved on by the first word of a block. */
static inline uint64_t fanin_moved(const uint32_t key[4], uint64_t block, uint64_t digit, uint64_t limit)
{
    uint32_t words[4];
    fanin_philox(key, block, words);
    digit += words[0] * limit >> 32;
    return digit < limit ? digit : digit - limit;
}

/* The place of a row in the permutation of its line. */
static inline uint64_t fanin_permuted(const fanin_rows *rows, const uint32_t key[4], uint64_t line, uint64_t row)
{
    do {
        uint64_t x = row / rows->second, y = row % rows->second;
        for (uint64_t round = 0; round < rows->rounds; round += 2) {
            x = fanin_moved(key, (line << 22) + (round << 16) + y, x, rows->first);
            y = fanin_moved(key, (line << 22) + ((round + 1) << 16) + x, y, rows->second);
        }
        row = x * rows->second + y;
    } while (row >= rows->size);
    return row;
}

/* Which elements of a sparse tensor are zero: `is_zero` of those at `positions`; of each line `zeros` are, whose elements are
   `inner` apart. */
typedef struct {
    fanin_rows rows;
    uint64_t inner, zeros, count;
    const uint64_t *positions;
    unsigned char *is_zero;
    uint32_t key[4];
} fanin_sparse;

typedef struct {
    const fanin_sparse *task;
    uint64_t next; /* position to be taken */
} marking;

static void mark(void *context)
{
    enum { TAKEN = 256 };
    marking *all = context;
    const fanin_sparse *task = all->task;
    for (uint64_t at; (at = __atomic_fetch_add(&all->next, TAKEN, __ATOMIC_RELAXED)) < task->count;)
        for (uint64_t n = at; n < task->count && n < at + TAKEN; n++) {
            const uint64_t above = task->positions[n] / task->inner, row = above % task->rows.size;
            const uint64_t line = above / task->rows.size * task->inner + task->positions[n] % task->inner;
            task->is_zero[n] = fanin_permuted(&task->rows, task->key, line, row) < task->zeros;
        }
}

/* In up to `threads` threads. */
FANIN_EXPORT void fanin_mark_zeros(const fanin_sparse *task, int threads)
{
    marking all = {.task = task};
    if (threads > 1 && task->count >= 1024)
        fanin_together(mark, &all, threads);
    else
        mark(&all);
}

/* Write a whole orthogonal matrix in up to `threads` threads, each of which has its own part of matrix->work. */
FANIN_EXPORT void fanin_orthogonal(const fanin_matrix *matrix, int level, int threads)
{
    fanin_make_orthogonal(levels[level], matrix, threads);
}
