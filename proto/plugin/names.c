// SPDX-License-Identifier: MIT
// names.c - protobuf-c's naming, and ours.

#include <ctype.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "plugin.h"

// camel writes one piece of a name as a type: order_placed → OrderPlaced.
static void
camel(text_t *out, const char *piece, size_t size)
{
    bool upper = true;
    for (size_t i = 0; i < size; i++) {
        if (piece[i] == '_') {
            upper = true;
        } else {
            text_add(
                out, "%c", upper ? toupper((unsigned char)piece[i]) : piece[i]);
            upper = false;
        }
    }
}

// snake writes one piece as a function: OrderPlaced → order_placed.
static void
snake(text_t *out, const char *piece, size_t size)
{
    bool was_upper = true; // no underscore at the beginning
    for (size_t i = 0; i < size; i++) {
        bool upper = isupper((unsigned char)piece[i]) != 0;
        if (upper && !was_upper) {
            text_add(out, "_");
        }
        text_add(out, "%c", tolower((unsigned char)piece[i]));
        was_upper = upper;
    }
}

static char *
convert(const char *full_name, const char *joint,
    void (*piece)(text_t *out, const char *piece, size_t size))
{
    text_t out = {0};
    for (const char *at = full_name; at != NULL;) {
        const char *dot = strchr(at, '.');
        size_t size = dot != NULL ? (size_t)(dot - at) : strlen(at);
        text_add(&out, "%s", at == full_name ? "" : joint);
        piece(&out, at, size);
        at = dot != NULL ? dot + 1 : NULL;
    }
    return out.data;
}

char *
name_type(const char *full_name)
{
    return convert(full_name, "__", camel);
}

char *
name_function(const char *full_name)
{
    return convert(full_name, "__", snake);
}

char *
name_ours(const char *full_name)
{
    return convert(full_name, "_", snake);
}

char *
name_file(const char *path)
{
    char *name = str_dup(path);
    char *dot = strrchr(name, '.');
    if (dot != NULL && streq(dot, ".proto")) {
        *dot = '\0';
    }
    return name;
}

char *
name_macro(const char *path)
{
    char *name = str_dup(path);
    for (char *at = name; *at != '\0'; at++) {
        *at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at)
                                          : '_';
    }
    return name;
}

bool
name_is_reserved(const char *name)
{
    static const char *const words[] = {"auto", "bool", "break", "case",
        "catch", "char", "class", "const", "continue", "default", "delete",
        "do", "double", "else", "enum", "explicit", "export", "extern", "false",
        "float", "for", "friend", "goto", "if", "inline", "int", "long",
        "mutable", "namespace", "new", "operator", "private", "protected",
        "public", "register", "restrict", "return", "short", "signed", "sizeof",
        "static", "struct", "switch", "template", "this", "throw", "true",
        "try", "typedef", "typename", "union", "unsigned", "using", "virtual",
        "void", "volatile", "while", NULL};
    for (int i = 0; words[i] != NULL; i++) {
        if (streq(words[i], name)) {
            return true;
        }
    }
    return false;
}
