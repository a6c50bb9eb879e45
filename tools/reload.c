// SPDX-License-Identifier: MIT
// reload.c - edri reload: managers of running nodes go over to new code.

#include <stdio.h>
#include <string.h>

#include <edri/reload.h>

#include "guest.h"
#include "words.h"

// A new process may take worker.start, and its hook what it likes.
#define RELOAD_WAIT_MS 60000

// print prints all and returns whether all went well.
static bool
print(const edri_reload_t *reload)
{
    const edri_reload_row_t *rows = NULL;
    const char *const *silent = NULL;
    size_t count = edri_reload_rows(reload, &rows);
    size_t missing = edri_reload_silent(reload, &silent);
    bool well = missing == 0;
    for (size_t i = 0; i < count; i++) {
        const edri_reload_row_t *row = &rows[i];
        well = well && row->err == EDRI_OK;
        printf("%s%s%s: ", row->node, row->manager[0] != '\0' ? "/" : "",
            row->manager);
        if (row->err == EDRI_OK) {
            printf("reloaded\n");
        } else {
            printf("%s: %s\n", edri_err_name(row->err), row->text);
        }
    }
    for (size_t i = 0; i < missing; i++) {
        printf("no answer from %s\n", silent[i]);
    }
    return well;
}

int
word_reload(int argc, char **argv)
{
    edri_reload_t *reload = NULL;
    char **args = NULL;
    edri_node_t *node = guest_new(argc, argv, 1, 2, &args, "NODE [MANAGER]");
    if (node == NULL) {
        return 2;
    }
    int code = 1;
    if (guest_start(node) && edri_reload_new(node, args[1], args[2],
                                 RELOAD_WAIT_MS, &reload) == EDRI_OK) {
        code = print(reload) ? 0 : 1;
        edri_reload_destroy(&reload);
    } else {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
    }
    edri_node_destroy(&node);
    return code;
}
