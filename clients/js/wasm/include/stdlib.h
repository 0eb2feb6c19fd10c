#ifndef FANIN_STDLIB_H
#define FANIN_STDLIB_H
#include <stddef.h>
void *malloc(size_t size);
void free(void *memory);
#endif
