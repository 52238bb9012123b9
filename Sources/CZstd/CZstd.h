#ifndef CZSTD_H
#define CZSTD_H
// The system's libzstd, 1.4 or newer for ZSTD_compressStream2 (Debian: libzstd-dev).
#include <zstd.h>
#endif
