/* Orthogonal matrices (clients/SPEC.md section 6.12): the steps, for each level of instructions.

   Every sum is taken in the order of its index. Vectors run over columns, so lanes never meet; a sum that is interrupted
   goes on from where it was stored. Rows are padded to a multiple of 4 by zeros, which change no sum. */

enum { CHUNK = 64 }; /* rows taken at a time: as many as stay in the first cache with what is multiplied by them */

#define REAL double
#define IN(name) name##_64
#include "panels.h"
#undef REAL
#undef IN

#define REAL float
#define IN(name) name##_32
#include "panels.h"
#undef REAL
#undef IN
