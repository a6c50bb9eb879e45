// SPDX-License-Identifier: MIT
// plugin.h - what the files of protoc-gen-edri share.

#ifndef PLUGIN_H
#define PLUGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "google/protobuf/compiler/plugin.pb-c.h"
#include "schema/options.h"

typedef Google__Protobuf__FileDescriptorProto file_t;
typedef Google__Protobuf__DescriptorProto message_t;
typedef Google__Protobuf__Compiler__CodeGeneratorRequest request_t;

// text_t is a text that grows.
typedef struct text {
    char *data;
    size_t size;
} text_t;

void text_add(text_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// ----- names.c: protobuf-c's naming, and ours

// name_type gives "Shop__OrderPlaced" for "shop.OrderPlaced", as protoc-gen-c
// does; name_function "shop__order_placed"; name_ours "shop_order_placed".
// name_descriptor gives "shop__order_placed__descriptor".  Caller frees.
char *name_type(const char *full_name);
char *name_function(const char *full_name);
char *name_ours(const char *full_name);

// name_file gives "dir/shop" for "dir/shop.proto"; caller frees.
char *name_file(const char *path);

// name_macro gives "DIR_SHOP" for "dir/shop"; caller frees.
char *name_macro(const char *path);

// name_is_reserved says whether C or C++ keep the word for themselves.
bool name_is_reserved(const char *name);

// ----- problems.c: what is wrong, and where

// problem adds "FILE:LINE:COLUMN: text" for the element at 'path' (numbers as
// in SourceCodeInfo); the nearest known element above it serves as well.
void problem(text_t *problems, const file_t *file, const int *path,
    size_t length, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

// ----- generate.c: the code

// event_t is one event type of a file, checked.
typedef struct event {
    const char *name; // full
    options_t options;
} event_t;

// generate_header and generate_source write x.edri.h and x.edri.c.
void generate_header(
    text_t *out, const file_t *file, const event_t *events, size_t count);
void generate_source(text_t *out, const request_t *request, const file_t *file,
    const event_t *events, size_t count);

#endif
