// TLS by OpenSSL over a socket that hiredis has connected: the loop moves the bytes, nothing here waits. hiredis
// before 1.0 has no TLS, and hiredis_ssl does not check the peer's name.
#include "CHiredisShims.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fch_tls {
    SSL *ssl;
    int fd;
    int failed_errno;
    char error[256];
};

// ---- The socket, as a BIO: OpenSSL's own would raise SIGPIPE ----------------------------------------------

static int socket_read(BIO *bio, char *bytes, int count) {
    struct fch_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ptrdiff_t moved = fch_read(tls->fd, (uint8_t *)bytes, (size_t)count);
    if (moved == -1) BIO_set_retry_read(bio);
    if (moved < -1) tls->failed_errno = (int)-moved;
    return moved < 0 ? -1 : (int)moved;
}

static int socket_write(BIO *bio, const char *bytes, int count) {
    struct fch_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ptrdiff_t moved = fch_write(tls->fd, (const uint8_t *)bytes, (size_t)count);
    if (moved == -1) BIO_set_retry_write(bio);
    if (moved < -1) tls->failed_errno = (int)-moved;
    return moved < 0 ? -1 : (int)moved;
}

static long socket_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO *socket_bio(struct fch_tls *tls) {
    static BIO_METHOD *method;  // made once, by whoever comes first, and never freed
    BIO_METHOD *known = __atomic_load_n(&method, __ATOMIC_ACQUIRE);
    if (!known) {
        BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "freshet socket");
        if (!made) return NULL;
        BIO_meth_set_read(made, socket_read);
        BIO_meth_set_write(made, socket_write);
        BIO_meth_set_ctrl(made, socket_control);
        if (__atomic_compare_exchange_n(&method, &known, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) known = made;
        else BIO_meth_free(made);
    }
    BIO *bio = BIO_new(known);
    if (bio) {
        BIO_set_data(bio, tls);
        BIO_set_init(bio, 1);
    }
    return bio;
}

// ---- What certificates to show and to trust ------------------------------------------------------------------

static void *refuse(char *error, size_t error_size, const char *what, const char *file) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(error, error_size, "%s%s%s: %s", what, file ? " " : "", file ? file : "", reason ? reason : "cannot be used");
    ERR_clear_error();
    return NULL;
}

fch_tls_context *fch_tls_context_create(
    const char *ca, const char *certificate, const char *key, int verify, char *error, size_t error_size) {
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context) return refuse(error, error_size, "TLS", NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    const char *what = NULL, *file = NULL;
    if (ca) {
        if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1) what = "the CA file", file = ca;
    } else if (verify && SSL_CTX_set_default_verify_paths(context) != 1) {
        what = "the system's CA certificates";
    }
    if (!what && certificate && SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        what = "the certificate file", file = certificate;
    if (!what && key && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        what = "the key file", file = key;
    if (!what && key && SSL_CTX_check_private_key(context) != 1)
        what = "the key does not belong to the certificate", file = certificate;
    if (!what) return (fch_tls_context *)context;
    refuse(error, error_size, what, file);
    SSL_CTX_free(context);
    return NULL;
}

void fch_tls_context_free(fch_tls_context *context) { SSL_CTX_free((SSL_CTX *)context); }

// ---- One connection ----------------------------------------------------------------------------------------------

static int is_address(const char *name) {
    struct in6_addr address;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

fch_tls *fch_tls_create(fch_tls_context *context, int fd, const char *name) {
    fch_tls *tls = calloc(1, sizeof *tls);
    if (!tls) return NULL;
    tls->fd = fd;
    tls->ssl = SSL_new((SSL_CTX *)context);
    BIO *bio = tls->ssl ? socket_bio(tls) : NULL;
    if (!bio) {
        fch_tls_free(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_connect_state(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(SSL_get0_param(tls->ssl), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int named = is_address(name)
        ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), name)
        : SSL_set1_host(tls->ssl, name) && SSL_set_tlsext_host_name(tls->ssl, name);
    if (!named) {
        fch_tls_free(tls);
        return NULL;
    }
    return tls;
}

void fch_tls_free(fch_tls *tls) {
    if (!tls) return;
    SSL_free(tls->ssl);
    free(tls);
}

// Says what ended the connection: the verdict on the peer's certificate, an alert, or the socket's own error.
static ptrdiff_t explain(fch_tls *tls, int result) {
    int kind = SSL_get_error(tls->ssl, result);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) return -1;
    if (kind == SSL_ERROR_ZERO_RETURN) return 0;
    unsigned long code = ERR_peek_last_error();
    long verdict = SSL_get_verify_result(tls->ssl);
    if (code && ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        snprintf(tls->error, sizeof tls->error, "the server's certificate is refused: %s", X509_verify_cert_error_string(verdict));
    else if (code && ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(tls->error, sizeof tls->error, "the server does not speak TLS here");
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    else if (code && ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return 0;
    }
#endif
    else if (code)
        snprintf(tls->error, sizeof tls->error, "TLS: %s", ERR_reason_error_string(code) ? ERR_reason_error_string(code) : "failed");
    else if (tls->failed_errno)
        return ERR_clear_error(), -(ptrdiff_t)tls->failed_errno;
    else
        return 0;  // the peer hung up without a word
    ERR_clear_error();
    return FCH_TLS_FAILED;
}

ptrdiff_t fch_tls_handshake(fch_tls *tls, int *wants_write) {
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) return 1;
    *wants_write = SSL_want_write(tls->ssl);
    return explain(tls, result);
}

// Fills `bytes` from as many records as have come, so that fewer than `count` means that no more is there now.
ptrdiff_t fch_tls_read(fch_tls *tls, uint8_t *bytes, size_t count) {
    size_t filled = 0;
    ERR_clear_error();
    while (filled < count) {
        size_t most = count - filled > INT_MAX ? INT_MAX : count - filled;
        int result = SSL_read(tls->ssl, bytes + filled, (int)most);
        if (result <= 0) return filled ? (ptrdiff_t)filled : explain(tls, result);
        filled += (size_t)result;
    }
    return (ptrdiff_t)filled;
}

ptrdiff_t fch_tls_write(fch_tls *tls, const uint8_t *bytes, size_t count) {
    ERR_clear_error();
    int result = SSL_write(tls->ssl, bytes, count > INT_MAX ? INT_MAX : (int)count);
    return result > 0 ? result : explain(tls, result);
}

size_t fch_tls_pending(const fch_tls *tls) { return (size_t)SSL_pending(tls->ssl); }
const char *fch_tls_error(const fch_tls *tls) { return tls->error; }

// ---- Digests ---------------------------------------------------------------------------------------------------------

void fch_sha1_hex(const uint8_t *bytes, size_t count, char hex[41]) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(bytes, count, digest);
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}
