// Opening a connection, one command out, one reply in.
#include "floor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fail(const char *reason, const char *detail) {
    fprintf(stderr, "floor-bench: %s: %s\n", reason, detail);
    exit(1);
}

redisContext *connect_to(const char *address) {
    redisContext *context;
    const char *colon = strrchr(address, ':');
    if (*address == '/' || !colon) {
        context = redisConnectUnix(address);
    } else {
        char host[256];
        snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
        context = redisConnect(host, atoi(colon + 1));
    }
    if (!context) fail("cannot connect", "out of memory");
    if (context->err) fail("cannot connect", context->errstr);
    return context;
}

void append(redisContext *context, int argc, const char **argv, const size_t *lengths) {
    if (redisAppendCommandArgv(context, argc, argv, lengths) != REDIS_OK)
        fail("cannot write a command", context->errstr);
}

redisReply *next_reply(redisContext *context) {
    void *reply = NULL;
    if (redisGetReply(context, &reply) != REDIS_OK) fail("connection lost", context->errstr);
    redisReply *tree = reply;
    if (tree->type == REDIS_REPLY_ERROR) fail("the server answered", tree->str);
    return tree;
}
