/* A clock that is off by as many milliseconds as a file says, for one process: preloaded, changed while it runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *off;
static int (*original)(clockid_t, struct timespec *);

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_SKEW");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    original = dlsym(RTLD_NEXT, "clock_gettime");
    if (file < 0) return;
    void *found = mmap(NULL, sizeof *off, PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) off = found;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    if (!original) original = dlsym(RTLD_NEXT, "clock_gettime");
    int result = original(which, now);
    if (off && result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) {
        long long moment = now->tv_sec * 1000000000LL + now->tv_nsec + *off * 1000000LL;
        now->tv_sec = moment / 1000000000LL;
        now->tv_nsec = moment % 1000000000LL;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    if (now) { now->tv_sec = exact.tv_sec; now->tv_usec = exact.tv_nsec / 1000; }
    return result;
}

time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
