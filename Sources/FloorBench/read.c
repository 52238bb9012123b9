// XREADGROUP, every field walked, and one XACK of what was read.
#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void append_read(redisContext *context, const plan *plan, size_t count, int blocking) {
    char number[24];
    const char *argv[11] = {"XREADGROUP", "GROUP", plan->group, "bench", "COUNT", number};
    size_t lengths[11];
    int argc = 6;
    snprintf(number, sizeof number, "%zu", count);
    if (blocking) {
        argv[argc++] = "BLOCK";
        argv[argc++] = "1000";
    }
    argv[argc++] = "STREAMS";
    argv[argc++] = plan->stream;
    argv[argc++] = ">";
    for (int i = 0; i < argc; i++) lengths[i] = strlen(argv[i]);
    append(context, argc, argv, lengths);
}

void append_acknowledgement(redisContext *context, const plan *plan, const redisReply *entries) {
    size_t argc = 3 + entries->elements;
    const char **argv = malloc(argc * sizeof *argv);
    size_t *lengths = malloc(argc * sizeof *lengths);
    if (!argv || !lengths) fail("cannot acknowledge", "out of memory");
    argv[0] = "XACK";
    argv[1] = plan->stream;
    argv[2] = plan->group;
    for (int i = 0; i < 3; i++) lengths[i] = strlen(argv[i]);
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *id = entries->element[i]->element[0];
        argv[3 + i] = id->str;
        lengths[3 + i] = (size_t)id->len;
    }
    append(context, (int)argc, argv, lengths);
    free(argv);
    free(lengths);
}

const redisReply *entries_of(const redisReply *reply) {
    return reply->type == REDIS_REPLY_ARRAY ? reply->element[0]->element[1] : NULL;
}

static size_t payload_bytes(const redisReply *entries) {
    size_t sum = 0;
    for (size_t i = 0; i < entries->elements; i++) {
        const redisReply *fields = entries->element[i]->element[1];
        for (size_t field = 0; field + 1 < fields->elements; field += 2)
            if (strcmp(fields->element[field]->str, "data") == 0) sum += (size_t)fields->element[field + 1]->len;
    }
    return sum;
}

static void consume(redisContext *context, const plan *plan, size_t events) {
    size_t bytes = 0;
    for (size_t done = 0; done < events;) {
        append_read(context, plan, plan->batch, 0);
        redisReply *reply = next_reply(context);
        const redisReply *entries = entries_of(reply);
        if (!entries) fail("the stream ended early", plan->stream);
        bytes += payload_bytes(entries);
        append_acknowledgement(context, plan, entries);
        done += entries->elements;
        freeReplyObject(reply);
        freeReplyObject(next_reply(context));
    }
    if (bytes != events * PAYLOAD_BYTES) fail("payload bytes are missing", plan->stream);
}

void read_and_acknowledge(const plan *plan) {
    redisContext *context = connect_to(plan->address);
    consume(context, plan, plan->warm_up);
    meter started = meter_start();
    consume(context, plan, plan->events);
    meter_print(started, plan->events, "");
    redisFree(context);
}
