// Flat replies: hiredis parses, our constructors append to two growing arrays instead of building a tree.
#include "CHiredisShims.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// After each reply the reader moves what is left of its buffer to the front; with 16 KiB slices that costs
// 0.06 us a reply, with 1 MiB slices 1.9 us (measured on hiredis 0.14.1).
#define SLICE_BYTES (16 * 1024)
// hiredis 0.14 stops at 7 levels itself, 1.x only at the end of the memory.
#define MAX_DEPTH 32
// An arena that one huge reply has blown up is given back.
#define KEPT_BYTES (1024 * 1024)

struct fch_reader {
    redisReader *parser;
    fch_node *nodes;
    size_t node_count, node_room;
    uint8_t *bytes;
    size_t byte_count, byte_room;
    const uint8_t *fed;
    size_t fed_count;
    size_t max_reply_bytes, current_reply_bytes;
    size_t error_count;
    size_t reply_start;  // where the present reply's bytes begin: the limit holds for each reply
    const char *refusal;
    int is_too_large;
};

_Static_assert(sizeof(fch_node) == 16, "Swift reads nodes of 16 bytes");

static fch_node *append_node(fch_reader *reader) {
    if (reader->node_count == reader->node_room) {
        size_t room = reader->node_room ? reader->node_room * 2 : 64;
        fch_node *nodes = realloc(reader->nodes, room * sizeof *nodes);
        if (!nodes) return NULL;
        reader->nodes = nodes;
        reader->node_room = room;
    }
    return &reader->nodes[reader->node_count++];
}

// An object, for hiredis, is the node's index plus one: never NULL, never a pointer that could dangle.
static void *object(size_t index) { return (void *)(uintptr_t)(index + 1); }

// The last node of an array closes it, and with it every array of which it is the last element.
static void *close_parents(fch_reader *reader, const redisReadTask *task, size_t index) {
    for (const redisReadTask *t = task; t->parent && t->idx + 1 == t->parent->elements; t = t->parent)
        reader->nodes[(uintptr_t)t->parent->obj - 1].value = (int64_t)reader->node_count;
    return object(index);
}

static void refuse_size(fch_reader *reader) {
    reader->refusal = "reply larger than the configured limit";
    reader->is_too_large = 1;
}

static void *create_string(const redisReadTask *task, char *text, size_t length) {
    fch_reader *reader = task->privdata;
    if (length > reader->max_reply_bytes - (reader->byte_count - reader->reply_start) || length > UINT32_MAX) {
        refuse_size(reader);
        return NULL;
    }
    if (reader->byte_count + length > reader->byte_room) {
        size_t room = reader->byte_room ? reader->byte_room : 4096;
        while (room < reader->byte_count + length) room *= 2;
        uint8_t *bytes = realloc(reader->bytes, room);
        if (!bytes) return NULL;
        reader->bytes = bytes;
        reader->byte_room = room;
    }
    fch_node *node = append_node(reader);
    if (!node) return NULL;
    node->kind = task->type == REDIS_REPLY_STATUS ? FCH_STATUS
               : task->type == REDIS_REPLY_ERROR  ? FCH_ERROR
                                                  : FCH_STRING;
    if (node->kind == FCH_ERROR) reader->error_count++;
    node->count = (uint32_t)length;
    node->value = (int64_t)reader->byte_count;
    memcpy(reader->bytes + reader->byte_count, text, length);
    reader->byte_count += length;
    return close_parents(reader, task, reader->node_count - 1);
}

static void *create_array_of(const redisReadTask *task, long long elements) {
    fch_reader *reader = task->privdata;
    int depth = 0;
    for (const redisReadTask *t = task; t->parent; t = t->parent) depth++;
    if (depth > MAX_DEPTH || elements < 0 || elements > UINT32_MAX) {
        reader->refusal = "reply nested too deeply or with too many elements";
        return NULL;
    }
    fch_node *node = append_node(reader);
    if (!node) return NULL;
    node->kind = FCH_ARRAY;
    node->count = (uint32_t)elements;  // declared, so nothing is allocated from it
    node->value = (int64_t)reader->node_count;
    size_t index = reader->node_count - 1;
    return elements == 0 ? close_parents(reader, task, index) : object(index);
}

static void *create_integer(const redisReadTask *task, long long value) {
    fch_reader *reader = task->privdata;
    fch_node *node = append_node(reader);
    if (!node) return NULL;
    *node = (fch_node){.kind = FCH_INTEGER, .count = 0, .value = value};
    return close_parents(reader, task, reader->node_count - 1);
}

static void *create_nil(const redisReadTask *task) {
    fch_reader *reader = task->privdata;
    fch_node *node = append_node(reader);
    if (!node) return NULL;
    *node = (fch_node){.kind = FCH_NIL, .count = 0, .value = 0};
    return close_parents(reader, task, reader->node_count - 1);
}

static void free_object(void *object) { (void)object; }

#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t elements) {
    return create_array_of(task, elements > UINT32_MAX ? -1 : (long long)elements);
}
static void *create_double(const redisReadTask *task, double value, char *text, size_t length) {
    (void)value;  // RESP3 only; never asked for, so the text will do
    return create_string(task, text, length);
}
static void *create_bool(const redisReadTask *task, int value) { return create_integer(task, value); }
#else
static void *create_array(const redisReadTask *task, int elements) { return create_array_of(task, elements); }
#endif

static redisReplyObjectFunctions constructors = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
};

fch_reader *fch_reader_create(size_t max_reply_bytes) {
    fch_reader *reader = calloc(1, sizeof *reader);
    if (!reader) return NULL;
    reader->parser = redisReaderCreateWithFunctions(&constructors);
    if (!reader->parser) {
        free(reader);
        return NULL;
    }
    reader->parser->maxbuf = KEPT_BYTES;
    reader->parser->privdata = reader;
    reader->max_reply_bytes = max_reply_bytes;
    return reader;
}

void fch_reader_free(fch_reader *reader) {
    if (!reader) return;
    redisReaderFree(reader->parser);
    free(reader->nodes);
    free(reader->bytes);
    free(reader);
}

void fch_reader_feed(fch_reader *reader, const uint8_t *bytes, size_t count) {
    reader->fed = bytes;
    reader->fed_count = count;
}

int fch_reader_next(fch_reader *reader) {
    for (;;) {
        void *reply = NULL;
        if (reader->refusal || redisReaderGetReply(reader->parser, &reply) != REDIS_OK) return -1;
        if (reply) {
            reader->current_reply_bytes = 0;
            reader->reply_start = reader->byte_count;
            return 1;
        }
        if (reader->fed_count == 0) return 0;
        size_t slice = reader->fed_count < SLICE_BYTES ? reader->fed_count : SLICE_BYTES;
        // Protocol bytes count too: an endless line or array must not grow the buffers without end.
        reader->current_reply_bytes += slice;
        if (reader->current_reply_bytes / 2 > reader->max_reply_bytes) {
            refuse_size(reader);
            return -1;
        }
        if (redisReaderFeed(reader->parser, (const char *)reader->fed, slice) != REDIS_OK) return -1;
        reader->fed += slice;
        reader->fed_count -= slice;
    }
}

const char *fch_reader_error(const fch_reader *reader) {
    return reader->refusal ? reader->refusal : reader->parser->errstr;
}

int fch_reader_is_too_large(const fch_reader *reader) { return reader->is_too_large; }

size_t fch_reader_node_count(const fch_reader *reader) { return reader->node_count; }
size_t fch_reader_byte_count(const fch_reader *reader) { return reader->byte_count; }
size_t fch_reader_error_count(const fch_reader *reader) { return reader->error_count; }

void fch_reader_take(fch_reader *reader, fch_node *nodes, uint8_t *bytes) {
    if (nodes && reader->node_count) memcpy(nodes, reader->nodes, reader->node_count * sizeof *nodes);
    if (bytes && reader->byte_count) memcpy(bytes, reader->bytes, reader->byte_count);
    reader->node_count = reader->byte_count = reader->error_count = reader->reply_start = 0;
    if (reader->byte_room > KEPT_BYTES) {
        free(reader->bytes);
        reader->bytes = NULL;
        reader->byte_room = 0;
    }
    if (reader->node_room * sizeof *nodes > KEPT_BYTES) {
        free(reader->nodes);
        reader->nodes = NULL;
        reader->node_room = 0;
    }
}
