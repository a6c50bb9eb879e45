// SPDX-License-Identifier: MIT
// base/alloc.h - memory that never fails: out of memory aborts with a line.

#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

// mem_new returns 'size' zeroed bytes; mem_resize as realloc; both abort when
// out of memory.  Free with free().
void *mem_new(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_resize(void *data, size_t size) __attribute__((returns_nonnull));

// str_dup copies a string (NULL gives NULL); str_printf makes one.
char *str_dup(const char *string);
char *str_printf(const char *format, ...)
    __attribute__((format(printf, 1, 2), returns_nonnull));
char *str_vprintf(const char *format, va_list args)
    __attribute__((format(printf, 1, 0), returns_nonnull));

// streq says whether two strings are the same; NULL only equals NULL.
static inline bool
streq(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

// edri_assert states what this program guarantees to itself; always on.
#define edri_assert(expr) \
    ((expr) ? (void)0 : edri_assert_failed(#expr, __FILE__, __LINE__))
void edri_assert_failed(const char *expr, const char *file, int line)
    __attribute__((noreturn));

#endif
