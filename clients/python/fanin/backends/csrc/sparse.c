/* Sparse tensors: which elements are zero. Equal to backends/permutations.py. */
#include "native.h"
#include "threads.h"

/* A permutation of `size` rows (SPEC.md section 6.11). A row is a pair of digits, below `first` and below `second`. The
   number of rounds is even. */
typedef struct {
    uint64_t size, first, second, rounds;
} permutation;

/* Returns digit + random, modulo `limit`. The random number comes from the first word of the block. */
static inline uint64_t moved(const uint32_t key[4], uint64_t block, uint64_t digit, uint64_t limit)
{
    uint32_t words[4];
    fanin_philox(key, block, words);
    digit += words[0] * limit >> 32;
    return digit < limit ? digit : digit - limit;
}

/* Returns the index of a row in the permutation of its line. */
static inline uint64_t permuted(const permutation *rows, const uint32_t key[4], uint64_t line, uint64_t row)
{
    do {
        uint64_t x = row / rows->second, y = row % rows->second;
        for (uint64_t round = 0; round < rows->rounds; round += 2) {
            x = moved(key, (line << 22) + (round << 16) + y, x, rows->first);
            y = moved(key, (line << 22) + ((round + 1) << 16) + x, y, rows->second);
        }
        row = x * rows->second + y;
    } while (row >= rows->size);
    return row;
}

/* A sparse tensor: `zeros` elements of each line are zero, and neighbours in a line are `inner` positions apart. The result
   goes to `is_zero`, one byte for each of `count` positions. */
typedef struct {
    permutation rows;
    uint64_t inner, zeros, count;
    const uint64_t *positions;
    unsigned char *is_zero;
    uint32_t key[4];
} fanin_sparse;

typedef struct {
    const fanin_sparse *task;
    uint64_t next; /* index of the next position that no thread has taken */
} marking;

static void mark(void *context)
{
    enum { TAKEN = 256 }; /* positions that a thread takes at a time */
    marking *all = context;
    const fanin_sparse *task = all->task;
    for (uint64_t at; (at = __atomic_fetch_add(&all->next, TAKEN, __ATOMIC_RELAXED)) < task->count;)
        for (uint64_t n = at; n < task->count && n < at + TAKEN; n++) {
            const uint64_t above = task->positions[n] / task->inner, row = above % task->rows.size;
            const uint64_t line = above / task->rows.size * task->inner + task->positions[n] % task->inner;
            task->is_zero[n] = permuted(&task->rows, task->key, line, row) < task->zeros;
        }
}

/* Writes task->is_zero, in up to `threads` threads. */
FANIN_EXPORT void fanin_mark_zeros(const fanin_sparse *task, int threads)
{
    marking all = {.task = task};
    if (threads > 1 && task->count >= 1024)
        fanin_together(mark, &all, threads);
    else
        mark(&all);
}
