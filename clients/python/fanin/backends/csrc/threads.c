#define _GNU_SOURCE
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

enum { CPUS = 1024 };

#ifdef __linux__
typedef cpu_set_t cpus;
static void usable(cpus *set)
{
    if (sched_getaffinity(0, sizeof *set, set)) CPU_ZERO(set); /* more CPUs than the set holds: run in one thread */
}
static int size_of(const cpus *set) { return CPU_COUNT(set); }
static int contains(const cpus *set, int cpu) { return CPU_ISSET(cpu, set); }
static int here(void) { return sched_getcpu(); }
static void stay_on(int cpu) /* ignores errors: only speed depends on it */
{
    cpus one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)!sched_setaffinity(0, sizeof one, &one);
}
#else /* without affinity, CPUs are numbers, and the caller's is 0 */
typedef int cpus;
static void usable(cpus *set) { *set = (int)sysconf(_SC_NPROCESSORS_ONLN); }
static int size_of(const cpus *set) { return *set; }
static int contains(const cpus *set, int cpu) { return cpu < *set; }
static int here(void) { return 0; }
static void stay_on(int cpu) { (void)cpu; }
#endif

typedef struct region {
    void (*work)(void *);
    void *context;
    cpus usable;
    int caller;          /* CPU of the caller. The pool's thread of this CPU does not join */
    int wanted, running; /* threads that may still join; threads that have joined and still run */
    pthread_cond_t done; /* signalled when `running` becomes 0 */
    struct region *next;
} region;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static region *regions; /* calls of fanin_together that have not returned */

/* The thread of one CPU. Each has a separate condition. One that all waited for would wake the thread of the caller's CPU
   too, which would interrupt the caller. */
static struct {
    pthread_cond_t wake;
    unsigned char started, is_waiting; /* is_waiting: it waits, and nothing has signalled `wake` since */
} pool[CPUS];

static region *joinable(int cpu)
{
    region *at = regions;
    while (at && !(at->wanted && cpu != at->caller && contains(&at->usable, cpu))) at = at->next;
    return at;
}

static void *serve(void *number)
{
    const int cpu = (int)(intptr_t)number;
    stay_on(cpu);
    pthread_mutex_lock(&lock);
    for (;;) {
        region *joined = joinable(cpu);
        if (!joined) {
            pool[cpu].is_waiting = 1;
            pthread_cond_wait(&pool[cpu].wake, &lock);
            pool[cpu].is_waiting = 0;
            continue;
        }
        joined->wanted--;
        joined->running++;
        pthread_mutex_unlock(&lock);
        joined->work(joined->context);
        pthread_mutex_lock(&lock);
        if (--joined->running == 0) pthread_cond_signal(&joined->done);
    }
    return NULL;
}

/* Starts threads for the first `threads` CPUs of the set, those that do not run yet. Fewer may start if the system refuses.
   They block all signals, so that Python's handlers run in Python's threads. */
static void start(const cpus *set, int threads)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    for (int cpu = 0; cpu < CPUS && threads > 0; cpu++) {
        if (!contains(set, cpu)) continue;
        threads--;
        pthread_t thread;
        if (pool[cpu].started) continue;
        pool[cpu].wake = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)cpu)) continue;
        pthread_detach(thread);
        pool[cpu].started = 1;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Wakes as many waiting threads as the region still wants. Threads that serve another region look for it afterwards. */
static void wake_for(const region *own)
{
    int left = own->wanted;
    for (int cpu = 0; cpu < CPUS && left; cpu++) {
        if (!pool[cpu].is_waiting || cpu == own->caller || !contains(&own->usable, cpu)) continue;
        pool[cpu].is_waiting = 0;
        pthread_cond_signal(&pool[cpu].wake);
        left--;
    }
}

/* In a forked child, such as a worker of a data loader: the child has none of the threads, and a lock may be held by one
   that is gone. */
static void forget(void)
{
    lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    regions = NULL;
    for (int cpu = 0; cpu < CPUS; cpu++) pool[cpu].started = pool[cpu].is_waiting = 0;
}

static void at_fork(void) { pthread_atfork(NULL, NULL, forget); }

void fanin_together(void (*work)(void *), void *context, int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, at_fork);
    region own = {.work = work, .context = context, .caller = here(), .done = PTHREAD_COND_INITIALIZER};
    usable(&own.usable);
    if (threads > size_of(&own.usable)) threads = size_of(&own.usable);
    if (threads < 2) {
        work(context);
        return;
    }
    own.wanted = threads - 1;
    pthread_mutex_lock(&lock);
    start(&own.usable, threads);
    own.next = regions;
    regions = &own;
    wake_for(&own);
    pthread_mutex_unlock(&lock);
    work(context);
    pthread_mutex_lock(&lock);
    region **at = &regions;
    while (*at != &own) at = &(*at)->next;
    *at = own.next;
    while (own.running) pthread_cond_wait(&own.done, &lock);
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&own.done);
}
