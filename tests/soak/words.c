/* Raw words of many streams, interleaved, on standard output without end: word 0 of each, word 1 of each, ...
   Reads the streams' keys from standard input: four hexadecimal words a line (see test_dieharder.py). */
#include "fanin_kernels.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_STREAMS = 1000, BUFFER_BYTES = 1 << 20 };

static uint32_t keys[MOST_STREAMS][4], words[MOST_STREAMS][4], row[MOST_STREAMS];

int main(void)
{
    size_t streams = 0;
    while (streams < MOST_STREAMS &&
           scanf("%" SCNx32 " %" SCNx32 " %" SCNx32 " %" SCNx32, &keys[streams][0], &keys[streams][1], &keys[streams][2],
                 &keys[streams][3]) == 4)
        streams++;
    if (streams == 0) return EXIT_FAILURE;
    /* One write a page would cost more than the words. */
    if (setvbuf(stdout, NULL, _IOFBF, BUFFER_BYTES)) return EXIT_FAILURE;
    for (uint64_t block = 0;; block++) {
        for (size_t n = 0; n < streams; n++) fanin_philox(keys[n], block, words[n]);
        for (int word = 0; word < 4; word++) {
            for (size_t n = 0; n < streams; n++) row[n] = words[n][word];
            /* Ends when the reader does. */
            if (fwrite(row, sizeof row[0], streams, stdout) != streams) return EXIT_SUCCESS;
        }
    }
}
