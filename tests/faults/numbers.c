// SPDX-License-Identifier: MIT
// numbers.c - a node that emits numbered events and writes down what it gets.
//
// usage: numbers WRITER BOOK [--node.name=...] [--node.switch=...] ...

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book.h"
#include "edri/edri.h"
#include "numbers.edri.h"

enum {
    ASK_EVERY = 50,  // numbers between two requests
    ASKING_MAX = 100 // requests under way
};

static book_t *book;
static uint16_t me;
static volatile sig_atomic_t ended;
static uint8_t *asked; // 1: asked, 2: ended

static void
on_signal(int number)
{
    (void)number;
    ended = 1;
}

static uint64_t
now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

// log_line writes what the library says, with the time of the books.
static void
log_line(edri_log_level_t level, const char *id, const char *text, void *arg)
{
    (void)level;
    (void)arg;
    fprintf(stderr, "%llu %s %s\n", (unsigned long long)(now_us() / 1000), id,
        text);
}

// ----- what comes

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// note writes one begin down.
static void
note(const edri_task_t *task, kind_t kind, uint32_t writer, uint32_t number)
{
    pthread_mutex_lock(&lock);
    uint32_t at = atomic_load(&book->begun);
    if (at < BOOK_ENTRIES) {
        book->entries[at] = (entry_t){.number = number,
            .ms = (uint32_t)(now_us() / 1000),
            .writer = (uint16_t)writer,
            .kind = (uint8_t)kind,
            .marked = edri_task_redelivered(task)};
        atomic_store(&book->begun, at + 1);
    }
    pthread_mutex_unlock(&lock);
}

static edri_err_t
on_every(edri_task_t *task, const Numbers__Every *event)
{
    note(task, EVERY, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_shared(edri_task_t *task, const Numbers__Shared *event)
{
    note(task, SHARED, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_single(edri_task_t *task, const Numbers__Single *event)
{
    note(task, SINGLE, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_slow(edri_task_t *task, const Numbers__Slow *event)
{
    // The work that it stands for.
    struct timespec work = {.tv_nsec = 1000L * atomic_load(&book->slow_us)};
    (void)nanosleep(&work, NULL);
    note(task, SLOW, event->writer, event->number);
    return EDRI_OK;
}

static edri_err_t
on_ask(edri_task_t *task, const Numbers__Ask *ask, Numbers__Answer *answer)
{
    (void)task;
    answer->number = ask->number;
    return EDRI_OK;
}

// ----- what goes

static void
on_answer(const edri_answer_t *raw, const Numbers__Answer *answer, void *arg)
{
    uint32_t number = (uint32_t)(uintptr_t)arg;
    if (asked[number]++ != 1 ||
        (raw->err == EDRI_OK && answer->number != number)) {
        atomic_fetch_add(&book->wrong, 1);
    }
    atomic_fetch_add(raw->err == EDRI_OK ? &book->answered : &book->failed, 1);
    if (raw->err != EDRI_OK) {
        fprintf(stderr, "request %u: %s %s\n", number, edri_err_name(raw->err),
            raw->text);
    }
}

static void
ask(edri_port_t *port)
{
    uint32_t number = atomic_load(&book->asked);
    Numbers__Ask event = NUMBERS__ASK__INIT;
    uint32_t open =
        number - atomic_load(&book->answered) - atomic_load(&book->failed);
    if (open >= ASKING_MAX) {
        return;
    }
    event.number = number;
    asked = realloc(asked, number + 1);
    asked[number] = 1;
    if (numbers_ask_request_async(
            port, &event, 0, on_answer, (void *)(uintptr_t)number) == EDRI_OK) {
        atomic_fetch_add(&book->asked, 1);
    }
}

static size_t
size_of(uint32_t number)
{
    bool large = atomic_load(&book->large) != 0;
    return book_kind(book, number) == SLOW  ? 1000
           : large && number % 5003 == 5002 ? 200 * 1024
           : large && number % 211 == 210   ? 10000
                                            : number % 60;
}

static edri_err_t
write_one(edri_port_t *port, uint32_t number)
{
    static uint8_t zeros[200 * 1024];
    ProtobufCBinaryData padding = {size_of(number), zeros};
    if (book_kind(book, number) == EVERY) {
        Numbers__Every event = NUMBERS__EVERY__INIT;
        event.writer = me, event.number = number, event.padding = padding;
        return numbers_every_emit(port, &event);
    }
    if (book_kind(book, number) == SHARED) {
        Numbers__Shared event = NUMBERS__SHARED__INIT;
        event.writer = me, event.number = number, event.padding = padding;
        return numbers_shared_emit(port, &event);
    }
    if (book_kind(book, number) == SINGLE) {
        Numbers__Single event = NUMBERS__SINGLE__INIT;
        event.writer = me, event.number = number, event.padding = padding;
        return numbers_single_emit(port, &event);
    }
    Numbers__Slow event = NUMBERS__SLOW__INIT;
    event.writer = me, event.number = number, event.padding = padding;
    return numbers_slow_emit(port, &event);
}

// write_some writes what is due by the rate, at most a tenth of a second's.
static void
write_some(edri_port_t *port, uint64_t *last_us)
{
    uint64_t rate = atomic_load(&book->rate);
    uint64_t now = now_us();
    uint64_t due = (now - *last_us) * rate / 1000000;
    if (due == 0) {
        return;
    }
    *last_us = now;
    for (uint64_t i = 0; i < due && i < rate / 10 + 1; i++) {
        uint32_t number = atomic_load(&book->emitted);
        if (number % ASK_EVERY == 0) {
            ask(port);
        }
        edri_err_t err = write_one(port, number);
        if (err == EDRI_OVERLOADED) {
            atomic_fetch_add(&book->refused, 1);
            return; // the same number again
        }
        if (err != EDRI_OK) {
            fprintf(stderr, "emit: %s %s\n", edri_err_name(err),
                edri_port_error(port));
            return;
        }
        atomic_fetch_add(&book->emitted, 1);
    }
}

static void
work(edri_port_t *port)
{
    uint64_t last_us = now_us();
    while (!ended) {
        (void)edri_port_poll(port, 2);
        if (atomic_load(&book->stop) == 0) {
            write_some(port, &last_us);
        } else if (atomic_load(&book->answered) + atomic_load(&book->failed) ==
                   atomic_load(&book->asked)) {
            atomic_store(&book->stopped, 1);
        }
    }
}

int
main(int argc, char **argv)
{
    edri_log_set(log_line, NULL, EDRI_LOG_INFO);
    edri_node_t *node = edri_node_new(argc, argv);
    char **args = NULL;
    if (edri_node_args(node, &args) < 3 ||
        (book = book_open(args[2], 0)) == NULL) {
        fprintf(stderr, "usage: numbers WRITER BOOK: %s\n", strerror(errno));
        return 2;
    }
    me = (uint16_t)atoi(args[1]);
    edri_manager_t *stock = edri_node_manager(node, "stock");
    numbers_every_handle(stock, on_every, EDRI_METHOD);
    numbers_shared_handle(stock, on_shared, EDRI_METHOD);
    numbers_single_handle(stock, on_single, EDRI_METHOD);
    numbers_ask_handle(stock, on_ask, EDRI_METHOD);
    if (atomic_load(&book->slow_us) > 0) {
        numbers_slow_handle(
            edri_node_manager(node, "slow"), on_slow, EDRI_METHOD);
    }
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    if (edri_node_start(node) != EDRI_OK) {
        fprintf(stderr, "numbers: %s\n", edri_node_error(node));
        edri_node_destroy(&node);
        return 1;
    }
    edri_port_t *port = edri_node_port(node);
    atomic_store(&book->ready, 1);
    work(port);
    edri_port_destroy(&port);
    edri_err_t err = edri_node_stop(node, 10000);
    edri_node_destroy(&node);
    free(asked);
    return err == EDRI_OK ? 0 : 1;
}
