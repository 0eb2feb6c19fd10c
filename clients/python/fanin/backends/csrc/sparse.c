/* Sparse tensors: writes the zeros. The permutations are those of backends/permutations.py. */
#include "native.h"
#include "threads.h"

#include <stdlib.h>

enum { LINES = 64 }; /* lines that a thread takes at a time: neighbours often share cache lines of `out` */

typedef struct {
    const fanin_level *level;
    const fanin_sparse *task;
    uint64_t lines; /* number of lines, or of positions if these are fewer */
    uint64_t next;  /* index of the next one that no thread has taken */
} marking;

/* ---- permutations ------------------------------------------------------------------------------------------- */

/* The number that a round adds to a digit depends on the line, the round and the other digit only. `shifts` has these
   numbers for one line, `first` of them for each round. It is NULL if they are not known in advance. */
typedef struct {
    fanin_permutation rows;
    uint64_t line;
    const uint32_t *key;
    const uint16_t *shifts;
} permuter;

static inline uint64_t block_of(uint64_t line, uint64_t round) { return (line << 22) + (round << 16); }

/* The number that round `round` adds to a digit below `limit`, where the other digit is `other`. */
static inline uint64_t shift_of(const permuter *line, uint64_t round, uint64_t other, uint64_t limit)
{
    if (line->shifts) return line->shifts[round * line->rows.first + other];
    uint32_t words[4];
    fanin_philox(line->key, block_of(line->line, round) + other, words);
    return words[0] * limit >> 32;
}

/* Returns the index of a row in the permutation of the line. */
static inline uint64_t index_of(const permuter *line, uint64_t row)
{
    const uint64_t first = line->rows.first, second = line->rows.second;
    do {
        uint64_t x = row / second, y = row % second;
        for (uint64_t round = 0; round < line->rows.rounds; round += 2) {
            x += shift_of(line, round, y, first);
            if (x >= first) x -= first;
            y += shift_of(line, round + 1, x, second);
            if (y >= second) y -= second;
        }
        row = x * second + y;
    } while (row >= line->rows.size);
    return row;
}

/* Returns the row at an index of the permutation: the inverse of index_of. */
static inline uint64_t row_at(const permuter *line, uint64_t index)
{
    const uint64_t first = line->rows.first, second = line->rows.second;
    do {
        uint64_t x = index / second, y = index % second;
        for (uint64_t round = line->rows.rounds; round > 0; round -= 2) {
            const uint64_t from_y = shift_of(line, round - 1, x, second);
            y = y < from_y ? y + second - from_y : y - from_y;
            const uint64_t from_x = shift_of(line, round - 2, y, first);
            x = x < from_x ? x + first - from_x : x - from_x;
        }
        index = x * second + y;
    } while (index >= line->rows.size);
    return index;
}

static void make_shifts(const fanin_level *level, const permuter *line, uint16_t *shifts)
{
    enum { TAKEN = 256 };
    uint32_t words[TAKEN];
    for (uint64_t round = 0; round < line->rows.rounds; round++) {
        /* Even rounds change the first digit and depend on the second one. */
        const uint64_t limit = round % 2 ? line->rows.second : line->rows.first;
        const uint64_t count = round % 2 ? line->rows.first : line->rows.second;
        for (uint64_t from = 0; from < count; from += TAKEN) {
            const uint64_t taken = count - from < TAKEN ? count - from : TAKEN;
            level->first_words(line->key, block_of(line->line, round) + from, taken, words);
            uint16_t *at = shifts + round * line->rows.first + from;
            for (uint64_t n = 0; n < taken; n++) at[n] = (uint16_t)(words[n] * limit >> 32);
        }
    }
}

/* ---- lines -------------------------------------------------------------------------------------------------- */

static inline void clear(const fanin_sparse *task, uint64_t position)
{
    unsigned char *at = task->out + (position - task->start) * task->itemsize;
    switch (task->itemsize) {
    case 1: *at = 0; break;
    case 2: memset(at, 0, 2); break;
    case 4: memset(at, 0, 4); break;
    default: memset(at, 0, 8);
    }
}

/* Clears the zeros among rows [from, to) of a line. `memory` has space for the shifts of a line, or is NULL. */
static void clear_line(const marking *all, uint64_t line, uint64_t from, uint64_t to, uint16_t *memory)
{
    const fanin_sparse *task = all->task;
    const uint64_t base = line / task->inner * task->inner * task->rows.size + line % task->inner;
    permuter own = {.rows = task->rows, .line = line, .key = task->key};
    /* A vector makes 8 or 16 shifts in the time of two. So all of them take less time than those of few rows. */
    if (memory && (to - from) * 8 >= task->rows.first) {
        make_shifts(all->level, &own, memory);
        own.shifts = memory;
    }
    if (task->zeros < to - from) {
        for (uint64_t index = 0; index < task->zeros; index++) {
            const uint64_t row = row_at(&own, index);
            if (row >= from && row < to) clear(task, base + row * task->inner);
        }
    } else {
        for (uint64_t row = from; row < to; row++)
            if (index_of(&own, row) < task->zeros) clear(task, base + row * task->inner);
    }
}

/* Returns how many rows of a line are before position `stop`. The line begins at `base`. */
static inline uint64_t rows_before(const fanin_sparse *task, uint64_t base, uint64_t stop)
{
    if (stop <= base) return 0;
    const uint64_t rows = (stop - base - 1) / task->inner + 1;
    return rows < task->rows.size ? rows : task->rows.size;
}

static void clear_lines(void *context)
{
    marking *all = context;
    const fanin_sparse *task = all->task;
    const uint64_t period = task->inner * task->rows.size, first = task->start / period * task->inner;
    uint16_t *const memory = malloc(task->rows.rounds * task->rows.first * sizeof *memory + 1);
    for (uint64_t at; (at = __atomic_fetch_add(&all->next, LINES, __ATOMIC_RELAXED)) < all->lines;)
        for (uint64_t n = at; n < all->lines && n < at + LINES; n++) {
            if (task->count < task->inner) { /* at most one element of each line */
                const uint64_t above = (task->start + n) / task->inner, row = above % task->rows.size;
                const uint64_t line = above / task->rows.size * task->inner + (task->start + n) % task->inner;
                clear_line(all, line, row, row + 1, memory);
            } else {
                const uint64_t line = first + n, base = line / task->inner * period + line % task->inner;
                const uint64_t from = rows_before(task, base, task->start);
                const uint64_t to = rows_before(task, base, task->start + task->count);
                if (from < to) clear_line(all, line, from, to, memory);
            }
        }
    free(memory);
}

void fanin_clear(const fanin_level *level, const fanin_sparse *task, int threads)
{
    const uint64_t period = task->inner * task->rows.size;
    marking all = {.level = level, .task = task, .lines = task->count};
    if (task->count >= task->inner)
        all.lines = ((task->start + task->count - 1) / period - task->start / period + 1) * task->inner;
    if (threads > 1 && task->count >= 1 << 12)
        fanin_together(clear_lines, &all, threads);
    else
        clear_lines(&all);
}
