// SPDX-License-Identifier: MIT
// dead.c - edri dead: events whose handlers failed for good.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <edri/letters.h>

#include "guest.h"
#include "schema/json.h"
#include "words.h"

static const char usage[] = "list [NODE]\n"
                            "       edri dead show NODE NUMBER\n"
                            "       edri dead retry NODE NUMBER|all\n"
                            "       edri dead drop NODE NUMBER|all";

static void
print_time(uint64_t at_us)
{
    time_t seconds = (time_t)(at_us / 1000000);
    struct tm utc;
    char text[32];
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
    printf("%s", text);
}

static void
print_row(const edri_letter_t *letter)
{
    printf("%-16s %7" PRIu64 "  ", letter->node, letter->number);
    print_time(letter->at_us);
    printf("  %-12s %-24s %5u  %s%s%s\n", letter->manager, letter->type,
        letter->tries, edri_err_name(letter->err),
        letter->text[0] != '\0' ? ": " : "", letter->text);
}

static int
print_list(const edri_letters_t *letters)
{
    const edri_letter_t *list = NULL;
    const char *const *silent = NULL;
    size_t count = edri_letters_list(letters, &list);
    size_t missing = edri_letters_silent(letters, &silent);
    if (count > 0) {
        printf("%-16s %7s  %-19s  %-12s %-24s %5s  %s\n", "NODE", "NUMBER",
            "FAILED (UTC)", "MANAGER", "TYPE", "TRIES", "WHY");
    } else {
        printf("no dead letters\n");
    }
    for (size_t i = 0; i < count; i++) {
        print_row(&list[i]);
    }
    if (edri_letters_more(letters) > 0) {
        printf("and %" PRIu64 " more\n", edri_letters_more(letters));
    }
    for (size_t i = 0; i < missing; i++) {
        printf("no answer from %s\n", silent[i]);
    }
    return missing > 0 ? 1 : 0;
}

// print_body prints the event as JSON, if its type is known in the network.
static int
print_body(edri_node_t *node, const edri_letter_t *letter)
{
    const edri_type_t *type = NULL;
    if (letter->body == NULL && letter->size > 0) {
        printf("%zu bytes: too many to show\n", letter->size);
        return 0;
    }
    if (edri_network_find(node, letter->type, GUEST_WAIT_MS, &type) !=
        EDRI_OK) {
        fprintf(stderr, "edri: %s\n", edri_node_error(node));
        return 1;
    }
    ProtobufCMessage *message = protobuf_c_message_unpack(
        type->message, NULL, letter->size, letter->body);
    if (message == NULL) {
        printf("%zu bytes that are no %s\n", letter->size, letter->type);
        return 0;
    }
    char *json = json_write(message, 2);
    printf("%s\n", json);
    free(json);
    protobuf_c_message_free_unpacked(message, NULL);
    return 0;
}

// read_number reads a letter's number, or "all" as 0.  False when it is none.
static bool
read_number(const char *text, bool may_all, uint64_t *number)
{
    char *end = NULL;
    if (may_all && strcmp(text, "all") == 0) {
        *number = 0;
        return true;
    }
    *number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *number > 0;
}

static int
say_error(const edri_node_t *node)
{
    fprintf(stderr, "edri: %s\n", edri_node_error(node));
    return 1;
}

static int
run_list(edri_node_t *node, const char *of)
{
    edri_letters_t *letters = NULL;
    if (edri_letters_new(node, of, 0, GUEST_WAIT_MS, &letters) != EDRI_OK) {
        return say_error(node);
    }
    int code = print_list(letters);
    edri_letters_destroy(&letters);
    return code;
}

static int
run_show(edri_node_t *node, const char *of, uint64_t number)
{
    edri_letters_t *letters = NULL;
    const edri_letter_t *list = NULL;
    if (edri_letters_new(node, of, number, GUEST_WAIT_MS, &letters) !=
        EDRI_OK) {
        return say_error(node);
    }
    int code = 1;
    if (edri_letters_list(letters, &list) == 0) {
        fprintf(
            stderr, "edri: %s has no dead letter %" PRIu64 "\n", of, number);
    } else {
        print_row(&list[0]);
        code = print_body(node, &list[0]);
    }
    edri_letters_destroy(&letters);
    return code;
}

static int
run_change(edri_node_t *node, const char *of, uint64_t number, bool retry)
{
    uint64_t count = 0;
    edri_err_t err =
        retry ? edri_letters_retry(node, of, number, GUEST_WAIT_MS, &count)
              : edri_letters_drop(node, of, number, GUEST_WAIT_MS, &count);
    if (err != EDRI_OK) {
        return say_error(node);
    }
    printf("%" PRIu64 " %s\n", count, retry ? "tried again" : "dropped");
    return 0;
}

int
word_dead(int argc, char **argv)
{
    char **args = NULL;
    uint64_t number = 0;
    edri_node_t *node = guest_new(argc, argv, 1, 3, &args, usage);
    if (node == NULL) {
        return 2;
    }
    bool list = strcmp(args[1], "list") == 0;
    bool show = strcmp(args[1], "show") == 0;
    bool retry = strcmp(args[1], "retry") == 0;
    bool drop = strcmp(args[1], "drop") == 0;
    bool fits = list ? args[2] == NULL || args[3] == NULL
                     : (show || retry || drop) && args[2] != NULL &&
                           args[3] != NULL &&
                           read_number(args[3], !show, &number);
    int code = 2;
    if (!fits) {
        fprintf(stderr, "usage: edri dead %s\n", usage);
    } else if (!guest_start(node)) {
        code = say_error(node);
    } else {
        code = list   ? run_list(node, args[2])
               : show ? run_show(node, args[2], number)
                      : run_change(node, args[2], number, retry);
    }
    edri_node_destroy(&node);
    return code;
}
