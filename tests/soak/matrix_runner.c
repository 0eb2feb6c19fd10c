/* Writes one orthogonal matrix to standard output. Arguments: rows, columns, number of the storage type, eight words of keys
   (see test_other_machines.py). */
#include "threads.c"

#include "native.c"

#include <stdio.h>
#include <stdlib.h>

static void *room(size_t size)
{
    void *memory;
    if (posix_memalign(&memory, 64, size + 64)) exit(EXIT_FAILURE);
    return memset(memory, 0xA5, size);
}

int main(int count, char **arguments)
{
    if (count != 12) return EXIT_FAILURE;
    const uint64_t rows = strtoull(arguments[1], NULL, 10), columns = strtoull(arguments[2], NULL, 10);
    const int dtype = atoi(arguments[3]);
    const fanin_side side = {1ull << 31, (1ull << 30) - (1 << 19), 0, 0, dtype == FANIN_F64 ? 0x1p-63 : 0x1p-31};
    const fanin_draw normal = {0, 1, -__builtin_inf(), __builtin_inf(), side, side};
    fanin_matrix matrix = {.gain = 1.5, .dtype = dtype, .is_wide = rows < columns, .normal = &normal};
    matrix.rows = rows > columns ? rows : columns;
    matrix.columns = rows > columns ? columns : rows;
    matrix.padded = (matrix.rows + 3) / 4 * 4;
    for (int n = 0; n < 8; n++) matrix.keys[n] = (uint32_t)strtoul(arguments[4 + n], NULL, 10);
    const size_t panels = (matrix.columns + FANIN_PANEL - 1) / FANIN_PANEL, size = rows * columns * fanin_sizes[dtype];
    const size_t width = FANIN_GROUP_BYTES / (dtype == FANIN_F64 ? sizeof(double) : sizeof(float));
    matrix.stop_panel = panels;
    matrix.stop_group = (matrix.columns + width - 1) / width;
    matrix.v = room(panels * FANIN_PANEL * matrix.padded * sizeof(double));
    matrix.t = room(panels * FANIN_PANEL * FANIN_PANEL * sizeof(double));
    matrix.x = room(panels * FANIN_PANEL * FANIN_PANEL * sizeof(double));
    matrix.work = room(matrix.padded * FANIN_GROUP_BYTES);
    matrix.out = room(size);
    int level = 2;
    while (!fanin_has_level(level)) level--;
    fanin_orthogonal(&matrix, level, 1);
    return fwrite(matrix.out, 1, size, stdout) == size ? EXIT_SUCCESS : EXIT_FAILURE;
}
