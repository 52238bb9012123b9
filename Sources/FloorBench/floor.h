// The floor: the benchmark's work as the usual C program does it with plain hiredis. Replies are hiredis' own trees,
// connections block, nothing is tuned. Any failure ends the process: exit code 1, the reason on standard error.
#ifndef FLOOR_H
#define FLOOR_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#define PAYLOAD_BYTES 256

typedef struct {
    const char *address;  // a path, or host:port
    size_t batch;         // events a round trip
    size_t rate;          // events a second, of the latency work
    size_t warm_up;       // events before the counting begins
    size_t events;        // events that count
    const char *stream, *group;
    const char *database;  // a path where no file is, of the work with records
} plan;

// ---- Connections -----------------------------------------------------------------------------------
redisContext *connect_to(const char *address);
// Appends one command to the context's output buffer.
void append(redisContext *context, int argc, const char **argv, const size_t *lengths);
// The next reply, which is never the server's error. The caller frees it with freeReplyObject.
redisReply *next_reply(redisContext *context);
_Noreturn void fail(const char *reason, const char *detail);

// ---- Measuring -------------------------------------------------------------------------------------
typedef struct {
    double wall, cpu;  // seconds
} meter;

meter meter_start(void);
double now(void);  // seconds of a clock that no one sets
// Prints the line of JSON; `more` holds further members, or is empty.
void meter_print(meter since, size_t events, const char *more);

// ---- Work ------------------------------------------------------------------------------------------
void publish(const plan *plan);
void read_and_acknowledge(const plan *plan);
void measure_latency(const plan *plan);
void handle_with_records(const plan *plan);
void copy(const plan *plan);
// Appends one XADD of one field `data`.
void append_event(redisContext *context, const plan *plan, const char *payload);
// Appends an XREADGROUP of at most `count` entries; with `blocking`, one that waits for the first.
void append_read(redisContext *context, const plan *plan, size_t count, int blocking);
// Appends one XACK of all these entries. They must live until it returns.
void append_acknowledgement(redisContext *context, const plan *plan, const redisReply *entries);
// The entries of an XREADGROUP of one stream, or NULL when it timed out.
const redisReply *entries_of(const redisReply *reply);

#endif
