#ifndef CPOSTGRESQL_H
#define CPOSTGRESQL_H
// The system's libpq, 14 or newer for its pipeline mode (Debian: libpq-dev, whose headers have a folder of their own).
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif
#endif
