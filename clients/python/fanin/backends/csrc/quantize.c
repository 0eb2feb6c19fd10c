/* Quantized tensors: magnitudes of groups, and codes, in several threads. */
#include "native.h"
#include "threads.h"

typedef struct {
    void (*step)(const fanin_groups *task, uint64_t number);
    const fanin_groups *task;
    uint64_t count, taken; /* numbers of steps: of all, and of those that a thread takes at a time */
    uint64_t next;         /* the first that no thread has taken */
} stepping;

enum { TAKEN = 1 << 13 }; /* least elements that a thread takes */

static void steps(void *context)
{
    stepping *all = context;
    for (uint64_t at; (at = __atomic_fetch_add(&all->next, all->taken, __ATOMIC_RELAXED)) < all->count;)
        for (uint64_t n = at; n < all->count && n < at + all->taken; n++) all->step(all->task, n);
}

void fanin_quantize_steps(const fanin_level *level, const fanin_groups *task, int threads)
{
    const uint64_t elements = task->codes ? task->columns : task->tall * task->wide; /* elements of a step */
    stepping all = {
        .step = task->codes ? level->codes_of_row : level->group_magnitudes,
        .task = task,
        .count = task->rows * task->columns / elements,
        .taken = TAKEN / elements + 1,
    };
    if (threads > 1 && all.count > all.taken)
        fanin_together(steps, &all, threads);
    else
        steps(&all);
}
