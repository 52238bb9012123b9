// What Swift needs of hiredis and cannot do itself: open a socket, write to it, and parse replies into a
// flat arena through hiredis' own reader. Every type is opaque, every function belongs to one thread at a
// time (the loop that owns the link), and the differences between hiredis versions end in this folder.
#ifndef CHIREDIS_SHIMS_H
#define CHIREDIS_SHIMS_H

#include <stddef.h>
#include <stdint.h>

// ---- A reply, flat ---------------------------------------------------------------------------------
// Nodes come in depth-first order. `count` is the byte length of a text, the element count of an array;
// `value` is the offset of a text in the byte arena, the number of an integer, and for an array the index
// one past its last descendant, so that a sibling is found in one step.
enum {
    FCH_STRING = 1, FCH_ARRAY = 2, FCH_INTEGER = 3, FCH_NIL = 4, FCH_STATUS = 5, FCH_ERROR = 6
};

typedef struct {
    uint8_t kind;
    uint32_t count;
    int64_t value;
} fch_node;

typedef struct fch_reader fch_reader;

// A reader that refuses replies of more than `max_reply_bytes`. NULL when out of memory. Free with
// fch_reader_free.
fch_reader *fch_reader_create(size_t max_reply_bytes);
void fch_reader_free(fch_reader *reader);

// Hands over the next bytes from the server. They are not copied: `bytes` must stay valid until
// fch_reader_next has returned 0.
void fch_reader_feed(fch_reader *reader, const uint8_t *bytes, size_t count);

// Parses on: 1 when one more whole reply stands in the arena, 0 when all bytes fed are used up,
// -1 when the bytes break the protocol or a limit (fch_reader_error says how; the reader is finished).
int fch_reader_next(fch_reader *reader);
const char *fch_reader_error(const fch_reader *reader);
// Whether that is that the reply was larger than the limit.
int fch_reader_is_too_large(const fch_reader *reader);

// The arena: everything parsed since the last take. A take copies it out and empties it (with NULL it only
// empties); only between whole replies.
size_t fch_reader_node_count(const fch_reader *reader);
size_t fch_reader_byte_count(const fch_reader *reader);
size_t fch_reader_error_count(const fch_reader *reader);
void fch_reader_take(fch_reader *reader, fch_node *nodes, uint8_t *bytes);

// ---- A socket ----------------------------------------------------------------------------------------
// Both start a non-blocking connect by hiredis and return a descriptor that is close-on-exec and the
// caller's to close, or -1 with a text in `error`. `address` is numeric: a name would block in getaddrinfo.
int fch_connect_tcp(const char *address, int port, char *error, size_t error_size);
int fch_connect_unix(const char *path, char *error, size_t error_size);

// After the descriptor has become writable: 0 connected, else an errno.
int fch_connect_result(int fd);

// As read(2) and send(2), without SIGPIPE and without EINTR: bytes moved, 0 at the end of file (read),
// -1 would block, otherwise minus errno.
ptrdiff_t fch_read(int fd, uint8_t *bytes, size_t count);
ptrdiff_t fch_write(int fd, const uint8_t *bytes, size_t count);
void fch_close(int fd);

// ---- TLS, by OpenSSL 1.1.1 or newer, on a connected socket ---------------------------------------------------
typedef struct fch_tls_context fch_tls_context;
typedef struct fch_tls fch_tls;

// What to trust and to show, from PEM files; reads them, so not on the loop. `ca` NULL: the system's. `verify` 0
// takes any certificate. NULL with a text in `error` that names the file. TLS 1.2 is the floor.
fch_tls_context *fch_tls_context_create(
    const char *ca, const char *certificate, const char *key, int verify, char *error, size_t error_size);
void fch_tls_context_free(fch_tls_context *context);

// A client's side of one connection to the peer of this name or address, which its certificate must hold (when
// verified at all). Does not own the socket. NULL when out of memory. The context may be freed before it.
fch_tls *fch_tls_create(fch_tls_context *context, int fd, const char *name);
void fch_tls_free(fch_tls *tls);

// 1 done, -1 not yet (poll for what `wants_write` says), 0 hung up, else as fch_tls_read.
ptrdiff_t fch_tls_handshake(fch_tls *tls, int *wants_write);
// As fch_read and fch_write, or FCH_TLS_FAILED: then fch_tls_error says why.
#define FCH_TLS_FAILED (-65536)
ptrdiff_t fch_tls_read(fch_tls *tls, uint8_t *bytes, size_t count);
ptrdiff_t fch_tls_write(fch_tls *tls, const uint8_t *bytes, size_t count);
// Decrypted bytes that no poll will announce.
size_t fch_tls_pending(const fch_tls *tls);
const char *fch_tls_error(const fch_tls *tls);

// The SHA-1 of a script in hexadecimal, as EVALSHA wants it; `hex` has room for 40 characters and a zero.
void fch_sha1_hex(const uint8_t *bytes, size_t count, char hex[41]);

// ---- Polling --------------------------------------------------------------------------------------------
// epoll keeps the set of descriptors in the kernel; poll(2) hands it over at every call, which cost 10 % of the time
// of a client with one command in flight (measured).
enum { FCH_READABLE = 1, FCH_WRITABLE = 2, FCH_BROKEN = 4 };
typedef struct {
    int32_t descriptor;
    uint32_t events;
} fch_event;

int fch_poller_create(void);  // close-on-exec; -1 on failure
// Adds a descriptor to the set (`known` 0) or changes what it is polled for; with `events` 0 takes it out. A descriptor
// must be taken out before it is closed. 0, or the errno.
int fch_poller_set(int poller, int fd, int known, uint32_t events);
// Waits until something is ready, or only looks: the number of events written, 0 or below for none.
int fch_poller_wait(int poller, fch_event *events, int room, int waits);

// A descriptor that becomes readable at a time of the monotonic clock. It is set anew only for an earlier time: a
// time-out handed over at every wait made the kernel program its timer each time, a quarter of the time of a client
// with one command in flight (measured in a virtual machine).
int fch_timer_create(void);  // non-blocking and close-on-exec; -1 on failure
void fch_timer_set(int fd, uint64_t nanoseconds);
void fch_timer_drain(int fd);

// ---- Waking a parked loop ------------------------------------------------------------------------------
int fch_wakeup_create(void);   // an eventfd, non-blocking and close-on-exec; -1 on failure
void fch_wakeup_signal(int fd);
void fch_wakeup_drain(int fd);

void fch_thread_name(const char *name);  // names the calling thread, at most 15 bytes of it

// ---- Versions ------------------------------------------------------------------------------------------
// Of the headers this was compiled with, and whether the library that is loaded fits them: 1, or 0. hiredis has no
// function that tells its version, so this looks for a symbol that came or went with the major version.
int fch_hiredis_major(void);
int fch_hiredis_minor(void);
int fch_hiredis_patch(void);
int fch_hiredis_library_fits(void);

// The file that hiredis' code was loaded from, links resolved (a shared library's name ends with its version): the
// program's own when it is linked statically. 0, or -1 when that cannot be told.
int fch_hiredis_library_path(char *path, size_t size);

#endif
