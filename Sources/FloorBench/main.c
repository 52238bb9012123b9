// The arguments: what to do, and how often.
#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void usage(void) {
    fputs("usage: floor-bench <socket path | host:port> <publish-N | read-ack-N | latency-N | records-N | copy-N> "
          "<warm-up> <events> <stream> <group> [database]\n", stderr);
    exit(64);
}

// A whole number, or 64 as the exit code.
static size_t number(const char *text) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value > 1000 * 1000 * 1000) usage();
    return (size_t)value;
}

int main(int argc, char **argv) {
    if (argc != 7 && argc != 8) usage();
    plan plan = {
        .address = argv[1], .warm_up = number(argv[3]), .events = number(argv[4]),
        .stream = argv[5], .group = argv[6], .database = argv[7],
    };
    const char *work = argv[2];
    if (strncmp(work, "publish-", 8) == 0) {
        plan.batch = number(work + 8);
        if (plan.batch == 0) usage();
        publish(&plan);
    } else if (strncmp(work, "read-ack-", 9) == 0) {
        plan.batch = number(work + 9);
        if (plan.batch == 0) usage();
        read_and_acknowledge(&plan);
    } else if (strncmp(work, "latency-", 8) == 0) {
        plan.rate = number(work + 8);
        if (plan.rate == 0) usage();
        measure_latency(&plan);
    } else if (strncmp(work, "records-", 8) == 0) {
        plan.batch = number(work + 8);
        if (plan.batch == 0 || !plan.database) usage();
        handle_with_records(&plan);
    } else if (strncmp(work, "copy-", 5) == 0) {
        plan.batch = number(work + 5);
        if (plan.batch == 0) usage();
        copy(&plan);
    } else {
        usage();
    }
    return 0;
}
