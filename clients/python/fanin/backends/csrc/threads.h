/* Threads that are kept: one for each CPU that the calling thread may use, pinned to it where that is allowed, since a
   scheduler often packs short work on one CPU. */
#ifndef FANIN_THREADS_H
#define FANIN_THREADS_H

/* Calls work(context) in this thread and, at the same time, in up to `threads` - 1 kept ones; returns when all these calls
   have. Work shares itself out. Any number of threads may call it at once. */
void fanin_together(void (*work)(void *), void *context, int threads);

#endif
