// SPDX-License-Identifier: MIT
// switch_settings.c - every setting of a switch: one table.

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
    {"switch.spin", SETTING_INT, "0", 0, 1000000, "us",
        "So long the switch looks again before it sleeps: frames go on sooner "
        "where a processor is left for it. 0: it sleeps at once."},
    {"switch.huddle", SETTING_BOOL, "yes", 0, 0, "",
        "Whether the switch's threads share a processor while there is little "
        "to do, so that no other has to wake for it. Not with switch.spin."},
    {"link.heartbeat", SETTING_DURATION, "1s", 10, 60000, "ms",
        "A node gets a heartbeat in answer to each of its own, and otherwise "
        "when five quarters of this have passed since the last."},
    {"gone.closed", SETTING_DURATION, "6s", 10, 3600000, "ms",
        "How long a node whose connection closed is waited for."},
    {"gone.silent", SETTING_DURATION, "30s", 30, 3600000, "ms",
        "Silence after which a node counts as gone."},
    {"log.level", SETTING_CHOICE, "warn", 0, 0, "debug|info|warn|error|none",
        "Lowest level of messages written to stderr."},
    {NULL, SETTING_TEXT, NULL, 0, 0, NULL, NULL},
};
