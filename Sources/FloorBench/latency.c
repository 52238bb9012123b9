// A publisher at a steady rate and, in a second thread, a reader that blocks for the next event: how long from just
// before the XADD until the reader has it.
#define _GNU_SOURCE
#include "floor.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIGITS 20

typedef struct {
    const plan *plan;
    redisContext *context;
    double *micros;  // one for each event, those of the warm-up first
} reader;

static uint64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void *read_all(void *argument) {
    reader *reader = argument;
    const plan *plan = reader->plan;
    for (size_t done = 0; done < plan->warm_up + plan->events;) {
        append_read(reader->context, plan, 256, 1);
        redisReply *reply = next_reply(reader->context);
        uint64_t arrived = nanoseconds();
        const redisReply *entries = entries_of(reply);
        if (entries) {
            for (size_t i = 0; i < entries->elements; i++) {
                const redisReply *payload = entries->element[i]->element[1]->element[1];
                uint64_t sent = strtoull(payload->str, NULL, 10);  // stops at the first 'x'
                reader->micros[done++] = (double)(arrived - sent) / 1000;
            }
            append_acknowledgement(reader->context, plan, entries);
            freeReplyObject(next_reply(reader->context));
        }
        freeReplyObject(reply);
    }
    return NULL;
}

static void publish_at_rate(redisContext *context, const plan *plan, size_t events) {
    uint64_t pause = 1000000000 / plan->rate, due = nanoseconds();
    char payload[PAYLOAD_BYTES], digits[DIGITS + 1];
    memset(payload, 'x', sizeof payload);
    for (size_t i = 0; i < events; i++) {
        struct timespec until = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {}
        snprintf(digits, sizeof digits, "%0*llu", DIGITS, (unsigned long long)nanoseconds());
        memcpy(payload, digits, DIGITS);
        append_event(context, plan, payload);
        freeReplyObject(next_reply(context));
        due += pause;
    }
}

static int ascending(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

// The nearest rank: the smallest value that is not below so many thousandths of the values.
static double percentile(const double *sorted, size_t count, size_t thousandths) {
    return sorted[(thousandths * count + 999) / 1000 - 1];
}

void measure_latency(const plan *plan) {
    reader reader = {.plan = plan, .context = connect_to(plan->address)};
    redisContext *context = connect_to(plan->address);
    reader.micros = calloc(plan->warm_up + plan->events + 256, sizeof *reader.micros);
    if (!reader.micros) fail("cannot begin", "out of memory");
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_all, &reader) != 0) fail("cannot begin", "no thread left");
    publish_at_rate(context, plan, plan->warm_up);
    meter started = meter_start();
    publish_at_rate(context, plan, plan->events);
    pthread_join(thread, NULL);

    double *counted = reader.micros + plan->warm_up;
    qsort(counted, plan->events, sizeof *counted, ascending);
    char more[160];
    snprintf(more, sizeof more, ",\"p50Micros\":%.1f,\"p99Micros\":%.1f,\"p999Micros\":%.1f",
             percentile(counted, plan->events, 500), percentile(counted, plan->events, 990),
             percentile(counted, plan->events, 999));
    meter_print(started, plan->events, more);
    free(reader.micros);
    redisFree(context);
    redisFree(reader.context);
}
