// SPDX-License-Identifier: MIT
// edri/err.h - error codes: one table, names and texts.

#ifndef EDRI_ERR_H
#define EDRI_ERR_H

// EDRI_ERR_MAP lists every error: name, value, text.  Values cross the wire:
// they are never changed and never used again; new ones go to the end.
#define EDRI_ERR_MAP(X)                                       \
    X(OK, 0, "success")                                       \
    X(INVAL, 1, "invalid argument")                           \
    X(STATE, 2, "not possible in this state")                 \
    X(AGAIN, 3, "would have to wait")                         \
    X(NOT_FOUND, 4, "not found")                              \
    X(EXISTS, 5, "exists already")                            \
    X(TOO_BIG, 6, "over a size limit")                        \
    X(PROTO, 7, "protocol violation")                         \
    X(SYSTEM, 8, "operating system error")                    \
    X(DENIED, 9, "not allowed")                               \
    X(MISMATCH, 10, "types differ")                           \
    X(UNREACHABLE, 11, "peer cannot be reached")              \
    X(CLOSED, 12, "closed")                                   \
    X(NO_RESPONDER, 13, "nobody handles this request")        \
    X(RESPONDER_DIED, 14, "responder ended, outcome unknown") \
    X(DEADLINE, 15, "deadline passed")                        \
    X(CANCELLED, 16, "cancelled")                             \
    X(OVERLOADED, 17, "receiver is full")                     \
    X(UNDECODABLE, 18, "body cannot be decoded")              \
    X(FAILED, 19, "handler failed")                           \
    X(NODE_DIED, 20, "node ended")                            \
    X(DRAINING, 21, "receiver is shutting down")              \
    X(REPLACED, 22, "another node took the name")             \
    X(LOST, 23, "lost on a link that broke")                  \
    X(WORKER_DIED, 24, "the worker's process ended")          \
    X(QUARANTINED, 25, "it has ended too many workers")       \
    X(DEADLOCK, 26, "its handler's only thread waits for it") \
    X(END, 27, "nothing more comes")

// edri_err_t is what every function that can fail returns; EDRI_OK is 0.
typedef enum edri_err {
#define X(name, value, text) EDRI_##name = (value),
    EDRI_ERR_MAP(X)
#undef X
} edri_err_t;

// Marks functions whose result must not be dropped.
#define EDRI_MUST_CHECK __attribute__((warn_unused_result))

// edri_err_name returns the name without prefix, such as "NO_RESPONDER".
// An unknown code gives "UNKNOWN".  Result is static; any thread.
const char *edri_err_name(edri_err_t err);

// edri_err_text returns a short text, such as "nobody handles this request".
// An unknown code gives "unknown error".  Result is static; any thread.
const char *edri_err_text(edri_err_t err);

#endif
