/* One compute type of orthogonal.h: REAL, with IN for the names. */

typedef REAL IN(real) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));

/* WIDTH columns are worked on together. A tile of TILE vectors in 4 rows is kept in registers. */
enum { IN(REALS) = VECTOR / sizeof(REAL), IN(WIDTH) = FANIN_GROUP_BYTES / sizeof(REAL) };

#define AT(p) (*(IN(real) *)(p))
#define ROWS4 _Pragma("GCC unroll 4") for (int r = 0; r < 4; r++)
#define VECTORS _Pragma("GCC unroll 4") for (int n = 0; n < TILE; n++)

/* sums[t][c] += v[i][t] * q[i][c] over `rows` rows i in order, for PANEL sums t and WIDTH columns c. */
static void IN(accumulate)(uint64_t rows, const REAL *v, const REAL *q, REAL *sums)
{
    for (int c = 0; c < IN(WIDTH); c += TILE * IN(REALS))
        for (int t = 0; t < FANIN_PANEL; t += 4) {
            REAL *const at = sums + t * IN(WIDTH) + c;
            IN(real) s[4][TILE], x[TILE];
            ROWS4 VECTORS s[r][n] = AT(at + r * IN(WIDTH) + n * IN(REALS));
            for (uint64_t i = 0; i < rows; i++) {
                VECTORS x[n] = AT(q + i * IN(WIDTH) + c + n * IN(REALS));
                ROWS4 VECTORS s[r][n] += v[i * FANIN_PANEL + t + r] * x[n];
            }
            ROWS4 VECTORS AT(at + r * IN(WIDTH) + n * IN(REALS)) = s[r][n];
        }
}

/* s[r][c] = the sum over t in order of a[r][t] * x[t][c], for 4 rows r and the columns of a tile. */
FANIN_VECTOR void IN(combine)(const REAL *a, const REAL *x, IN(real) s[4][TILE])
{
    IN(real) b[TILE];
    ROWS4 VECTORS s[r][n] = (IN(real)){0};
    for (int t = 0; t < FANIN_PANEL; t++) {
        VECTORS b[n] = AT(x + t * IN(WIDTH) + n * IN(REALS));
        ROWS4 VECTORS s[r][n] += a[r * FANIN_PANEL + t] * b[n];
    }
}

/* out[i][c] = the sum over t in order of a[i][t] * x[t][c], or `from` minus it, for `rows` rows, a multiple of 4. */
static void IN(multiply)(uint64_t rows, const REAL *a, const REAL *x, const REAL *from, REAL *out)
{
    for (uint64_t i = 0; i < rows; i += 4)
        for (int c = 0; c < IN(WIDTH); c += TILE * IN(REALS)) {
            IN(real) s[4][TILE];
            IN(combine)(a + i * FANIN_PANEL, x + c, s);
            const uint64_t at = i * IN(WIDTH) + c;
            if (from) ROWS4 VECTORS s[r][n] = AT(from + at + r * IN(WIDTH) + n * IN(REALS)) - s[r][n];
            ROWS4 VECTORS AT(out + at + r * IN(WIDTH) + n * IN(REALS)) = s[r][n];
        }
}

/* Gaussian columns in v[rows][PANEL], the first `count` of them, become Householder vectors; t_out and x_out are the T and
   X of the panel. */
static void IN(reflect)(uint64_t rows, uint64_t padded, int count, void *panel, void *t_out, double *x_out)
{
    REAL *const v = panel, *const t_rounded = t_out;
    double norm[FANIN_PANEL] = {0}, s[FANIN_PANEL * FANIN_PANEL] = {0}, t[FANIN_PANEL * FANIN_PANEL] = {0};
    double wide[CHUNK * FANIN_PANEL];
    for (uint64_t i = 0; i < padded; i++)
        for (int k = 0; k < FANIN_PANEL; k++)
            if (i >= rows || k >= count || (uint64_t)k > i) v[i * FANIN_PANEL + k] = 0;
    for (uint64_t i = 0; i < rows; i++)
        for (int k = 0; k < FANIN_PANEL; k++) norm[k] += (double)v[i * FANIN_PANEL + k] * (double)v[i * FANIN_PANEL + k];
    for (int k = 0; k < count; k++) {
        REAL *const first = v + k * FANIN_PANEL + k;
        const double length = fanin_sqrt64(norm[k]);
        *first = (REAL)(*first < 0 ? (double)*first - length : (double)*first + length);
    }
    for (uint64_t i = 0; i < padded; i += CHUNK) {
        const uint64_t taken = padded - i < CHUNK ? padded - i : CHUNK;
        for (uint64_t n = 0; n < taken * FANIN_PANEL; n++) wide[n] = (double)v[i * FANIN_PANEL + n];
        accumulate_64(taken, wide, wide, s);
    }
    for (int a = count; a-- > 0;) {
        const double diagonal = s[a * FANIN_PANEL + a] / 2;
        double sums[FANIN_PANEL] = {0};
        for (int b = a + 1; b < count; b++)
            for (int c = b; c < count; c++) sums[c] += s[a * FANIN_PANEL + b] * t[b * FANIN_PANEL + c];
        t[a * FANIN_PANEL + a] = 1 / diagonal;
        for (int c = a + 1; c < count; c++) t[a * FANIN_PANEL + c] = -sums[c] / diagonal;
    }
    for (int a = 0; a < FANIN_PANEL; a++)
        for (int c = 0; c < FANIN_PANEL; c++) {
            double sum = 0;
            for (int b = a; c < count && b <= c; b++)
                sum += t[a * FANIN_PANEL + b] * (double)v[c * FANIN_PANEL + b];
            x_out[a * FANIN_PANEL + c] = sum;
            t_rounded[a * FANIN_PANEL + c] = (REAL)t[a * FANIN_PANEL + c];
        }
}

/* The columns of a panel's own: those of the identity, reflected. */
static void IN(own)(uint64_t rows, const REAL *v, const double *x, REAL *q)
{
    double wide[4 * FANIN_PANEL], made[4 * FANIN_PANEL];
    for (uint64_t i = 0; i < rows; i += 4) {
        double unit[4 * FANIN_PANEL] = {0};
        for (int r = 0; r < 4; r++)
            if (i + r < FANIN_PANEL) unit[r * FANIN_PANEL + i + r] = 1;
        for (int n = 0; n < 4 * FANIN_PANEL; n++) wide[n] = (double)v[i * FANIN_PANEL + n];
        multiply_64(4, wide, x, unit, made);
        for (int r = 0; r < 4; r++)
            for (int c = 0; c < FANIN_PANEL; c++) q[(i + r) * IN(WIDTH) + c] = (REAL)made[r * FANIN_PANEL + c];
    }
}

/* Elements of `count` finished columns from `first` on, with the signs of v, to their places. */
static void IN(finish)(const fanin_matrix *matrix, uint64_t first, int count, const REAL *q)
{
    const int size = fanin_sizes[matrix->dtype];
    REAL scale[IN(WIDTH)];
    for (int c = 0; c < count; c++) {
        const uint64_t at = (first + c) % FANIN_PANEL;
        const REAL v = ((const REAL *)matrix->v)[fanin_panel_at(matrix, (first + c) / FANIN_PANEL) + at * FANIN_PANEL + at];
        scale[c] = v < 0 ? (REAL)matrix->gain : -(REAL)matrix->gain;
    }
    for (uint64_t from = 0; from < matrix->rows; from += CHUNK) {
        const uint64_t to = from + CHUNK < matrix->rows ? from + CHUNK : matrix->rows;
        const uint64_t outer_from = matrix->is_wide ? 0 : from, outer_to = matrix->is_wide ? (uint64_t)count : to;
        for (uint64_t outer = outer_from; outer < outer_to; outer++) {
            REAL line[CHUNK]; /* not shorter than WIDTH */
            uint64_t taken, place;
            if (matrix->is_wide) {
                taken = to - from;
                place = (first + outer) * matrix->rows + from;
                for (uint64_t n = 0; n < taken; n++) line[n] = scale[outer] * q[(from + n) * IN(WIDTH) + outer];
            } else {
                taken = count;
                place = outer * matrix->columns + first;
                for (uint64_t n = 0; n < taken; n++) line[n] = scale[n] * q[outer * IN(WIDTH) + n];
            }
            fanin_store_many(line, sizeof(REAL), taken, matrix->dtype, matrix->out + place * size);
        }
    }
}

/* WIDTH columns, from number `group` * WIDTH on, in the memory `work`: padded rows of WIDTH. */
static void IN(columns)(const fanin_matrix *matrix, uint64_t group, void *work)
{
    REAL *const q = work;
    REAL sums[FANIN_PANEL * IN(WIDTH)], x[FANIN_PANEL * IN(WIDTH)];
    const uint64_t first = group * IN(WIDTH), left = matrix->columns - first;
    const int count = left < IN(WIDTH) ? (int)left : IN(WIDTH);
    const uint64_t last = (first + count - 1) / FANIN_PANEL;
    memset(q, 0, matrix->padded * IN(WIDTH) * sizeof(REAL));
    for (uint64_t panel = last + 1; panel-- > 0;) {
        const uint64_t top = panel * FANIN_PANEL, rows = matrix->padded - top;
        const REAL *const v = (const REAL *)matrix->v + fanin_panel_at(matrix, panel);
        const uint64_t square = panel * FANIN_PANEL * FANIN_PANEL;
        REAL *const here = q + top * IN(WIDTH);
        if (panel < last) {
            memset(sums, 0, sizeof sums);
            for (uint64_t i = FANIN_PANEL; i < rows; i += CHUNK)
                IN(accumulate)(rows - i < CHUNK ? rows - i : CHUNK, v + i * FANIN_PANEL, here + i * IN(WIDTH), sums);
            IN(multiply)(FANIN_PANEL, (const REAL *)matrix->t + square, sums, NULL, x);
            IN(multiply)(rows, v, x, here, here);
        }
        if (top >= first) IN(own)(rows, v, matrix->x + square, here + (top - first));
    }
    IN(finish)(matrix, first, count, q);
}

#undef AT
#undef ROWS4
#undef VECTORS
