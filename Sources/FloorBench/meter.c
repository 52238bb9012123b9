// What the work cost this process: time, CPU, memory.
#define _GNU_SOURCE
#include "floor.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static long peak_bytes(void) {
    long kilobytes = 0;
    char line[256];
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) fail("/proc/self/status", "cannot be read");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kilobytes) == 1) break;
    fclose(file);
    return kilobytes * 1024;
}

meter meter_start(void) {
    // Sets VmHWM back to what is resident now. Where the kernel cannot, the peak is that of the whole process.
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file) {
        fputs("5", file);
        fclose(file);
    }
    return (meter){.wall = now(), .cpu = cpu_seconds()};
}

void meter_print(meter since, size_t events, const char *more) {
    double seconds = now() - since.wall, cpu = cpu_seconds() - since.cpu;
    printf("{\"events\":%zu,\"seconds\":%.6f,\"cpuMicros\":%.4f,\"peakBytes\":%ld%s}\n",
           events, seconds, cpu * 1e6 / (double)events, peak_bytes(), more);
}
