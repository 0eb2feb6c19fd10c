/* The functions of the C library that the kernels use: WebAssembly has none. */
#ifndef FANIN_STRING_H
#define FANIN_STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
#endif
