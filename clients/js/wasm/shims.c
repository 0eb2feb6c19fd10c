/* The functions of a C library and of threads.c that the kernels need, for WebAssembly: one thread, and memory that
   JavaScript lays out.

   JavaScript takes the memory from __heap_base on. It tells here which part of it malloc may return: sparse.c takes one
   block at a time, and frees it before it takes the next. */
#include "threads.h"

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (size_t n = 0; n < size; n++)
        if (x[n] != y[n]) return x[n] < y[n] ? -1 : 1;
    return 0;
}

static unsigned char *scratch;
static size_t scratch_size;

/* Sets the memory that malloc returns. */
__attribute__((visibility("default"))) void fanin_scratch(void *memory, size_t size)
{
    scratch = memory;
    scratch_size = size;
}

/* Returns NULL where the memory does not suffice. sparse.c then works without it, in more time. */
void *malloc(size_t size) { return size <= scratch_size ? scratch : NULL; }
void free(void *memory) { (void)memory; }

void fanin_together(void (*work)(void *), void *context, int threads)
{
    (void)threads;
    work(context);
}
