// Sockets: hiredis connects, the descriptor then belongs to the loop.
#define _GNU_SOURCE
#include "CHiredisShims.h"

#include <hiredis/hiredis.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int take_descriptor(redisContext *context, char *error, size_t error_size) {
    if (!context) {
        snprintf(error, error_size, "out of memory");
        return -1;
    }
    if (context->err) {
        snprintf(error, error_size, "%s", context->errstr);
        redisFree(context);
        return -1;
    }
    int fd = redisFreeKeepFd(context);
    // hiredis before 1.4 sets no CLOEXEC: a child started between its socket() and this line still inherits.
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

int fch_connect_tcp(const char *address, int port, char *error, size_t error_size) {
    int fd = take_descriptor(redisConnectNonBlock(address, port), error, error_size);
    if (fd < 0) return fd;
    int on = 1, idle = 15, interval = 5, probes = 3;  // a peer that vanished is noticed within 30 s
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#ifdef TCP_KEEPIDLE
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
#endif
    return fd;
}

int fch_connect_unix(const char *path, char *error, size_t error_size) {
    return take_descriptor(redisConnectUnixNonBlock(path), error, error_size);
}

int fch_connect_result(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
    return error;
}

static ptrdiff_t outcome(ssize_t result) {
    if (result >= 0) return result;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : -(ptrdiff_t)errno;
}

_Static_assert(EPERM == 1, "-1 must not be mistaken for -EPERM: neither read nor send on a socket fails with it");

ptrdiff_t fch_read(int fd, uint8_t *bytes, size_t count) {
    ssize_t result;
    do result = read(fd, bytes, count);
    while (result < 0 && errno == EINTR);
    return outcome(result);
}

ptrdiff_t fch_write(int fd, const uint8_t *bytes, size_t count) {
    ssize_t result;
    do result = send(fd, bytes, count, MSG_NOSIGNAL);
    while (result < 0 && errno == EINTR);
    return outcome(result);
}

void fch_close(int fd) { close(fd); }

int fch_poll(struct pollfd *set, size_t count, int64_t nanoseconds) {
    struct timespec wait = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    return ppoll(set, count, nanoseconds < 0 ? NULL : &wait, NULL);
}

void fch_thread_name(const char *name) {
    char text[16];
    snprintf(text, sizeof text, "%.15s", name);
    pthread_setname_np(pthread_self(), text);
}

int fch_wakeup_create(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void fch_wakeup_signal(int fd) {
    uint64_t one = 1;
    ssize_t written;
    do written = write(fd, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

void fch_wakeup_drain(int fd) {
    uint64_t count;
    ssize_t taken;
    do taken = read(fd, &count, sizeof count);
    while (taken < 0 && errno == EINTR);
}

#if HIREDIS_MAJOR >= 1
#pragma weak redisConnectWithOptions
int fch_hiredis_library_fits(void) { return &redisConnectWithOptions != NULL; }
#else
extern void redisConnectWithOptions(void) __attribute__((weak));
int fch_hiredis_library_fits(void) { return &redisConnectWithOptions == NULL; }
#endif

int fch_hiredis_major(void) { return HIREDIS_MAJOR; }
int fch_hiredis_minor(void) { return HIREDIS_MINOR; }
int fch_hiredis_patch(void) { return HIREDIS_PATCH; }
