// SPDX-License-Identifier: MIT
// node/counters.h - what a node counts: one table.
//
// Hot paths count, they do not log.  Each counter is written by the threads
// that the text names and read by anybody.

#ifndef NODE_COUNTERS_H
#define NODE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

// X(id, name, help)
#define COUNTER_MAP(X)                                                         \
    X(ROUTED, "events.routed", "events and requests taken from ports")         \
    X(DELIVERED, "events.delivered", "put into the queue of a manager here")   \
    X(SENT, "events.sent", "sent to other nodes")                              \
    X(RECEIVED, "events.received", "came from other nodes")                    \
    X(HANDLED, "events.handled", "handlers that returned EDRI_OK")             \
    X(HANDLER_FAILED, "events.failed", "handlers that returned an error")      \
    X(TRIED_AGAIN, "events.retried", "tries after one that failed")            \
    X(LETTERS, "events.dead", "failed for good: among the dead letters")       \
    X(LETTERS_DROPPED, "letters.dropped", "dead letters that made room")       \
    X(WORKER_DIED, "events.worker_died",                                       \
        "handlers whose process ended, or did not start")                      \
    X(QUARANTINED, "events.quarantined",                                       \
        "not begun: they had ended worker.kills processes")                    \
    X(UNCLAIMED, "events.unclaimed", "notifications that nobody demanded")     \
    X(EXPIRED, "events.expired", "not delivered before their time to live")    \
    X(LOSSY, "events.dropped_lossy", "dropped by receivers that may lose")     \
    X(LOST, "events.lost", "lost with a link or with the node they went to")   \
    X(REDELIVERED, "events.redelivered", "given to others, with the mark")     \
    X(RETURNED, "events.returned",                                             \
        "given to others: their manager stopped before it began them")         \
    X(WITHDRAWN, "events.withdrawn", "not begun: their source gave them away") \
    X(REPLAYED, "events.replayed", "retained ones given to late subscribers")  \
    X(REPLAYED_TWICE, "events.replayed_twice",                                 \
        "had come before: not handed on")                                      \
    X(LOST_FRAMES, "frames.unconfirmed", "under way when their link broke")    \
    X(RESENT, "flows.resent", "times that frames had to be sent again")        \
    X(REPEATED, "frames.repeated", "came again, or too late; not handed on")   \
    X(DIFFERS, "flows.differ", "frames before which the books differed")       \
    X(REFUSED, "events.refused", "of types that a switch denies this node")    \
    X(UNDECODABLE, "events.undecodable", "bodies that could not be unpacked")  \
    X(TOO_BIG, "events.too_big",                                               \
        "bodies over node.body_limit, or what others left of twice that, "     \
        "refused")                                                             \
    X(MALFORMED, "frames.malformed", "bytes from peers that break the wire")   \
    X(DENIED, "events.denied", "not in their head's list, or not demanded")    \
    X(ASKED, "requests.asked", "requests that found a responder")              \
    X(ANSWERED, "requests.answered", "replies given to their askers")          \
    X(NOBODY, "requests.no_responder", "requests that nobody handles")         \
    X(DIED, "requests.responder_died", "requests whose responder ended")       \
    X(DEADLOCKED, "requests.deadlocked",                                       \
        "requests whose handler's only thread waited for them")                \
    X(RETRIED, "requests.retried", "tries after one that failed or died")      \
    X(CANCELLED, "requests.cancelled", "requests that their askers cancelled") \
    X(NOT_BEGUN, "requests.not_begun", "cancelled before their handler began") \
    X(TUNNELS, "tunnels.opened", "ends of tunnels that were opened here")      \
    X(STUCK, "workers.stuck",                                                  \
        "threads of pools that went on for worker.grace in vain")              \
    X(LATE, "replies.late", "replies that nobody waited for any more")         \
    X(WORKERS_STARTED, "workers.started", "processes started for handlers")    \
    X(WORKERS_DIED, "workers.died", "of these, ended without being told to")   \
    X(SHARED_FRAMES, "frames.shared",                                          \
        "copies that the switch made of a frame")                              \
    X(FRAMES_OUT, "frames.sent", "frames sent to switches")                    \
    X(FRAMES_IN, "frames.received", "frames received from switches")           \
    X(LINKS_UP, "links.up", "sessions with switches opened")                   \
    X(LINKS_IN_FORCE, "links.in_force",                                        \
        "sessions in which the switch has confirmed all demands")              \
    X(BEATS, "links.heartbeats", "heartbeats sent to switches")                \
    X(LISTENED, "links.listened",                                              \
        "times that a port's owner read them, not the router's thread")        \
    X(LINKS_LOST, "links.lost", "sessions with switches lost")

typedef enum counter {
#define X(id, name, help) COUNTER_##id,
    COUNTER_MAP(X)
#undef X
    COUNTER_COUNT
} counter_t;

typedef struct counters {
    _Atomic(uint64_t) value[COUNTER_COUNT];
} counters_t;

static inline void
counter_add(counters_t *self, counter_t which, uint64_t more)
{
    atomic_fetch_add_explicit(&self->value[which], more, memory_order_relaxed);
}

static inline uint64_t
counter_get(const counters_t *self, counter_t which)
{
    return atomic_load_explicit(&self->value[which], memory_order_relaxed);
}

// counter_name and counter_help describe one; static texts.
const char *counter_name(counter_t which);
const char *counter_help(counter_t which);

#endif
