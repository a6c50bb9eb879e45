// SPDX-License-Identifier: MIT
// health.c - edri health: how the managers of the running system are.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <edri/health.h>

#include "guest.h"
#include "words.h"

static void
print_row(const edri_health_manager_t *row)
{
    printf("%-16s %-16s %-6s %9.1f s %9.3f s %12" PRIu64 "  ", row->node,
        row->manager, row->state, (double)row->since_ms / 1e3,
        (double)row->delay_ms / 1e3, row->bytes);
    if (row->fault_count > 0) {
        const edri_fault_t *fault = &row->faults[0];
        printf("%s%s%s%s%s", fault->type, fault->type[0] != '\0' ? ": " : "",
            edri_err_name(fault->err), fault->text[0] != '\0' ? ": " : "",
            fault->text);
    } else {
        printf("-");
    }
    printf("\n");
    for (size_t i = 1; i < row->fault_count; i++) {
        const edri_fault_t *fault = &row->faults[i];
        printf("%-78s%s: %s%s%s\n", "", fault->type, edri_err_name(fault->err),
            fault->text[0] != '\0' ? ": " : "", fault->text);
    }
}

// print prints all and returns whether all is well.
static bool
print(const edri_health_t *health)
{
    const edri_health_manager_t *managers = NULL;
    const char *const *silent = NULL;
    size_t count = edri_health_managers(health, &managers);
    size_t missing = edri_health_silent(health, &silent);
    bool well = missing == 0;
    printf("%-16s %-16s %-6s %11s %11s %12s  %s\n", "NODE", "MANAGER", "STATE",
        "FOR", "PROBE", "WAITING", "LAST ERRORS");
    for (size_t i = 0; i < count; i++) {
        print_row(&managers[i]);
        well = well && strcmp(managers[i].state, "stuck") != 0;
    }
    for (size_t i = 0; i < missing; i++) {
        printf("no answer from %s\n", silent[i]);
    }
    return well;
}

int
word_health(int argc, char **argv)
{
    edri_health_t *health = NULL;
    char **args = NULL;
    edri_node_t *node = guest_new(argc, argv, 0, 1, &args, "[NODE]");
    if (node == NULL) {
        return 2;
    }
    int code = 1;
    if (guest_start(node) &&
        edri_health_new(node, args[1], GUEST_WAIT_MS, &health) == EDRI_OK) {
        code = print(health) ? 0 : 1;
        edri_health_destroy(&health);
    } else {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
    }
    edri_node_destroy(&node);
    return code;
}
