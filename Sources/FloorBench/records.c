// Events into a database: XREADGROUP of 256, for each event an inbox row and a business row, COMMIT, XACK. A batch of
// one commits each event by itself; a larger one commits and acknowledges so many together.
#define _GNU_SOURCE
#include "floor.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define READ_COUNT 256

typedef struct {
    sqlite3 *file;
    sqlite3_stmt *begin, *commit, *enter, *book;
} database;

// What a handler needs of an event. The texts are the reply's own and end with a NUL.
typedef struct {
    const char *id, *source, *data;
} event;

static void check(database *database, int result, int expected) {
    if (result != expected) fail("SQLite", sqlite3_errmsg(database->file));
}

static sqlite3_stmt *prepare(database *database, const char *sql) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v3(database->file, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
    check(database, result, SQLITE_OK);
    return statement;
}

// The inbox as FreshetRecords' migrations make it, and the table that the Swift side makes for its handler.
static database open_database(const plan *plan) {
    database database = {0};
    if (sqlite3_open(plan->database, &database.file) != SQLITE_OK) fail("cannot open", plan->database);
    check(&database, sqlite3_exec(database.file,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        "CREATE TABLE inbox ("
        "  consumer_group TEXT NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL,"
        "  handled_at TEXT NOT NULL, PRIMARY KEY (consumer_group, source, event_id));"
        "CREATE INDEX inbox_handled ON inbox (handled_at);"
        "CREATE TABLE bookings (event_id TEXT NOT NULL, customer TEXT NOT NULL, total BIGINT NOT NULL,"
        "  currency TEXT NOT NULL);", NULL, NULL, NULL), SQLITE_OK);
    database.begin = prepare(&database, "BEGIN IMMEDIATE");
    database.commit = prepare(&database, "COMMIT");
    database.enter = prepare(&database,
        "INSERT INTO inbox (consumer_group, source, event_id, handled_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING");
    database.book = prepare(&database,
        "INSERT INTO bookings (event_id, customer, total, currency) VALUES (?, ?, ?, ?)");
    return database;
}

static void close_database(database *database) {
    sqlite3_finalize(database->begin);
    sqlite3_finalize(database->commit);
    sqlite3_finalize(database->enter);
    sqlite3_finalize(database->book);
    check(database, sqlite3_close(database->file), SQLITE_OK);
}

static void run(database *database, sqlite3_stmt *statement) {
    check(database, sqlite3_step(statement), SQLITE_DONE);
    sqlite3_reset(statement);
}

static void bind(database *database, sqlite3_stmt *statement, int index, const char *text, size_t length) {
    check(database, sqlite3_bind_text(statement, index, text, (int)length, SQLITE_STATIC), SQLITE_OK);
}

static event event_of(const redisReply *entry) {
    const redisReply *fields = entry->element[1];
    event event = {0};
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const char *name = fields->element[i]->str, *value = fields->element[i + 1]->str;
        if (strcmp(name, "id") == 0) event.id = value;
        else if (strcmp(name, "source") == 0) event.source = value;
        else if (strcmp(name, "data") == 0) event.data = value;
    }
    if (!event.id || !event.source || !event.data) fail("not an event", entry->element[0]->str);
    return event;
}

// Behind `"name":`. Searching is all the parsing that this flat JSON needs.
static const char *member(const char *data, const char *name) {
    const char *found = strstr(data, name);
    if (!found) fail("the data lacks", name);
    return found + strlen(name);
}

static size_t length_of_text(const char *text) {
    const char *end = strchr(text, '"');
    if (!end) fail("the data is not JSON", text);
    return (size_t)(end - text);
}

static size_t write_now(char *text, size_t size) {
    struct timespec time;
    struct tm calendar;
    clock_gettime(CLOCK_REALTIME, &time);
    gmtime_r(&time.tv_sec, &calendar);
    size_t length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &calendar);
    return length + (size_t)snprintf(text + length, size - length, ".%03ldZ", time.tv_nsec / 1000000);
}

static void handle(database *database, const plan *plan, event event) {
    char now[40];
    bind(database, database->enter, 1, plan->group, strlen(plan->group));
    bind(database, database->enter, 2, event.source, strlen(event.source));
    bind(database, database->enter, 3, event.id, strlen(event.id));
    bind(database, database->enter, 4, now, write_now(now, sizeof now));
    run(database, database->enter);
    if (sqlite3_changes(database->file) == 0) return;  // it was handled before

    const char *customer = member(event.data, "\"customer\":\"");
    const char *currency = member(event.data, "\"currency\":\"");
    long long total = strtoll(member(event.data, "\"total\":"), NULL, 10);
    bind(database, database->book, 1, event.id, strlen(event.id));
    bind(database, database->book, 2, customer, length_of_text(customer));
    check(database, sqlite3_bind_int64(database->book, 3, total), SQLITE_OK);
    bind(database, database->book, 4, currency, length_of_text(currency));
    run(database, database->book);
}

static void consume(redisContext *context, database *database, const plan *plan, size_t events) {
    size_t unanswered = 0;
    for (size_t done = 0; done < events;) {
        // The acknowledgements of one read leave with the next read, in one write: a program that waited for each
        // XACK's answer would be slower, and the inbox knows what is delivered again after a crash.
        append_read(context, plan, READ_COUNT, 0);
        for (; unanswered > 0; unanswered--) freeReplyObject(next_reply(context));
        redisReply *reply = next_reply(context);
        const redisReply *entries = entries_of(reply);
        if (!entries) fail("the stream ended early", plan->stream);
        for (size_t first = 0; first < entries->elements; first += plan->batch) {
            size_t end = first + plan->batch < entries->elements ? first + plan->batch : entries->elements;
            run(database, database->begin);
            for (size_t i = first; i < end; i++) handle(database, plan, event_of(entries->element[i]));
            run(database, database->commit);
            redisReply batch = {.element = entries->element + first, .elements = end - first};
            append_acknowledgement(context, plan, &batch);
            unanswered++;
        }
        done += entries->elements;
        freeReplyObject(reply);
    }
    for (; unanswered > 0; unanswered--) freeReplyObject(next_reply(context));
}

static void check_rows(database *database, const char *sql, size_t expected) {
    sqlite3_stmt *statement = prepare(database, sql);
    check(database, sqlite3_step(statement), SQLITE_ROW);
    if ((size_t)sqlite3_column_int64(statement, 0) != expected) fail("rows are missing", sql);
    sqlite3_finalize(statement);
}

void handle_with_records(const plan *plan) {
    redisContext *context = connect_to(plan->address);
    database database = open_database(plan);
    consume(context, &database, plan, plan->warm_up);
    meter started = meter_start();
    consume(context, &database, plan, plan->events);
    meter_print(started, plan->events, "");
    check_rows(&database, "SELECT count(*) FROM inbox", plan->warm_up + plan->events);
    check_rows(&database, "SELECT count(*) FROM bookings", plan->warm_up + plan->events);
    close_database(&database);
    redisFree(context);
}
