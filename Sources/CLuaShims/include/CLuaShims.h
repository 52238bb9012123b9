// Redis' scripts on the system's Lua 5.1: `redis.call`, `redis.pcall`, `redis.error_reply`, `redis.status_reply`, `redis.sha1hex` is
// not there, and of `cmsgpack` what arrays, texts and whole numbers need. Requests and replies are RESP2, as on the wire.
#ifndef CLUASHIMS_H
#define CLUASHIMS_H

#include <stddef.h>

typedef struct fls_state fls_state;

// Executes one command of a script; the callee gives the reply with fls_answer before it returns.
typedef void (*fls_execute)(void *context, const char *request, size_t length);

// NULL when there is no memory.
fls_state *fls_new(fls_execute execute, void *context);
void fls_free(fls_state *state);

// The reply to the command that is being executed, copied.
void fls_answer(fls_state *state, const char *reply, size_t length);

// Runs a script; `digest` is its name, under which it stays compiled. `arguments` are texts with their lengths, the first
// `key_count` of them the keys. The reply is valid until the next call.
const char *fls_run(fls_state *state, const char *digest, const char *source, size_t source_length, const char *const *arguments,
                    const size_t *lengths, size_t count, size_t key_count, size_t *reply_length);

#endif
