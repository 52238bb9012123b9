#include "CCurlShims.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct fcu_client {
    // A multi handle for the one request: it can be woken from another thread.
    CURLM *multi;
    CURL *easy;
    atomic_int aborted;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void initialise(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

fcu_client *fcu_client_create(void) {
    pthread_once(&once, initialise);
    fcu_client *client = calloc(1, sizeof *client);
    if (!client) return NULL;
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    if (!client->multi || !client->easy) {
        fcu_client_free(client);
        return NULL;
    }
    return client;
}

void fcu_client_free(fcu_client *client) {
    if (!client) return;
    if (client->easy) curl_easy_cleanup(client->easy);
    if (client->multi) curl_multi_cleanup(client->multi);
    free(client);
}

void fcu_client_abort(fcu_client *client) {
    atomic_store(&client->aborted, 1);
    curl_multi_wakeup(client->multi);
}

static size_t take(char *bytes, size_t size, size_t count, void *context) {
    fcu_answer *answer = context;
    size_t room = sizeof answer->body - answer->body_length, length = size * count;
    size_t taken = length < room ? length : room;
    memcpy(answer->body + answer->body_length, bytes, taken);
    answer->body_length += taken;
    return length;
}

static void say(fcu_answer *answer, const char *text) {
    strncpy(answer->error, text, sizeof answer->error - 1);
    answer->error[sizeof answer->error - 1] = 0;
}

// Until the request has ended: its result, or CURLE_ABORTED_BY_CALLBACK when it was aborted.
static CURLcode run(fcu_client *client) {
    int running = 1;
    CURLcode result = CURLE_FAILED_INIT;
    while (running) {
        if (atomic_load(&client->aborted)) return CURLE_ABORTED_BY_CALLBACK;
        if (curl_multi_perform(client->multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
        if (running && curl_multi_poll(client->multi, NULL, 0, 1000, NULL) != CURLM_OK) return CURLE_FAILED_INIT;
    }
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)))
        if (message->msg == CURLMSG_DONE) result = message->data.result;
    return result;
}

void fcu_post(
    fcu_client *client, const char *url, const char *const *headers, const void *body, size_t length,
    long timeout_milliseconds, const char *ca_file, const char *certificate, const char *key, fcu_answer *answer) {
    memset(answer, 0, sizeof *answer);
    if (atomic_load(&client->aborted)) {
        say(answer, "aborted");
        return;
    }
    CURL *easy = client->easy;
    // Keeps the connection and what is known of TLS sessions and names.
    curl_easy_reset(easy);
    struct curl_slist *lines = NULL;
    for (; *headers; headers++) {
        struct curl_slist *longer = curl_slist_append(lines, *headers);
        if (!longer) {
            curl_slist_free_all(lines);
            say(answer, "out of memory");
            return;
        }
        lines = longer;
    }
    char reason[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_milliseconds);
    // Threads and signals do not go together.
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "freshet");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, answer);
#if CURL_AT_LEAST_VERSION(7, 85, 0)
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#endif
#if CURL_AT_LEAST_VERSION(7, 87, 0)
    // A process that ends does not wait for a name that is being looked up.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
    if (ca_file) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (certificate) curl_easy_setopt(easy, CURLOPT_SSLCERT, certificate);
    if (key) curl_easy_setopt(easy, CURLOPT_SSLKEY, key);
    curl_multi_add_handle(client->multi, easy);
    CURLcode result = run(client);
    curl_multi_remove_handle(client->multi, easy);
    if (result == CURLE_OK) {
        curl_off_t wait = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer->status);
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &wait);
        answer->retry_after = (long)wait;
    } else {
        say(answer, reason[0] ? reason : curl_easy_strerror(result));
    }
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(lines);
}
