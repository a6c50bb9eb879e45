// SPDX-License-Identifier: MIT
// node_settings.c - every setting of a node: one table.

#include "node/node.h"

#define KIB ((int64_t)1 << 10)
#define MIB ((int64_t)1 << 20)

const setting_row_t node_rows[] = {
    {"node.name", SETTING_TEXT, "", 0, 64, "",
        "Name of this node in the network: letters, digits, '-', '_', '.'. "
        "Empty: a guest, which no other node waits for."},
    {"node.switch", SETTING_TEXT, "", 0, 1024, "",
        "Endpoints of the switches, separated by commas, such as "
        "tcp://10.0.0.1:5590. Empty: the node stays alone."},
    {"node.ipc", SETTING_TEXT, "", 0, 200, "",
        "Endpoint for ports of other processes, such as ipc:///run/edri/a. "
        "Empty: none."},
    {"node.spin", SETTING_INT, "0", 0, 1000000, "us",
        "So long the router, managers and waiting ports look again before "
        "they sleep: answers come sooner where a processor is left for "
        "each, for the price of that processor. 0: they sleep at once."},
    {"node.huddle", SETTING_BOOL, "yes", 0, 0, "",
        "Whether threads that hand over to each other share a processor while "
        "there is little to do, so that no other has to wake for it; users' "
        "threads only while they sleep. Not with node.spin."},
    {"node.start_timeout", SETTING_DURATION, "10s", 100, 3600000, "ms",
        "How long the start waits until the node's demands are in force."},
    {"node.drain_timeout", SETTING_DURATION, "10s", 0, 3600000, "ms",
        "How long a stop waits for work that was begun or queued."},
    {"node.body_limit", SETTING_BYTES, "64M", 1024, 1024 * MIB, "bytes",
        "Largest packed event or reply."},
    {"node.port_queue", SETTING_BYTES, "1M", 4096, 1024 * MIB, "bytes",
        "Limit of what a port has emitted and the router has not taken yet."},
    {"node.manager_queue", SETTING_BYTES, "8M", 4096, 16384 * MIB, "bytes",
        "Limit of what waits for a manager; more pushes back on those who "
        "emit to it."},
    {"node.link_queue", SETTING_BYTES, "4M", 4096, 16384 * MIB, "bytes",
        "Limit of what waits here for one manager of another node."},
    {"node.retain", SETTING_BYTES, "4M", 4096, 16384 * MIB, "bytes",
        "Limit of what is kept of one retained type for late subscribers."},
    {"node.letters", SETTING_BYTES, "4M", 0, 16384 * MIB, "bytes",
        "Limit of the dead letters, events whose handlers failed for good; "
        "the oldest make room."},
    {"emit.wait", SETTING_DURATION, "5s", 0, 3600000, "ms",
        "How long emit waits for a full receiver before EDRI_OVERLOADED."},
    {"worker.start", SETTING_DURATION, "10s", 100, 3600000, "ms",
        "How long a process of a worker may take until it is ready."},
    {"worker.grace", SETTING_DURATION, "5s", 10, 3600000, "ms",
        "How long a handler in a pool may go on after its request was "
        "cancelled or its deadline has passed; then its thread counts as "
        "stuck and another takes its place, its process is killed. So long "
        "may a process that is no longer needed take to end."},
    {"worker.kills", SETTING_INT, "3", 1, 1000, "",
        "An event whose handler has ended so many processes is not begun "
        "again."},
    {"worker.backoff_min", SETTING_DURATION, "50ms", 1, 60000, "ms",
        "First pause before a process that ended is started again; doubled "
        "each time until one has finished a task."},
    {"worker.backoff_max", SETTING_DURATION, "5s", 1, 600000, "ms",
        "Longest pause before a process is started again."},
    {"worker.restarts", SETTING_INT, "10", 0, 100, "",
        "A manager whose own process (run = process) ends more often than that "
        "within worker.restarts_in is closed."},
    {"worker.restarts_in", SETTING_DURATION, "1m", 100, 86400000, "ms",
        "See worker.restarts."},
    {"health.probe", SETTING_DURATION, "1s", 100, 3600000, "ms",
        "Between two probes of a manager through its queue."},
    {"health.slow", SETTING_DURATION, "2s", 100, 3600000, "ms",
        "A manager whose probe is not answered, or whose work does not go on, "
        "for so long is slow."},
    {"health.stuck", SETTING_DURATION, "30s", 200, 86400000, "ms",
        "The same, from when on it counts as stuck."},
    {"health.restart", SETTING_BOOL, "yes", 0, 0, "",
        "Whether the own process of a manager (run = process) that is stuck is "
        "ended, and started again."},
    {"tunnel.limit", SETTING_INT, "65536", 1, 16777216, "",
        "Ends of tunnels that are open in the node at once; more are refused."},
    {"tunnel.window", SETTING_BYTES, "2M", 16384, 1 << 30, "bytes",
        "What an end of a tunnel may be sent and has not read, at most."},
    {"tunnel.memory", SETTING_BYTES, "256M", 65536, INT64_C(1) << 36, "bytes",
        "The windows of all ends together: with many each is smaller, down to "
        "16 "
        "KiB."},
    {"tunnel.bytes", SETTING_BYTES, "0", 0, INT64_C(1) << 50, "bytes",
        "What may go through one tunnel, both ways, before it is closed; 0: no "
        "limit."},
    {"tunnel.idle", SETTING_DURATION, "0", 0, 86400000, "ms",
        "A tunnel without a word for so long is closed; 0: never."},
    {"link.heartbeat", SETTING_DURATION, "1s", 10, 60000, "ms",
        "Between two heartbeats to a switch."},
    {"link.lost", SETTING_DURATION, "3s", 30, 600000, "ms",
        "Silence after which a link counts as lost and is opened anew."},
    {"link.connect", SETTING_DURATION, "1s", 10, 60000, "ms",
        "How long a switch may take to answer HELLO."},
    {"link.backoff_min", SETTING_DURATION, "50ms", 1, 60000, "ms",
        "First pause before a link is opened again; doubled each time."},
    {"link.backoff_max", SETTING_DURATION, "500ms", 1, 600000, "ms",
        "Longest pause before a link is opened again."},
    {"flow.fence", SETTING_DURATION, "4s", 100, 60000, "ms",
        "How long a node may begin events that their source could give to "
        "another, after the source was last heard."},
    {"gone.closed", SETTING_DURATION, "6s", 100, 3600000, "ms",
        "A node that no switch knows any more counts as gone after this long."},
    {"gone.silent", SETTING_DURATION, "30s", 100, 3600000, "ms",
        "How long events for one of a group wait when its last member died."},
    {"gone.retention", SETTING_DURATION, "1m", 100, 86400000, "ms",
        "How long a node that has gone is remembered, in case it comes back."},
    {"log.level", SETTING_CHOICE, "warn", 0, 0, "debug|info|warn|error|none",
        "Lowest level of messages that edri_node_run writes to stderr."},
    {NULL, SETTING_TEXT, NULL, 0, 0, NULL, NULL},
};
