// Which hiredis: that of the headers, and the one that is loaded.
#define _GNU_SOURCE
#include "CHiredisShims.h"

#include <hiredis/hiredis.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

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

int fch_hiredis_library_path(char *path, size_t size) {
    Dl_info info;
    char real[PATH_MAX];
    // Compiled position-independent, so this is the address in the library, not of a stub of the program's own.
    if (!dladdr((void *)(uintptr_t)&redisReaderCreateWithFunctions, &info) || !info.dli_fname) return -1;
    if (!realpath(info.dli_fname, real)) return -1;
    int written = snprintf(path, size, "%s", real);
    return written >= 0 && (size_t)written < size ? 0 : -1;
}
