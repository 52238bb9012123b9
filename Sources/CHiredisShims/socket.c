// Sockets: hiredis connects, the descriptor then belongs to the loop.
#define _GNU_SOURCE
#include "CHiredisShims.h"

#include <hiredis/hiredis.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
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

int fch_poller_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int fch_poller_set(int poller, int fd, int known, uint32_t events) {
    struct epoll_event event = {
        .events = (events & FCH_READABLE ? EPOLLIN : 0) | (events & FCH_WRITABLE ? EPOLLOUT : 0), .data.fd = fd};
    int operation = events == 0 ? EPOLL_CTL_DEL : known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    return epoll_ctl(poller, operation, fd, &event) == 0 ? 0 : errno;
}

int fch_poller_wait(int poller, fch_event *events, int room, int waits) {
    struct epoll_event ready[64];
    int count = epoll_wait(poller, ready, room < 64 ? room : 64, waits ? -1 : 0);
    for (int i = 0; i < count; i++)
        events[i] = (fch_event){
            .descriptor = ready[i].data.fd,
            .events = (ready[i].events & EPOLLIN ? FCH_READABLE : 0) | (ready[i].events & EPOLLOUT ? FCH_WRITABLE : 0)
                | (ready[i].events & (EPOLLERR | EPOLLHUP) ? FCH_BROKEN : 0)};
    return count;
}

int fch_timer_create(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC); }

void fch_timer_set(int fd, uint64_t nanoseconds) {
    struct itimerspec time = {
        .it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)}};
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &time, NULL);
}

void fch_timer_drain(int fd) { fch_wakeup_drain(fd); }

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
