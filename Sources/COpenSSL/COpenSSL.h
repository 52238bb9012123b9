#ifndef COPENSSL_H
#define COPENSSL_H
// The system's libcrypto, 1.1.1 or newer, for digests (Debian: libssl-dev).
#include <openssl/evp.h>
#endif
