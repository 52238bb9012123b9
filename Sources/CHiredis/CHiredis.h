#ifndef CHIREDIS_H
#define CHIREDIS_H
// The system's libhiredis, 0.14.1 or newer (Debian: libhiredis-dev).
#include <hiredis/hiredis.h>
#include <hiredis/read.h>
#endif
