// SPDX-License-Identifier: MIT
// bench_types.c - event types that are made at run time, with what declares them.
//
// DESIGN
// A type needs a descriptor for the node and a file, a packed FileDescriptorSet, for
// the switch, which reads it as it reads any.  Both are copies of what protoc made of
// edri.bench.Ping under other names: the set is Ping's without its last file, and
// behind that one file with 100 messages whose bytes are Ping's.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "bench.edri.h"
#include "bench.h"
#include "bench_growth.h"

#define PACKAGE    "edri.bench.growth"
#define FILE_TYPES 100

// Numbers of fields in google/protobuf/descriptor.proto.
enum {
    SET_FILE = 1,
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_SYNTAX = 12,
    MESSAGE_NAME = 1,
};

typedef struct bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} bytes_t;

// ----- writing

static void
put(bytes_t *self, const void *data, size_t size)
{
    if (self->size + size > self->capacity) {
        self->capacity = self->capacity * 2 + size;
        self->data = realloc(self->data, self->capacity);
        if (self->data == NULL) {
            bench_fail("no memory for the types");
        }
    }
    if (size > 0) {
        memcpy(self->data + self->size, data, size);
    }
    self->size += size;
}

// put_field writes a field that has a length.
static void
put_field(bytes_t *self, unsigned number, const void *data, size_t size)
{
    uint8_t tag = (uint8_t)(number << 3 | 2);
    put(self, &tag, 1);
    size_t left = size;
    do {
        uint8_t byte = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
        put(self, &byte, 1);
        left >>= 7;
    } while (left > 0);
    put(self, data, size);
}

static void
put_text(bytes_t *self, unsigned number, const char *text)
{
    put_field(self, number, text, strlen(text));
}

// ----- reading

// take takes the next field, which has a length: all that are read here do, but
// for the first of a message that is skipped.  Returns its number, or 0.
static unsigned
take(const uint8_t **at, const uint8_t *end, const uint8_t **data, size_t *size)
{
    if (*at == end) {
        return 0;
    }
    unsigned number = *(*at)++ >> 3;
    unsigned shift = 0;
    *size = 0;
    do {
        *size |= (size_t)(**at & 127) << shift;
        shift += 7;
    } while ((*(*at)++ & 128) != 0 && shift < 35);
    *data = *at;
    *at += *size;
    return number;
}

// find_ping finds the bytes of Ping's declaration behind its name, and the files
// before the one that has it.
static void
find_ping(bytes_t *before, bytes_t *body)
{
    const edri_file_t *file = edri_bench_ping_type.file;
    const uint8_t *at = file->data;
    const uint8_t *end = file->data + file->size;
    const uint8_t *data = NULL;
    const uint8_t *last = at;
    size_t size = 0;
    for (const uint8_t *next = at; take(&next, end, &data, &size) != 0;) {
        last = at;
        at = next;
    }
    put(before, file->data, (size_t)(last - file->data));
    end = data + size; // of the last file, whose first message is Ping
    at = data;
    while (take(&at, end, &data, &size) != FILE_MESSAGE) {
    }
    at = data;
    end = data + size;
    (void)take(&at, end, &data, &size); // MESSAGE_NAME
    put(body, at, (size_t)(end - at));
}

// ----- types

static void
put_message(bytes_t *file, const char *name, const bytes_t *body)
{
    bytes_t message = {0};
    put_text(&message, MESSAGE_NAME, name);
    put(&message, body->data, body->size);
    put_field(file, FILE_MESSAGE, message.data, message.size);
    free(message.data);
}

// declare makes the file of some types.
static edri_file_t
declare(const made_type_t *types, size_t count, const bytes_t *before,
    const bytes_t *body)
{
    bytes_t file = {0};
    bytes_t set = {0};
    char name[64];
    (void)snprintf(name, sizeof name, "%s.proto", types->name + sizeof PACKAGE);
    put_text(&file, FILE_NAME, name);
    put_text(&file, FILE_PACKAGE, PACKAGE);
    put_text(&file, FILE_DEPENDENCY, "edri/event.proto");
    for (size_t i = 0; i < count; i++) {
        put_message(&file, types[i].name + sizeof PACKAGE, body);
    }
    put_text(&file, FILE_SYNTAX, "proto3");
    put(&set, before->data, before->size);
    put_field(&set, SET_FILE, file.data, file.size);
    free(file.data);
    edri_file_t result = {
        .name = strdup(name), .data = set.data, .size = set.size};
    sha256(set.data, set.size, result.sha256);
    return result;
}

static void
make(made_type_t *self, size_t number, const edri_file_t *file)
{
    (void)snprintf(self->name, sizeof self->name, PACKAGE ".T%zu", number);
    self->message = edri__bench__ping__descriptor;
    self->message.name = self->name;
    self->message.short_name = self->name + sizeof PACKAGE;
    self->message.message_init = NULL; // Ping's would say that it is a Ping
    self->type = edri_bench_ping_type;
    self->type.name = self->name;
    self->type.id = edri_type_id(self->name);
    self->type.message = &self->message;
    self->type.file = file;
}

made_types_t
made_types_new(size_t count)
{
    bytes_t before = {0};
    bytes_t body = {0};
    size_t files = (count + FILE_TYPES - 1) / FILE_TYPES;
    made_types_t self = {.items = calloc(count, sizeof(made_type_t)),
        .files = calloc(files, sizeof(edri_file_t)),
        .count = count};
    if (self.items == NULL || self.files == NULL) {
        bench_fail("no memory for %zu types", count);
    }
    for (size_t i = 0; i < count; i++) {
        make(&self.items[i], i, &self.files[i / FILE_TYPES]);
    }
    find_ping(&before, &body);
    for (size_t i = 0; i < files; i++) {
        size_t first = i * FILE_TYPES;
        size_t left = count - first;
        self.files[i] = declare(&self.items[first],
            left < FILE_TYPES ? left : FILE_TYPES, &before, &body);
    }
    free(before.data);
    free(body.data);
    return self;
}

void
made_types_end(made_types_t *self)
{
    for (size_t i = 0; i * FILE_TYPES < self->count; i++) {
        free((void *)(uintptr_t)self->files[i].data);
        free((void *)(uintptr_t)self->files[i].name);
    }
    free(self->files);
    free(self->items);
}
