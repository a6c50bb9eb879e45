// SPDX-License-Identifier: MIT
// main.c - edri-switch: settings, signals.

#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "hub.h"

const setting_row_t switch_rows[] = {
    {"switch.name", SETTING_TEXT, "switch", 1, 64, "",
        "Name of this switch in logs and in the answers to tools."},
    {"switch.bind", SETTING_TEXT, "tcp://127.0.0.1:5590", 1, 200, "",
        "Endpoint to listen on; port * picks a free one, printed at start."},
    {"switch.settle", SETTING_DURATION, "3s", 0, 600000, "ms",
        "Age from which 'nobody demands this' is an answer that counts."},
    {"switch.window", SETTING_INT, "8", 1, 64, "",
        "Frames on their way to a node that it has not taken yet, at most."},
    {"switch.queue", SETTING_BYTES, "32M", 65536, (int64_t)64 << 30, "bytes",
        "Limit of what waits here for one node; more is dropped and told."},
    {"link.heartbeat", SETTING_DURATION, "1s", 10, 60000, "ms",
        "Between two heartbeats to each node."},
    {"gone.closed", SETTING_DURATION, "6s", 10, 3600000, "ms",
        "How long a node whose connection closed is waited for."},
    {"gone.silent", SETTING_DURATION, "30s", 30, 3600000, "ms",
        "Silence after which a node counts as gone."},
    {"log.level", SETTING_CHOICE, "warn", 0, 0, "debug|info|warn|error|none",
        "Lowest level of messages written to stderr."},
    {NULL, SETTING_TEXT, NULL, 0, 0, NULL, NULL},
};

static volatile sig_atomic_t stop_fd = -1;

static void
on_signal(int number)
{
    (void)number;
    uint64_t one = 1;
    (void)!write(stop_fd, &one, sizeof one);
}

static void
start_log(const settings_t *settings)
{
    static const char *const names[] = {
        "debug", "info", "warn", "error", "none"};
    for (int i = 0; i < 5; i++) {
        if (streq(settings_text(settings, "log.level"), names[i])) {
            edri_log_set(edri_log_stderr, NULL, (edri_log_level_t)i);
        }
    }
}

// answer_flags handles what is not a setting.  Returns the exit code, or -1 to
// go on.
static int
answer_flags(int argc, char **argv)
{
    if (argc == 1) {
        return -1;
    }
    if (streq(argv[1], "--help") && argc == 2) {
        printf("usage: edri-switch [--config FILE] [--set NAME=VALUE]...\n"
               "       edri-switch --health ENDPOINT\n\n");
        settings_print_help(switch_rows, stdout);
        return 0;
    }
    if (streq(argv[1], "--print-settings-markdown") && argc == 2) {
        settings_print_markdown(switch_rows, "edri-switch", stdout);
        return 0;
    }
    if (streq(argv[1], "--health") && argc == 3) {
        return health(argv[2]);
    }
    fprintf(stderr, "edri-switch: unknown argument %s; try --help\n", argv[1]);
    return 2;
}

int
main(int argc, char **argv)
{
    settings_t *settings = settings_new(switch_rows, NULL);
    int code = 2;
    if (settings_read_args(settings, &argc, argv) != EDRI_OK) {
        fprintf(stderr, "edri-switch: %s\n", settings_error(settings));
    } else if ((code = answer_flags(argc, argv)) < 0) {
        struct sigaction action = {.sa_handler = on_signal};
        sigemptyset(&action.sa_mask);
        stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        (void)sigaction(SIGTERM, &action, NULL);
        (void)sigaction(SIGINT, &action, NULL);
        start_log(settings);
        code = hub_run(settings, stop_fd);
        (void)close(stop_fd);
    }
    settings_destroy(&settings);
    return code;
}
