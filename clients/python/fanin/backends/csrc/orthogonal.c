/* Orthogonal matrices in several threads: first the panels, then groups of columns. Panels do not depend on each other, nor
   do groups. */
#include "native.h"
#include "threads.h"

typedef struct {
    const fanin_level *level;
    const fanin_matrix *matrix;
    uint64_t next_panel, next_group, next_work; /* numbers that no thread has taken yet */
} sharing;

static uint64_t take(uint64_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }

/* Converts little-endian elements to numbers of this processor, in place. */
static void to_numbers(unsigned char *elements, uint64_t count, size_t size)
{
    if (FANIN_LITTLE_ENDIAN) return;
    for (; count; count--, elements += size)
        for (size_t n = 0; n < size / 2; n++) {
            const unsigned char byte = elements[n];
            elements[n] = elements[size - 1 - n];
            elements[size - 1 - n] = byte;
        }
}

static void make_panels(void *context)
{
    sharing *all = context;
    const fanin_matrix *matrix = all->matrix;
    const int is_double = matrix->dtype == FANIN_F64;
    const size_t size = is_double ? sizeof(double) : sizeof(float);
    for (uint64_t panel; (panel = take(&all->next_panel)) < matrix->stop_panel;) {
        const uint64_t top = panel * FANIN_PANEL, rows = matrix->rows - top, left = matrix->columns - top;
        const uint64_t square = panel * FANIN_PANEL * FANIN_PANEL, word = top * (matrix->rows + FANIN_PANEL);
        unsigned char *const v = (unsigned char *)matrix->v + fanin_panel_at(matrix, panel) * size;
        all->level->fill(matrix->normal, FANIN_NORMAL, is_double ? FANIN_F64 : FANIN_F32, matrix->keys, word / 4, 0,
                         rows * FANIN_PANEL, v);
        to_numbers(v, rows * FANIN_PANEL, size);
        all->level->reflect[is_double](rows, matrix->padded - top, left < FANIN_PANEL ? (int)left : FANIN_PANEL, v,
                                       (unsigned char *)matrix->t + square * size, matrix->x + square);
    }
}

static void make_columns(void *context)
{
    sharing *all = context;
    const fanin_matrix *matrix = all->matrix;
    unsigned char *work = NULL;
    /* The last columns need the most work. Starting with them lets all threads end at about the same time. */
    for (uint64_t taken; (taken = take(&all->next_group)) < matrix->stop_group - matrix->first_group;) {
        if (!work) work = matrix->work + take(&all->next_work) * matrix->padded * FANIN_GROUP_BYTES;
        all->level->columns[matrix->dtype == FANIN_F64](matrix, matrix->stop_group - 1 - taken, work);
    }
}

void fanin_make_orthogonal(const fanin_level *level, const fanin_matrix *matrix, int threads)
{
    sharing all = {.level = level, .matrix = matrix, .next_panel = matrix->first_panel};
    fanin_together(make_panels, &all, threads);
    fanin_together(make_columns, &all, threads);
}
