// libFuzzer's target for the reply reader (`make fuzz`): the same bytes go to one reader whole and to another in pieces.
// Both must give the same replies and end the same way, and every reply must be a well-formed tree within its arena.
// A third reader with a small limit must never hold more than that. AddressSanitizer watches all of them.
#include "CHiredisShims.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What a reader made of its bytes, as text that can be compared.
typedef struct {
    char *text;
    size_t size;
    int ending;  // 0 all bytes used, -1 refused
} outcome;

static void fail(const char *why) {
    fprintf(stderr, "broken: %s\n", why);
    abort();
}

// One node and all below it; returns the index behind them.
static size_t walk(FILE *out, const fch_node *nodes, size_t node_count, const uint8_t *bytes, size_t byte_count,
                   size_t index) {
    if (index >= node_count) fail("a tree runs past its nodes");
    const fch_node *node = &nodes[index];
    switch (node->kind) {
    case FCH_STRING: case FCH_STATUS: case FCH_ERROR:
        if (node->value < 0 || (size_t)node->value + node->count > byte_count) fail("a text outside the arena");
        fprintf(out, "%c%u:", 'a' + node->kind, node->count);
        fwrite(bytes + node->value, 1, node->count, out);
        return index + 1;
    case FCH_INTEGER:
        fprintf(out, "i%lld,", (long long)node->value);
        return index + 1;
    case FCH_NIL:
        fputc('n', out);
        return index + 1;
    case FCH_ARRAY: {
        fprintf(out, "[%u ", node->count);
        size_t next = index + 1;
        for (uint32_t i = 0; i < node->count; i++) next = walk(out, nodes, node_count, bytes, byte_count, next);
        if (node->value < 0 || (size_t)node->value != next) fail("an array does not end where it says");
        fputc(']', out);
        return next;
    }
    default: fail("a node of no kind");
    }
    return 0;
}

static outcome read_all(const uint8_t *data, size_t size, size_t piece, size_t limit) {
    outcome result = {0};
    FILE *out = open_memstream(&result.text, &result.size);
    fch_reader *reader = fch_reader_create(limit);
    if (!out || !reader) exit(1);
    for (size_t at = 0; at < size && result.ending == 0; at += piece) {
        // Its own copy: a reader that looks behind its piece is caught.
        size_t count = size - at < piece ? size - at : piece;
        uint8_t *copy = malloc(count);
        memcpy(copy, data + at, count);
        fch_reader_feed(reader, copy, count);
        int state;
        while ((state = fch_reader_next(reader)) == 1) {
            size_t node_count = fch_reader_node_count(reader), byte_count = fch_reader_byte_count(reader);
            if (byte_count > limit) fail("a reply above the limit");
            fch_node *nodes = malloc(node_count * sizeof *nodes + 1);
            uint8_t *bytes = malloc(byte_count + 1);
            size_t errors = fch_reader_error_count(reader), found = 0;
            fch_reader_take(reader, nodes, bytes);
            if (walk(out, nodes, node_count, bytes, byte_count, 0) != node_count) fail("nodes that belong to no reply");
            for (size_t i = 0; i < node_count; i++) found += nodes[i].kind == FCH_ERROR;
            if (found != errors) fail("the errors were not counted");
            fputc('\n', out);
            free(nodes);
            free(bytes);
        }
        result.ending = state;
        if (state < 0) fprintf(out, "refused: %s", fch_reader_error(reader));
        free(copy);
    }
    fch_reader_free(reader);
    fclose(out);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    size_t piece = 1 + data[0] % 32;
    data++, size--;
    outcome whole = read_all(data, size, size ? size : 1, 1 << 20);
    outcome pieces = read_all(data, size, piece, 1 << 20);
    if (whole.ending != pieces.ending || whole.size != pieces.size || memcmp(whole.text, pieces.text, whole.size) != 0) {
        fprintf(stderr, "whole:  %.*s\npieces: %.*s\n", (int)whole.size, whole.text, (int)pieces.size, pieces.text);
        fail("cut replies are other replies");
    }
    outcome small = read_all(data, size, piece, 64);
    free(whole.text);
    free(pieces.text);
    free(small.text);
    return 0;
}
