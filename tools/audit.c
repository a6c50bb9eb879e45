// SPDX-License-Identifier: MIT
// audit.c - edri audit: the books of the running system.

#include <inttypes.h>
#include <stdio.h>

#include <edri/audit.h>

#include "guest.h"
#include "words.h"

static void
print_queues(const edri_audit_t *audit)
{
    const edri_audit_queue_t *queues = NULL;
    size_t count = edri_audit_queues(audit, &queues);
    printf("%-16s %-40s %12s %12s\n", "WHERE", "WHAT WAITS", "BYTES", "BOUND");
    for (size_t i = 0; i < count; i++) {
        const edri_audit_queue_t *row = &queues[i];
        printf("%-16s %-40s %12" PRIu64 " %12" PRIu64 "%s\n", row->node,
            row->name, row->bytes, row->limit,
            row->bytes > row->limit ? "  over" : "");
    }
}

static void
print_flows(const edri_audit_t *audit)
{
    const edri_audit_flow_t *flows = NULL;
    size_t count = edri_audit_flows(audit, &flows);
    printf("\n%-16s %-16s %-8s %12s %12s  %s\n", "FROM", "TO", "LANE", "SENT",
        "UNSETTLED", "BOOKS OF BOTH ENDS");
    for (size_t i = 0; i < count; i++) {
        const edri_audit_flow_t *row = &flows[i];
        printf("%-16s %-16s %-8s %12" PRIu64 " %12" PRIu64 "  %s\n", row->from,
            row->to[0] != '\0' ? row->to : "(guest)", row->lane, row->sent,
            row->unsettled,
            row->differ > 0 ? "differ"
            : row->compared ? "agree"
                            : "not compared: something is under way");
    }
}

static void
print_drops(const edri_audit_t *audit)
{
    const edri_audit_drop_t *drops = NULL;
    size_t count = edri_audit_drops(audit, &drops);
    if (count == 0) {
        printf("\nnothing was dropped\n");
        return;
    }
    printf("\n%-16s %-32s %-24s %-12s %12s\n", "DROPPED BY", "TYPE", "FOR",
        "REASON", "EVENTS");
    for (size_t i = 0; i < count; i++) {
        const edri_audit_drop_t *row = &drops[i];
        printf("%-16s %-32s %-24s %-12s %12" PRIu64 "\n", row->node,
            row->type[0] != '\0' ? row->type : "(various)",
            row->peer[0] != '\0' ? row->peer : "(anybody)",
            edri_err_name(row->reason), row->events);
    }
}

static int
print(const edri_audit_t *audit)
{
    const char *const *silent = NULL;
    const char *difference = edri_audit_difference(audit);
    size_t missing = edri_audit_silent(audit, &silent);
    print_queues(audit);
    print_flows(audit);
    print_drops(audit);
    for (size_t i = 0; i < missing; i++) {
        printf("\nno answer from %s\n", silent[i]);
    }
    if (difference != NULL) {
        printf("\nfirst difference: %s\n", difference);
    } else {
        size_t nodes = edri_audit_nodes(audit);
        printf("\nthe books of %zu %s\n", nodes,
            nodes == 1 ? "node agree" : "nodes agree");
    }
    return difference != NULL || missing > 0 ? 1 : 0;
}

int
word_audit(int argc, char **argv)
{
    edri_audit_t *audit = NULL;
    edri_node_t *node = guest_new(argc, argv, 0, 0, NULL, "");
    if (node == NULL) {
        return 2;
    }
    int code = 1;
    if (guest_start(node) &&
        edri_audit_new(node, GUEST_WAIT_MS, &audit) == EDRI_OK) {
        code = print(audit);
        edri_audit_destroy(&audit);
    } else {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
    }
    edri_node_destroy(&node);
    return code;
}
