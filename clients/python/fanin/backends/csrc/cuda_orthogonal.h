/* Orthogonal matrices (clients/SPEC.md section 6.12): one kernel for each step. A thread computes complete outputs,
   for any grid, and adds the terms of each in order. Kernels run one after another in a stream, so none waits inside. */

enum { FANIN_PANEL = 32, FANIN_SQUARE = FANIN_PANEL * FANIN_PANEL };

/* A matrix in the making: m x n, m >= n, or its transpose if it is wide. Memory is that of the GPU. */
typedef struct {
    uint64_t rows, columns; /* m, n */
    void *v;                /* panels of vectors one after another, each from its first row on */
    void *t;                /* T of each panel, rounded to the compute type */
    double *s, *wide_t, *x; /* S, then T of each panel; and the input of the columns of a panel */
    void *q;
    void *w, *y; /* w and x of the columns after the current panel, 32 rows of n */
    double gain;
    uint64_t panel; /* the current one */
    unsigned char *out;
    uint64_t is_wide;
} fanin_task;

FANIN_FUNCTION uint64_t fanin_panel_at(const fanin_task *task, uint64_t panel)
{
    return FANIN_PANEL * (panel * task->rows - panel * (panel - 1) / 2 * FANIN_PANEL);
}

FANIN_FUNCTION uint64_t fanin_panels(const fanin_task *task) { return (task->columns + FANIN_PANEL - 1) / FANIN_PANEL; }

/* Columns of a panel. */
FANIN_FUNCTION uint64_t fanin_columns_of(const fanin_task *task, uint64_t panel)
{
    const uint64_t left = task->columns - panel * FANIN_PANEL;
    return left < FANIN_PANEL ? left : FANIN_PANEL;
}

FANIN_FUNCTION double fanin_negate64(double a) { return fanin_double(fanin_bits64(a) ^ (uint64_t)1 << 63); }
FANIN_FUNCTION double fanin_f64(double value) { return value; }
FANIN_FUNCTION int fanin_is_negative(float value) { return fanin_bits(value) >> 31 != 0; }
FANIN_FUNCTION int fanin_is_negative64(double value) { return fanin_bits64(value) >> 63 != 0; }

#define FANIN_EACH(n, count)                                                                                         \
    for (uint64_t n = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x; n < (count);                                  \
         n += (uint64_t)gridDim.x * blockDim.x)

/* Steps that compute in double for both types. */
extern "C" __global__ void fanin_orthogonal_triangle(fanin_task task)
{
    FANIN_EACH(n, fanin_panels(&task) * FANIN_PANEL)
    {
        const uint64_t panel = n / FANIN_PANEL, b = n % FANIN_PANEL;
        const double *s = task.s + panel * FANIN_SQUARE;
        double *t = task.wide_t + panel * FANIN_SQUARE;
        for (uint64_t a = FANIN_PANEL; a-- > 0;) {
            double element = 0;
            if (a <= b && b < fanin_columns_of(&task, panel)) {
                const double diagonal = fanin_mul64(s[a * FANIN_PANEL + a], 0.5);
                double sum = 0;
                for (uint64_t c = a + 1; c <= b; c++)
                    sum = fanin_add64(sum, fanin_mul64(s[a * FANIN_PANEL + c], t[c * FANIN_PANEL + b]));
                element = fanin_div64(a == b ? 1.0 : fanin_negate64(sum), diagonal);
            }
            t[a * FANIN_PANEL + b] = element;
        }
    }
}

/* The others, for one compute type: `widen` to double and `narrow` back. */
#define FANIN_ORTHOGONAL(type, real, add, mul, negate, is_negative, widen, narrow)                                   \
    /* Gaussian columns to vectors. */                                                                               \
    extern "C" __global__ void fanin_orthogonal_vectors_##type(fanin_task task)                                      \
    {                                                                                                                \
        FANIN_EACH(n, fanin_panels(&task) * FANIN_PANEL)                                                             \
        {                                                                                                            \
            const uint64_t panel = n / FANIN_PANEL, t = n % FANIN_PANEL, rows = task.rows - panel * FANIN_PANEL;     \
            real *v = (real *)task.v + fanin_panel_at(&task, panel) + t;                                             \
            const uint64_t zeros = t < fanin_columns_of(&task, panel) ? t : rows;                                    \
            double squares = 0;                                                                                      \
            for (uint64_t i = 0; i < zeros && i < rows; i++) v[i * FANIN_PANEL] = 0;                                 \
            for (uint64_t i = zeros; i < rows; i++) {                                                                \
                const double g = widen(v[i * FANIN_PANEL]);                                                          \
                squares = fanin_add64(squares, fanin_mul64(g, g));                                                   \
            }                                                                                                        \
            if (zeros < rows) {                                                                                      \
                const real first = v[t * FANIN_PANEL];                                                               \
                const double length = fanin_sqrt64(squares);                                                         \
                v[t * FANIN_PANEL] =                                                                                 \
                    narrow(fanin_add64(widen(first), is_negative(first) ? fanin_negate64(length) : length));         \
            }                                                                                                        \
        }                                                                                                            \
    }                                                                                                                \
    /* S, of which the upper triangle is used. */                                                                    \
    extern "C" __global__ void fanin_orthogonal_gram_##type(fanin_task task)                                         \
    {                                                                                                                \
        FANIN_EACH(n, fanin_panels(&task) * FANIN_SQUARE)                                                            \
        {                                                                                                            \
            const uint64_t panel = n / FANIN_SQUARE, a = n % FANIN_SQUARE / FANIN_PANEL, b = n % FANIN_PANEL;        \
            const real *v = (const real *)task.v + fanin_panel_at(&task, panel);                                     \
            double sum = 0;                                                                                          \
            for (uint64_t i = 0; i < task.rows - panel * FANIN_PANEL; i++, v += FANIN_PANEL)                         \
                sum = fanin_add64(sum, fanin_mul64(widen(v[a]), widen(v[b])));                                       \
            task.s[n] = sum;                                                                                         \
        }                                                                                                            \
    }                                                                                                                \
    /* T rounded, and x of the own columns. */                                                                       \
    extern "C" __global__ void fanin_orthogonal_squares_##type(fanin_task task)                                      \
    {                                                                                                                \
        FANIN_EACH(n, fanin_panels(&task) * FANIN_SQUARE)                                                            \
        {                                                                                                            \
            const uint64_t panel = n / FANIN_SQUARE, a = n % FANIN_SQUARE / FANIN_PANEL, c = n % FANIN_PANEL;        \
            const double *t = task.wide_t + panel * FANIN_SQUARE + a * FANIN_PANEL;                                  \
            const real *v = (const real *)task.v + fanin_panel_at(&task, panel) + c * FANIN_PANEL;                   \
            double sum = 0;                                                                                          \
            if (c < fanin_columns_of(&task, panel))                                                                  \
                for (uint64_t b = a; b <= c; b++) sum = fanin_add64(sum, fanin_mul64(t[b], widen(v[b])));            \
            task.x[n] = sum;                                                                                         \
            ((real *)task.t)[n] = narrow(task.wide_t[n]);                                                            \
        }                                                                                                            \
    }                                                                                                                \
    /* w of the columns after the current panel. */                                                                  \
    extern "C" __global__ void fanin_orthogonal_project_##type(fanin_task task)                                      \
    {                                                                                                                \
        const uint64_t top = task.panel * FANIN_PANEL, behind = top + FANIN_PANEL;                                   \
        const uint64_t columns = task.columns - behind;                                                              \
        FANIN_EACH(n, FANIN_PANEL * columns)                                                                         \
        {                                                                                                            \
            const uint64_t a = n / columns, k = behind + n % columns;                                                \
            const real *v = (const real *)task.v + fanin_panel_at(&task, task.panel) + a;                            \
            const real *q = (const real *)task.q + top * task.columns + k;                                           \
            real sum = 0;                                                                                            \
            for (uint64_t i = FANIN_PANEL; i < task.rows - top; i++)                                                 \
                sum = add(sum, mul(v[i * FANIN_PANEL], q[i * task.columns]));                                        \
            ((real *)task.w)[a * task.columns + k] = sum;                                                            \
        }                                                                                                            \
    }                                                                                                                \
    /* x of them. */                                                                                                 \
    extern "C" __global__ void fanin_orthogonal_turn_##type(fanin_task task)                                         \
    {                                                                                                                \
        const uint64_t behind = (task.panel + 1) * FANIN_PANEL, columns = task.columns - behind;                     \
        FANIN_EACH(n, FANIN_PANEL * columns)                                                                         \
        {                                                                                                            \
            const uint64_t a = n / columns, k = behind + n % columns;                                                \
            const real *t = (const real *)task.t + task.panel * FANIN_SQUARE + a * FANIN_PANEL;                      \
            const real *w = (const real *)task.w + k;                                                                \
            real sum = 0;                                                                                            \
            for (uint64_t b = a; b < FANIN_PANEL; b++) sum = add(sum, mul(t[b], w[b * task.columns]));               \
            ((real *)task.y)[a * task.columns + k] = sum;                                                            \
        }                                                                                                            \
    }                                                                                                                \
    /* q of the panel's own columns and of those behind, from its first row on. */                                   \
    extern "C" __global__ void fanin_orthogonal_reflect_##type(fanin_task task)                                      \
    {                                                                                                                \
        const uint64_t top = task.panel * FANIN_PANEL, columns = task.columns - top;                                 \
        FANIN_EACH(n, (task.rows - top) * columns)                                                                   \
        {                                                                                                            \
            const uint64_t i = n / columns, k = n % columns;                                                         \
            const real *v = (const real *)task.v + fanin_panel_at(&task, task.panel) + i * FANIN_PANEL;              \
            real *q = (real *)task.q + (top + i) * task.columns + top + k;                                           \
            if (k < FANIN_PANEL) {                                                                                   \
                const double *x = task.x + task.panel * FANIN_SQUARE + k;                                            \
                double sum = 0;                                                                                      \
                for (uint64_t a = 0; a < FANIN_PANEL; a++)                                                           \
                    sum = fanin_add64(sum, fanin_mul64(widen(v[a]), x[a * FANIN_PANEL]));                            \
                *q = narrow(fanin_add64(i == k ? 1.0 : 0.0, fanin_negate64(sum)));                                   \
            } else {                                                                                                 \
                const real *y = (const real *)task.y + top + k;                                                      \
                real sum = 0;                                                                                        \
                for (uint64_t a = 0; a < FANIN_PANEL; a++) sum = add(sum, mul(v[a], y[a * task.columns]));           \
                *q = add(i < FANIN_PANEL ? (real)0 : *q, negate(sum));                                               \
            }                                                                                                        \
        }                                                                                                            \
    }                                                                                                                \
    /* The element in row i and column k, with gain and sign. */                                                     \
    FANIN_FUNCTION real fanin_finished_##type(const fanin_task *task, uint64_t i, uint64_t k)                        \
    {                                                                                                                \
        const uint64_t at = k % FANIN_PANEL * (FANIN_PANEL + 1);                                                     \
        const real first = ((const real *)task->v)[fanin_panel_at(task, k / FANIN_PANEL) + at];                      \
        const real gain = narrow(task->gain), q = ((const real *)task->q)[i * task->columns + k];                    \
        return mul(is_negative(first) ? gain : negate(gain), q);                                                     \
    }

FANIN_ORTHOGONAL(F32, float, fanin_add, fanin_mul, fanin_negate, fanin_is_negative, fanin_widen, fanin_f32)
FANIN_ORTHOGONAL(F64, double, fanin_add64, fanin_mul64, fanin_negate64, fanin_is_negative64, fanin_f64, fanin_f64)

/* The matrix in its storage type, row by row; `element` is the bits of the number in row i and column k of q. */
#define FANIN_FINISH(dtype, type, element)                                                                           \
    extern "C" __global__ void fanin_orthogonal_finish_##dtype(fanin_task task)                                      \
    {                                                                                                                \
        FANIN_EACH(n, task.rows *task.columns)                                                                       \
        {                                                                                                            \
            const uint64_t i = task.is_wide ? n % task.rows : n / task.columns;                                      \
            const uint64_t k = task.is_wide ? n / task.rows : n % task.columns;                                      \
            ((type *)task.out)[n] = (type)(element);                                                                 \
        }                                                                                                            \
    }

FANIN_FINISH(F64, uint64_t, fanin_bits64(fanin_finished_F64(&task, i, k)))
FANIN_FINISH(F32, uint32_t, fanin_bits(fanin_finished_F32(&task, i, k)))
FANIN_FINISH(BF16, unsigned short, fanin_narrow_bf16(fanin_finished_F32(&task, i, k)))
FANIN_FINISH(F16, unsigned short, fanin_narrow(fanin_finished_F32(&task, i, k), FANIN_F16_FORMAT))
FANIN_FINISH(F8_E4M3, unsigned char, fanin_narrow(fanin_finished_F32(&task, i, k), FANIN_F8_E4M3_FORMAT))
FANIN_FINISH(F8_E5M2, unsigned char, fanin_narrow(fanin_finished_F32(&task, i, k), FANIN_F8_E5M2_FORMAT))
