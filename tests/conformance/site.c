// SPDX-License-Identifier: MIT
// site.c - a node whose workers are to be tried.

#include "site.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"

enum {
    WAIT_S = 20,
    SEEN_MAX = 200000
};

void
check_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    _exit(1);
}

uint8_t *
site_data(size_t size)
{
    uint8_t *data = mem_new(size + 1);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 7 + size);
    }
    return data;
}

bool
site_whole(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != (uint8_t)(i * 7 + size)) {
            return false;
        }
    }
    return true;
}

// ----- what handlers do

static edri_err_t
emit_seen(edri_port_t *port, const char *what, uint64_t number, size_t size)
{
    Duty__Seen seen = DUTY__SEEN__INIT;
    uint8_t *data = site_data(size);
    char *copy = str_dup(what);
    seen.what = copy;
    seen.number = number;
    seen.data = (ProtobufCBinaryData){size, data};
    edri_err_t err = duty_seen_emit(port, &seen);
    free(copy);
    free(data);
    return err;
}

// work_for keeps the handler busy.
static void
work_for(uint64_t ms)
{
    (void)poll(NULL, 0, (int)ms);
}

static void
on_inner_answer(const edri_answer_t *answer, const Duty__Done *done, void *arg)
{
    edri_port_t *port = arg;
    (void)emit_seen(port, answer->err == EDRI_OK ? "answered" : "unanswered",
        done != NULL ? done->number : 0, 0);
}

// ask asks "inner" in one of three ways.
static edri_err_t
ask(edri_task_t *task, const char *how, uint64_t number, uint64_t *result)
{
    edri_port_t *port = edri_task_port(task);
    Duty__Inner inner = DUTY__INNER__INIT;
    Duty__Done *done = NULL;
    inner.number = number;
    if (streq(how, "ask_async")) {
        return duty_inner_request_async(port, &inner, 0, on_inner_answer, port);
    }
    if (streq(how, "ask_all")) {
        uint32_t asked = 0;
        uint32_t answered = 0;
        edri_err_t err = duty_inner_request_all(
            port, &inner, 0, on_inner_answer, port, &asked, &answered);
        *result = asked * 10 + answered;
        return err;
    }
    edri_err_t err = duty_inner_request(port, &inner, 0, &done);
    *result = done != NULL ? done->number : 0;
    duty_do_reply_free(&done);
    return err;
}

// flood emits to a receiver that is full.  Returns how the last one ended.
static edri_err_t
flood(edri_port_t *port, bool no_wait)
{
    Duty__Flood event = DUTY__FLOOD__INIT;
    uint8_t data[1000] = {0};
    edri_emit_options_t options = {.no_wait = no_wait};
    edri_err_t err = EDRI_OK;
    event.data = (ProtobufCBinaryData){sizeof data, data};
    for (int i = 0; i < 100000 && err == EDRI_OK; i++) {
        err = edri_emit(port, &duty_flood_type, &event.base, &options);
    }
    return err;
}

static void
end_process(const char *how)
{
    if (streq(how, "segv")) {
        (void)signal(SIGSEGV, SIG_DFL); // not a sanitizer's report
        (void)raise(SIGSEGV);
    } else if (streq(how, "kill")) {
        (void)kill(getpid(), SIGKILL);
    } else if (streq(how, "exit")) {
        _exit(3);
    } else if (streq(how, "garbage")) {
        (void)!write(3, "this is no message of ours", 26);
        work_for(60000);
    }
}

static edri_err_t
facts(edri_task_t *task, Duty__Done *done)
{
    bool mine = edri_task_life(task) ==
                edri_node_life(edri_manager_node(edri_task_state(task)));
    char *room = edri_task_alloc(task, (size_t)1 << 20);
    for (size_t i = 0; i < (size_t)1 << 20; i++) {
        if (room[i] != 0) {
            return edri_task_fail(task, EDRI_FAILED, "memory is not zero");
        }
        room[i] = 1;
    }
    done->text = edri_task_printf(task,
        "redelivered=%d missed=%d mine=%d sender=%s attempt=%d own=%d "
        "type=%s in_time=%d",
        edri_task_redelivered(task), (int)edri_task_missed(task), mine,
        edri_task_sender(task), (int)edri_task_attempt(task),
        streq(edri_task_worker_state(task), "own"), edri_task_type(task)->name,
        edri_task_remaining_ms(task) > 0 &&
            edri_task_remaining_ms(task) <= 20000);
    done->number = edri_task_id(task);
    return EDRI_OK;
}

// emit_row emits a row of events, and flushes them.
static edri_err_t
emit_row(edri_port_t *port, uint64_t count)
{
    edri_err_t err = EDRI_OK;
    for (uint64_t i = 0; i < count && err == EDRI_OK; i++) {
        err = emit_seen(port, "row", i, 10);
    }
    return err == EDRI_OK ? edri_port_flush(port, 10000) : err;
}

// until_unwanted goes on until nobody waits for the task any more.
static edri_err_t
until_unwanted(edri_task_t *task)
{
    edri_port_t *port = edri_task_port(task);
    edri_err_t err = emit_seen(port, "begun", 0, 0);
    for (int i = 0; i < 20000 && !edri_task_cancelled(task); i++) {
        work_for(1);
    }
    return err == EDRI_OK && edri_task_cancelled(task)
               ? emit_seen(port, "unwanted", 0, 0)
               : err;
}

// act does what an event asks for.
static edri_err_t
act(edri_task_t *task, const char *what, uint64_t number)
{
    edri_port_t *port = edri_task_port(task);
    end_process(what);
    if (streq(what, "fail")) {
        return edri_task_fail(
            task, EDRI_NOT_FOUND, "no number %d", (int)number);
    }
    if (streq(what, "emit")) {
        return emit_row(port, number);
    }
    if (streq(what, "emit_large")) {
        return emit_seen(port, "large", number, number);
    }
    if (streq(what, "work")) {
        edri_err_t err = emit_seen(port, "begun", number, 0);
        work_for(number);
        return err == EDRI_OK ? emit_seen(port, "ended", number, 0) : err;
    }
    if (streq(what, "until_unwanted")) {
        return until_unwanted(task);
    }
    if (streq(what, "lonely")) {
        Duty__Lonely lonely = DUTY__LONELY__INIT;
        edri_err_t err = duty_lonely_emit(port, &lonely);
        return err == EDRI_OK ? edri_port_flush(port, 10000) : err;
    }
    if (streq(what, "progress")) {
        for (uint64_t i = 0; i <= number; i++) {
            edri_task_progress(task, i, number, "counting");
            work_for(i < number ? 60 : 0);
        }
    }
    if (streq(what, "quit")) {
        edri_node_quit(edri_manager_node(edri_task_state(task)));
    }
    return EDRI_OK;
}

// ----- tunnels

static void
on_ready(edri_tunnel_t *tunnel, void *arg)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    (void)arg;
    while ((err = duty_flow_receive_up(tunnel, 0, &bytes)) == EDRI_OK) {
        check(
            duty_flow_send_down(tunnel, bytes.data, bytes.size, -1) == EDRI_OK,
            "it was not sent back");
        edri_bytes_free(&bytes);
    }
    if (err == EDRI_END) {
        (void)edri_tunnel_finish(tunnel);
    }
}

edri_err_t
site_on_flow(edri_task_t *task, const Duty__Flow *flow, edri_tunnel_t *tunnel)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    if (streq(flow->what, "refuse")) {
        return edri_task_fail(task, EDRI_DENIED, "not now");
    }
    if (streq(flow->what, "calls")) {
        return edri_tunnel_on(
            tunnel, &(edri_tunnel_calls_t){.ready = on_ready}, NULL);
    }
    while ((err = duty_flow_receive_up(tunnel, -1, &bytes)) == EDRI_OK) {
        if (streq(flow->what, "die")) {
            (void)kill(getpid(), SIGKILL);
        }
        err = duty_flow_send_down(tunnel, bytes.data, bytes.size, -1);
        edri_bytes_free(&bytes);
    }
    return err == EDRI_END ? EDRI_OK : err;
}

static edri_err_t
on_do(edri_task_t *task, const Duty__Do *request, Duty__Done *done)
{
    const char *what = request->what;
    edri_port_t *port = edri_task_port(task);
    done->pid = (uint64_t)getpid();
    done->text = request->what;
    done->number = request->number;
    done->data = request->data;
    if (streq(what, "facts")) {
        return facts(task, done);
    }
    if (streq(what, "nobody")) {
        Duty__Nobody nobody = DUTY__NOBODY__INIT;
        Duty__Done *reply = NULL;
        edri_err_t err = duty_nobody_request(port, &nobody, 0, &reply);
        done->text = edri_task_strdup(task, edri_err_name(err));
        return EDRI_OK;
    }
    if (streq(what, "ask_self")) {
        Duty__Do again = DUTY__DO__INIT;
        Duty__Done *reply = NULL;
        again.what = (char[]){"echo"};
        edri_err_t err = duty_do_request(port, &again, 0, &reply);
        done->text = edri_task_strdup(task, edri_err_name(err));
        duty_do_reply_free(&reply);
        return EDRI_OK;
    }
    if (streq(what, "flood") || streq(what, "flood_no_wait")) {
        edri_err_t err = flood(port, streq(what, "flood_no_wait"));
        done->text = edri_task_strdup(task, edri_err_name(err));
        return EDRI_OK;
    }
    if (strncmp(what, "ask", 3) == 0) {
        return ask(task, what, request->number, &done->number);
    }
    return act(task, what, request->number);
}

static edri_err_t
on_again(edri_task_t *task, const Duty__Again *request, Duty__Done *done)
{
    done->pid = (uint64_t)getpid();
    done->number = edri_task_redelivered(task);
    return act(task, request->what, request->number);
}

static edri_err_t
on_note(edri_task_t *task, const Duty__Note *note)
{
    if (streq(note->what, "see")) {
        return emit_seen(edri_task_port(task), "noted", note->number,
            site_whole(note->data.data, note->data.len) ? note->data.len : 0);
    }
    return act(task, note->what, note->number);
}

// on_try succeeds with the third attempt.
static edri_err_t
on_try(edri_task_t *task, const Duty__Try *event)
{
    uint32_t attempt = edri_task_attempt(task);
    if (attempt < 2) {
        end_process(event->what);
        return edri_task_fail(task, EDRI_FAILED, "attempt %u", attempt);
    }
    return emit_seen(edri_task_port(task),
        edri_task_redelivered(task) ? "tried" : "not marked", attempt, 0);
}

// Every worker has a word of its own.
static edri_err_t
begin_worker(edri_manager_t *manager, void *state, void **worker_p)
{
    *worker_p = str_dup(manager == state ? "own" : "wrong");
    return EDRI_OK;
}

static edri_err_t
on_shared(edri_task_t *task, const Duty__Shared *event)
{
    return emit_seen(edri_task_port(task),
        edri_task_redelivered(task) ? "marked" : "shared", event->number, 0);
}

static void
on_inner_reply(edri_task_t *task, const Duty__Done *reply)
{
    (void)emit_seen(
        edri_task_port(task), "observed", reply != NULL ? reply->number : 0, 0);
}

// The hooks emit; "inner" is asked to see that they may.
static edri_err_t
on_started(edri_manager_t *manager, edri_port_t *port, void *state)
{
    uint64_t number = 0;
    Duty__Inner inner = DUTY__INNER__INIT;
    Duty__Done *done = NULL;
    if (getenv("WORK_FAILS_TO_START") != NULL) {
        return edri_manager_fail(manager, EDRI_NOT_FOUND, "no such luck");
    }
    edri_err_t err = duty_inner_request(port, &inner, 0, &done);
    number = done != NULL ? done->number : 0;
    duty_do_reply_free(&done);
    return err == EDRI_OK && state == manager
               ? emit_seen(port, "started", number, 0)
               : edri_manager_fail(manager, err, "%s", edri_port_error(port));
}

static void
on_draining(edri_manager_t *manager, edri_port_t *port, void *state)
{
    (void)emit_seen(port, state == manager ? "draining" : "wrong", 0, 0);
}

// on_stopped leaves a line in a file: nothing else is there any more.
static void
on_stopped(edri_manager_t *manager, void *state)
{
    const char *path = getenv("WORK_STOPPED");
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;
    if (file != NULL && state == manager) {
        fprintf(file, "stopped\n");
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

// ----- what the node sees of it

static edri_err_t
on_seen(edri_task_t *task, const Duty__Seen *event)
{
    site_t *self = edri_task_state(task);
    seen_t seen = {.number = event->number,
        .size = event->data.len,
        .whole = site_whole(event->data.data, event->data.len)};
    if (self->forgets) {
        return EDRI_OK;
    }
    (void)snprintf(seen.what, sizeof seen.what, "%s", event->what);
    (void)pthread_mutex_lock(&self->lock);
    check(self->count < SEEN_MAX, "too many events");
    self->seen[self->count++] = seen;
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
    return EDRI_OK;
}

static edri_err_t
on_inner(edri_task_t *task, const Duty__Inner *inner, Duty__Done *done)
{
    (void)task;
    done->number = inner->number + 1;
    return EDRI_OK;
}

static edri_err_t
on_flood(edri_task_t *task, const Duty__Flood *event)
{
    site_t *self = edri_task_state(task);
    (void)event;
    (void)pthread_mutex_lock(&self->lock);
    while (self->held) {
        (void)pthread_cond_wait(&self->changed, &self->lock);
    }
    (void)pthread_mutex_unlock(&self->lock);
    return EDRI_OK;
}

site_t *
site_new(int argc, char **argv, edri_workers_t workers)
{
    site_t *self = mem_new(sizeof *self);
    self->seen = mem_new(SEEN_MAX * sizeof *self->seen);
    (void)pthread_mutex_init(&self->lock, NULL);
    (void)pthread_cond_init(&self->changed, NULL);
    self->node = edri_node_new(argc, argv);
    edri_manager_t *work = edri_node_manager(self->node, "work");
    self->work = work;
    (void)edri_manager_set_state(work, work, NULL);
    (void)duty_do_handle(work, on_do, workers);
    (void)duty_again_handle(work, on_again, workers);
    (void)duty_note_handle(work, on_note, workers);
    (void)duty_try_handle(work, on_try, workers);
    (void)duty_shared_handle(work, on_shared, workers);
    (void)duty_inner_observe(work, on_inner_reply);
    (void)edri_manager_worker_state(work, begin_worker, free);
    (void)edri_manager_hooks(
        work, &(edri_hooks_t){on_started, on_draining, on_stopped});
    edri_manager_t *sink = edri_node_manager(self->node, "sink");
    (void)edri_manager_set_state(sink, self, NULL);
    (void)duty_seen_handle(sink, on_seen, EDRI_METHOD);
    (void)duty_inner_handle(
        edri_node_manager(self->node, "inner"), on_inner, EDRI_METHOD);
    edri_manager_t *full = edri_node_manager(self->node, "full");
    (void)edri_manager_set_state(full, self, NULL);
    (void)duty_flood_handle(full, on_flood, EDRI_METHOD);
    return self;
}

void
site_start(site_t *self)
{
    check(edri_node_start(self->node) == EDRI_OK, "%s",
        edri_node_error(self->node));
    self->port = edri_node_port(self->node);
    check(self->port != NULL, "no port");
}

void
site_free(site_t **self_p)
{
    site_t *self = *self_p;
    *self_p = NULL;
    site_hold(self, false);
    edri_port_destroy(&self->port);
    (void)edri_node_stop(self->node, 0);
    edri_node_destroy(&self->node);
    (void)pthread_mutex_destroy(&self->lock);
    (void)pthread_cond_destroy(&self->changed);
    free(self->seen);
    free(self);
}

// count_seen counts under the lock.
static size_t
count_seen(const site_t *self, const char *what)
{
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++) {
        count += streq(self->seen[i].what, what);
    }
    return count;
}

size_t
site_seen(site_t *self, const char *what)
{
    (void)pthread_mutex_lock(&self->lock);
    size_t count = count_seen(self, what);
    (void)pthread_mutex_unlock(&self->lock);
    return count;
}

bool
site_wait(site_t *self, const char *what, size_t count)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    int err = 0;
    (void)pthread_mutex_lock(&self->lock);
    while (err != ETIMEDOUT && count_seen(self, what) < count) {
        err = pthread_cond_timedwait(&self->changed, &self->lock, &until);
    }
    size_t there = count_seen(self, what);
    (void)pthread_mutex_unlock(&self->lock);
    return there >= count;
}

void
site_hold(site_t *self, bool held)
{
    (void)pthread_mutex_lock(&self->lock);
    self->held = held;
    (void)pthread_cond_broadcast(&self->changed);
    (void)pthread_mutex_unlock(&self->lock);
}

edri_err_t
site_do(site_t *self, const char *what, uint64_t number, Duty__Done **done_p)
{
    Duty__Do request = DUTY__DO__INIT;
    Duty__Done *done = NULL;
    char *copy = str_dup(what);
    request.what = copy;
    request.number = number;
    edri_err_t err = duty_do_request(self->port, &request, 0, &done);
    free(copy);
    if (done_p != NULL) {
        *done_p = done;
    } else {
        duty_do_reply_free(&done);
    }
    return err;
}

void
site_note(site_t *self, const char *what, uint64_t number)
{
    Duty__Note note = DUTY__NOTE__INIT;
    char *copy = str_dup(what);
    note.what = copy;
    note.number = number;
    check(duty_note_emit(self->port, &note) == EDRI_OK, "%s",
        edri_port_error(self->port));
    free(copy);
}

uint64_t
site_counter(const site_t *self, const char *name)
{
    uint64_t value = 0;
    check(edri_node_counter(self->node, name, &value) == EDRI_OK,
        "no counter %s", name);
    return value;
}
