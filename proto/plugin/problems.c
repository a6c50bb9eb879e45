// SPDX-License-Identifier: MIT
// problems.c - what is wrong, and where.

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "plugin.h"

typedef Google__Protobuf__SourceCodeInfo__Location location_t;

void
text_add(text_t *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *more = str_vprintf(format, args);
    va_end(args);
    size_t size = strlen(more);
    self->data = mem_resize(self->data, self->size + size + 1);
    memcpy(self->data + self->size, more, size + 1);
    self->size += size;
    free(more);
}

// shared returns how many leading numbers the location has in common with
// 'path'.
static size_t
shared(const location_t *location, const int *path, size_t length)
{
    size_t count = 0;
    while (count < length && count < location->n_path &&
           location->path[count] == path[count]) {
        count++;
    }
    return count;
}

// find_location returns the element itself, else something inside of it (an
// option is written as a part of it), else the nearest one around it.
static const location_t *
find_location(const file_t *file, const int *path, size_t length)
{
    const location_t *best = NULL;
    size_t best_shared = 0;
    for (size_t i = 0; file->source_code_info != NULL &&
                       i < file->source_code_info->n_location;
         i++) {
        const location_t *location = file->source_code_info->location[i];
        size_t count = shared(location, path, length);
        bool around = count == location->n_path;
        bool inside = count == length;
        if ((around || inside) && location->n_span >= 3 &&
            (best == NULL || count > best_shared)) {
            best = location;
            best_shared = count;
        }
    }
    return best;
}

void
problem(text_t *problems, const file_t *file, const int *path, size_t length,
    const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *what = str_vprintf(format, args);
    va_end(args);
    const location_t *location = find_location(file, path, length);
    text_add(problems, "%s%s:%d:%d: %s", problems->size > 0 ? "\n" : "",
        file->name, location != NULL ? location->span[0] + 1 : 1,
        location != NULL ? location->span[1] + 1 : 1, what);
    free(what);
}
