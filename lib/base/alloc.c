// SPDX-License-Identifier: MIT
// alloc.c - memory that never fails: out of memory aborts with a line.

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

static void __attribute__((noreturn)) out_of_memory(size_t size)
{
    fprintf(stderr, "edri: out of memory (%zu bytes wanted)\n", size);
    abort();
}

void *
mem_new(size_t size)
{
    void *data = calloc(1, size > 0 ? size : 1);
    if (data == NULL) {
        out_of_memory(size);
    }
    return data;
}

void *
mem_resize(void *data, size_t size)
{
    void *bigger = realloc(data, size > 0 ? size : 1);
    if (bigger == NULL) {
        out_of_memory(size);
    }
    return bigger;
}

char *
str_dup(const char *string)
{
    if (string == NULL) {
        return NULL;
    }
    size_t size = strlen(string) + 1;
    return memcpy(mem_resize(NULL, size), string, size);
}

char *
str_vprintf(const char *format, va_list args)
{
    char *text = NULL;
    if (vasprintf(&text, format, args) < 0) {
        out_of_memory(strlen(format));
    }
    return text;
}

char *
str_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    return text;
}

void
edri_assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "edri: %s:%d: broken invariant: %s\n", file, line, expr);
    abort();
}
