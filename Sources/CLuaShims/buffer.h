// Bytes that grow. Ends the process when there is no memory.
#ifndef CLUASHIMS_BUFFER_H
#define CLUASHIMS_BUFFER_H

#include <stdlib.h>
#include <string.h>

typedef struct {
  char *data;
  size_t length, room;
} buffer;

static inline void add(buffer *b, const void *data, size_t length) {
  if (b->length + length > b->room) {
    size_t room = (b->length + length) * 2;
    char *grown = realloc(b->data, room);
    if (!grown) abort();
    b->data = grown;
    b->room = room;
  }
  if (length) memcpy(b->data + b->length, data, length);
  b->length += length;
}

#endif
