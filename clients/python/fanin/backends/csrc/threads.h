/* A pool with one thread for each CPU that a calling thread may use. Each is pinned to its CPU if the system allows that,
   because a scheduler often puts short work of several threads on the same CPU. */
#ifndef FANIN_THREADS_H
#define FANIN_THREADS_H

/* Calls work(context) in this thread and, at the same time, in up to `threads` - 1 threads of the pool. Returns after all
   calls have returned. `work` itself divides the work among its calls. Thread-safe. */
void fanin_together(void (*work)(void *), void *context, int threads);

#endif
