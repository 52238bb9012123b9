// What Swift needs of libcurl: its options are variadic functions, which Swift cannot call. One client sends one
// request at a time, on whatever thread, and keeps its connection open in between.
#ifndef CCURL_SHIMS_H
#define CCURL_SHIMS_H

#include <stddef.h>

typedef struct fcu_client fcu_client;

typedef struct {
    // 0 when the server gave no answer: `error` then says why.
    long status;
    // Seconds that the server asks to wait before the next try; 0 when it does not say.
    long retry_after;
    // The first bytes of the answer's body.
    char body[4096];
    size_t body_length;
    char error[256];
} fcu_answer;

// NULL when out of memory. Free with fcu_client_free, when no request is under way.
fcu_client *fcu_client_create(void);
void fcu_client_free(fcu_client *client);

// POSTs a body and waits for the answer, for so many milliseconds at most. `headers` are lines such as "name: value",
// ended by NULL. `ca_file`, `certificate` and `key` are paths of PEM files, or NULL for the system's certificates and
// for none.
void fcu_post(
    fcu_client *client, const char *url, const char *const *headers, const void *body, size_t length,
    long timeout_milliseconds, const char *ca_file, const char *certificate, const char *key, fcu_answer *answer);

// From any thread: ends the request that is under way, and those to come, at once.
void fcu_client_abort(fcu_client *client);

#endif
