/* Runs the C backend on cases from standard input, one a line (see test_other_machines.py), and writes the elements'
   bytes to standard output. */
#include "threads.c"

#include "native.c"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int read_numbers(double *first, int count)
{
    for (int n = 0; n < count; n++)
        if (scanf("%lf", &first[n]) != 1) return 0;
    return 1;
}

static int read_side(fanin_side *side)
{
    double numbers[3];
    if (scanf("%" SCNu64 " %" SCNu64, &side->count, &side->tail_count) != 2 || !read_numbers(numbers, 3)) return 0;
    side->tail_offset = numbers[0];
    side->central_offset = numbers[1];
    side->step = numbers[2];
    return 1;
}

int main(void)
{
    int distribution, dtype, skip, level = 2;
    while (!fanin_has_level(level)) level--;
    while (scanf("%d %d", &distribution, &dtype) == 2) {
        double numbers[4];
        fanin_draw draw;
        uint32_t keys[8];
        uint64_t block, count;
        if (!read_numbers(numbers, 4) || !read_side(&draw.negative) || !read_side(&draw.positive)) return EXIT_FAILURE;
        draw.offset = numbers[0];
        draw.scale = numbers[1];
        draw.low = numbers[2];
        draw.high = numbers[3];
        for (int n = 0; n < 8; n++)
            if (scanf("%" SCNu32, &keys[n]) != 1) return EXIT_FAILURE;
        if (scanf("%" SCNu64 " %d %" SCNu64, &block, &skip, &count) != 3) return EXIT_FAILURE;
        /* A byte off, since callers' buffers have any alignment. */
        unsigned char *out = malloc(count * fanin_sizes[dtype] + 1);
        if (!out) return EXIT_FAILURE;
        const fanin_source sources[] = {{.draw = draw, .distribution = distribution, .dtype = dtype}};
        fanin_range range = {.block = block, .count = count, .out = out + 1, .skip = skip};
        memcpy(range.keys, keys, sizeof keys);
        fanin_fill(sources, &range, 1, level, 1);
        if (fwrite(out + 1, fanin_sizes[dtype], count, stdout) != count) return EXIT_FAILURE;
        free(out);
    }
    return feof(stdin) ? EXIT_SUCCESS : EXIT_FAILURE;
}
