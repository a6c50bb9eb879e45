// SPDX-License-Identifier: MIT
// report.c - asks all counters, merges, and prints.
//
//     wordcount-report FILE      FILE gets all words, "COUNT WORD" a line
//
// The report waits for the reader's ReadingDone, then asks until the counters
// have counted that many lines: what was emitted is on its way, not lost.

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <edri/edri.h>

#include "wordcount.edri.h"

// How long the counters may take for what is still on its way, in ms.
#define COUNT_MS 60000

typedef struct done {
    pthread_mutex_t lock; // the handler's thread and main's
    bool known;
    uint64_t lines;
    double seconds;
} done_t;

static edri_err_t
on_reading_done(edri_task_t *task, const Wordcount__ReadingDone *event)
{
    done_t *done = edri_task_state(task);
    pthread_mutex_lock(&done->lock);
    done->known = true;
    done->lines = event->lines;
    done->seconds = event->seconds;
    pthread_mutex_unlock(&done->lock);
    return EDRI_OK;
}

typedef struct word {
    char *text;
    uint64_t count;
} word_t;

typedef struct total {
    uint64_t lines;
    word_t *words;
    size_t count;
    bool print;
} total_t;

static void
on_answer(
    const edri_answer_t *answer, const Wordcount__CountsReply *reply, void *arg)
{
    total_t *total = arg;
    if (answer->err != EDRI_OK) {
        return;
    }
    total->lines += reply->lines;
    if (total->print) {
        printf("  %-12s %10" PRIu64 " lines\n", reply->node, reply->lines);
    }
    total->words = realloc(total->words,
        (total->count + reply->n_words + 1) * sizeof *total->words);
    if (total->words == NULL) {
        abort();
    }
    for (size_t i = 0; i < reply->n_words; i++) {
        total->words[total->count++] =
            (word_t){strdup(reply->words[i]->text), reply->words[i]->count};
    }
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(((const word_t *)a)->text, ((const word_t *)b)->text);
}

static int
by_count(const void *a, const void *b)
{
    const word_t *left = a;
    const word_t *right = b;
    if (left->count != right->count) {
        return left->count < right->count ? 1 : -1;
    }
    return strcmp(left->text, right->text);
}

// merge adds up what several counters say of one word.
static void
merge(total_t *total)
{
    qsort(total->words, total->count, sizeof(word_t), by_text);
    size_t kept = 0;
    for (size_t i = 0; i < total->count; i++) {
        if (kept > 0 &&
            strcmp(total->words[kept - 1].text, total->words[i].text) == 0) {
            total->words[kept - 1].count += total->words[i].count;
            free(total->words[i].text);
        } else {
            total->words[kept++] = total->words[i];
        }
    }
    total->count = kept;
    qsort(total->words, total->count, sizeof(word_t), by_count);
}

// wait_for_all asks for the numbers until all lines are counted.
static bool
wait_for_all(edri_port_t *port, done_t *done)
{
    uint64_t before = 0;
    for (int waited = 0; waited < COUNT_MS;) {
        Wordcount__Counts request = WORDCOUNT__COUNTS__INIT;
        total_t total = {0};
        edri_err_t err = wordcount_counts_request_all(
            port, &request, 0, on_answer, &total, NULL, NULL);
        free(total.words);
        if (err != EDRI_OK && err != EDRI_NO_RESPONDER) { // not there yet
            fprintf(stderr, "report: %s\n", edri_port_error(port));
        }
        pthread_mutex_lock(&done->lock);
        bool known = done->known;
        uint64_t lines = done->lines;
        pthread_mutex_unlock(&done->lock);
        if (known && total.lines == lines) {
            return true;
        }
        if (total.lines / 1000000 != before / 1000000) {
            printf("  %" PRIu64 " lines counted\n", total.lines);
            fflush(stdout);
        }
        // Only when nothing moves is time running out.
        waited = total.lines != before ? 0 : waited + 200;
        before = total.lines;
        (void)edri_port_poll(port, 200);
    }
    fprintf(stderr, "report: %" PRIu64 " of %" PRIu64 " lines were counted\n",
        before, done->lines);
    return false;
}

static bool
print_result(edri_port_t *port, const done_t *done, const char *path)
{
    Wordcount__Counts request = WORDCOUNT__COUNTS__INIT;
    total_t total = {.print = true};
    request.words = true;
    if (wordcount_counts_request_all(
            port, &request, 0, on_answer, &total, NULL, NULL) != EDRI_OK) {
        fprintf(stderr, "report: %s\n", edri_port_error(port));
        return false;
    }
    merge(&total);
    printf("  %.0f lines a second, %" PRIu64 " lines in %.1f s\n",
        (double)done->lines / done->seconds, done->lines, done->seconds);
    for (size_t i = 0; i < total.count && i < 10; i++) {
        printf(
            "  %10" PRIu64 " %s\n", total.words[i].count, total.words[i].text);
    }
    FILE *file = fopen(path, "w");
    bool written = file != NULL;
    for (size_t i = 0; i < total.count; i++) {
        written = written && fprintf(file, "%" PRIu64 " %s\n",
                                 total.words[i].count, total.words[i].text) > 0;
        free(total.words[i].text);
    }
    written = file != NULL && fclose(file) == 0 && written;
    free(total.words);
    if (!written) {
        perror(path);
    }
    return written;
}

int
main(int argc, char **argv)
{
    done_t done = {.lock = PTHREAD_MUTEX_INITIALIZER};
    edri_node_t *node = edri_node_new(argc, argv);
    char **args = NULL;
    bool fine = false;
    if (edri_node_args(node, &args) != 2) {
        fprintf(stderr, "usage: wordcount-report FILE\n");
        edri_node_destroy(&node);
        return 2;
    }
    edri_manager_t *manager = edri_node_manager(node, "report");
    edri_manager_set_state(manager, &done, NULL);
    wordcount_reading_done_handle(manager, on_reading_done, EDRI_METHOD);
    if (edri_node_start(node) == EDRI_OK) {
        printf("report: ready\n");
        fflush(stdout);
        edri_port_t *port = edri_node_port(node);
        fine = wait_for_all(port, &done) && print_result(port, &done, args[1]);
        edri_port_destroy(&port);
    } else {
        fprintf(stderr, "report: %s\n", edri_node_error(node));
    }
    edri_node_destroy(&node);
    return fine ? 0 : 1;
}
