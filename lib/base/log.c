// SPDX-License-Identifier: MIT
// log.c - the log: stable ids, key=value texts, one sink.

#include "edri/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define TEXT_MAX 1024

// The one piece of state that is the process's: where its log goes.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static edri_log_fn *sink; // under 'lock'
static void *sink_arg;    // under 'lock'
static atomic_int lowest = EDRI_LOG_NONE;

void
edri_log_set(edri_log_fn *new_sink, void *arg, edri_log_level_t level)
{
    pthread_mutex_lock(&lock);
    sink = new_sink;
    sink_arg = arg;
    atomic_store(&lowest, new_sink != NULL ? (int)level : EDRI_LOG_NONE);
    pthread_mutex_unlock(&lock);
}

void
edri_log(edri_log_level_t level, const char *id, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&lowest, memory_order_relaxed)) {
        return;
    }
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    // Texts from peers must not forge lines.
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 127) {
            *at = '?';
        }
    }
    pthread_mutex_lock(&lock);
    if (sink != NULL) {
        sink(level, id, text, sink_arg);
    }
    pthread_mutex_unlock(&lock);
}

void
edri_log_stderr(
    edri_log_level_t level, const char *id, const char *text, void *arg)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR", ""};
    struct timespec now;
    struct tm utc;
    char date[32];
    (void)arg;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(stderr, "%s.%03ldZ %s %s %s\n", date, now.tv_nsec / 1000000,
        names[level], id, text);
}
