// SPDX-License-Identifier: MIT
// main.c - edri-switch: flags, signals.

#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "hail/hail.h"
#include "hub.h"

#define HEALTH_WAIT_MS 2000

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

static int
health(const char *endpoint)
{
    char why[256];
    if (hail(endpoint, HEALTH_WAIT_MS, why, sizeof why) == EDRI_OK) {
        return 0;
    }
    fprintf(stderr, "edri-switch: %s: %s\n", endpoint, why);
    return 1;
}

// answer_flags handles what is not a setting.  Returns the exit code, or -1 to
// go on.
static int
answer_flags(const settings_t *settings, int argc, char **argv)
{
    if (argc == 1) {
        return -1;
    }
    if (streq(argv[1], "--help") && argc == 2) {
        printf("usage: edri-switch [--config FILE] [--set NAME=VALUE]...\n"
               "       edri-switch --health    ask the one with these "
               "settings\n\n");
        settings_print_help(switch_rows, stdout);
        return 0;
    }
    if (streq(argv[1], "--health") && argc == 2) {
        return health(settings_text(settings, "switch.bind"));
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
    } else if ((code = answer_flags(settings, argc, argv)) < 0) {
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
