// XRANGE of a page, and an XADD of each of its entries with two fields more to another stream: what a redelivery does.
#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append_copy(redisContext *context, const char *target, const redisReply *entry) {
    const redisReply *id = entry->element[0], *fields = entry->element[1];
    size_t argc = 3 + fields->elements + 4;
    const char **argv = malloc(argc * sizeof *argv);
    size_t *lengths = malloc(argc * sizeof *lengths);
    if (!argv || !lengths) fail("cannot copy", "out of memory");
    argv[0] = "XADD";
    argv[1] = target;
    argv[2] = "*";
    for (int i = 0; i < 3; i++) lengths[i] = strlen(argv[i]);
    for (size_t i = 0; i < fields->elements; i++) {
        argv[3 + i] = fields->element[i]->str;
        lengths[3 + i] = (size_t)fields->element[i]->len;
    }
    const char *more[4] = {"freshetoriginalid", id->str, "freshetreplay", "019abc5e-7d5a-7000-8000-000000000000"};
    for (size_t i = 0; i < 4; i++) {
        argv[3 + fields->elements + i] = more[i];
        lengths[3 + fields->elements + i] = strlen(more[i]);
    }
    append(context, (int)argc, argv, lengths);
    free(argv);
    free(lengths);
}

// The first id behind this one.
static void next_id(char *text, size_t size, const redisReply *id) { snprintf(text, size, "(%s", id->str); }

void copy(const plan *plan) {
    redisContext *context = connect_to(plan->address);
    char from[64] = "-", target[512], count[24];
    snprintf(target, sizeof target, "%s:copy", plan->stream);
    snprintf(count, sizeof count, "%zu", plan->batch);
    meter started = meter_start();
    for (size_t done = 0; done < plan->events;) {
        const char *argv[] = {"XRANGE", plan->stream, from, "+", "COUNT", count};
        size_t lengths[6];
        for (int i = 0; i < 6; i++) lengths[i] = strlen(argv[i]);
        append(context, 6, argv, lengths);
        redisReply *page = next_reply(context);
        if (page->elements == 0) fail("the stream ended early", plan->stream);
        for (size_t i = 0; i < page->elements; i++) append_copy(context, target, page->element[i]);
        for (size_t i = 0; i < page->elements; i++) freeReplyObject(next_reply(context));
        next_id(from, sizeof from, page->element[page->elements - 1]->element[0]);
        done += page->elements;
        freeReplyObject(page);
    }
    meter_print(started, plan->events, "");
    redisFree(context);
}
