// SPDX-License-Identifier: MIT
// edri/log.h - the log: stable ids, key=value texts, one sink.

#ifndef EDRI_LOG_H
#define EDRI_LOG_H

// A program sets the sink; until then the library is silent.
// Write: edri_log_warn("LINK-LOST", "switch=%s after_ms=%d", name, ms);

typedef enum edri_log_level {
    EDRI_LOG_DEBUG,
    EDRI_LOG_INFO,
    EDRI_LOG_WARN,
    EDRI_LOG_ERROR,
    EDRI_LOG_NONE
} edri_log_level_t;

// edri_log_fn takes one line: 'id' names the kind of message and never
// changes, 'text' is key=value pairs without a newline.  Both are borrowed for
// the call.  Called from any thread, never by two at once.  It must not emit or ask, nor
// wait for a lock that a thread has while it calls the library: a line may be written
// while its thread does the router's work.
typedef void edri_log_fn(
    edri_log_level_t level, const char *id, const char *text, void *arg);

// edri_log_set sets the sink and the lowest level that reaches it; a NULL sink
// makes the library silent.  Any thread; takes effect at once.
void edri_log_set(edri_log_fn *sink, void *arg, edri_log_level_t lowest);

// edri_log_stderr is a sink: "2026-01-31T12:00:00.123Z WARN LINK-LOST ...".
void edri_log_stderr(
    edri_log_level_t level, const char *id, const char *text, void *arg);

// edri_log writes one line if 'level' reaches the sink.  Any thread.
void edri_log(edri_log_level_t level, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define edri_log_debug(...) edri_log(EDRI_LOG_DEBUG, __VA_ARGS__)
#define edri_log_info(...)  edri_log(EDRI_LOG_INFO, __VA_ARGS__)
#define edri_log_warn(...)  edri_log(EDRI_LOG_WARN, __VA_ARGS__)
#define edri_log_error(...) edri_log(EDRI_LOG_ERROR, __VA_ARGS__)

#endif
