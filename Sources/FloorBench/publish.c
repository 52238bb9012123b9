// Batches of XADD: all appended, then all replies. A batch of one is the program that awaits each event.
#include "floor.h"

#include <string.h>

void append_event(redisContext *context, const plan *plan, const char *payload) {
    const char *argv[] = {"XADD", plan->stream, "*", "data", payload};
    const size_t lengths[] = {4, strlen(plan->stream), 1, 4, PAYLOAD_BYTES};
    append(context, 5, argv, lengths);
}

static void publish_batches(redisContext *context, const plan *plan, size_t events, const char *payload) {
    for (size_t sent = 0; sent < events; sent += plan->batch) {
        for (size_t i = 0; i < plan->batch; i++) append_event(context, plan, payload);
        for (size_t i = 0; i < plan->batch; i++) freeReplyObject(next_reply(context));
    }
}

void publish(const plan *plan) {
    char payload[PAYLOAD_BYTES];
    memset(payload, 'x', sizeof payload);
    redisContext *context = connect_to(plan->address);
    publish_batches(context, plan, plan->warm_up, payload);
    meter started = meter_start();
    publish_batches(context, plan, plan->events, payload);
    meter_print(started, plan->events, "");
    redisFree(context);
}
