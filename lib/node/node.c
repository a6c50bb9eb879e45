// SPDX-License-Identifier: MIT
// node.c - a node: setting up, starting, running, stopping.

#include "node/node.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"
#include "hail/hail.h"
#include "node/manager.h"
#include "node/router.h"
#include "node/work/process.h"
#include "node/work/worker.h"

#define HEALTH_WAIT_MS 2000

// Threads are many sockets; libzmq's own default of 1023 is soon used up.
#define SOCKETS_MAX 65535

// ----- errors

edri_err_t
node_fail(edri_node_t *self, edri_err_t err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = str_vprintf(format, args);
    va_end(args);
    free(self->error);
    self->error = text;
    if (self->first_err == EDRI_OK &&
        atomic_load(&self->phase) == PHASE_SETUP) {
        self->first_err = err;
        self->first_error = str_dup(text);
    }
    return err;
}

const char *
edri_node_error(const edri_node_t *self)
{
    return self->error != NULL ? self->error : "";
}

// ----- setting up

static bool
is_name(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return size <= 64 && name[size] == '\0';
}

// copy_args keeps the arguments; settings_read_args takes some of them out.
static void
copy_args(edri_node_t *self, int argc, char **argv)
{
    self->argv = mem_new(((size_t)argc + 1) * sizeof(char *));
    for (int i = 0; i < argc; i++) {
        self->argv[i] = argv[i];
        if (i > 0) {
            self->wants_help = self->wants_help || streq(argv[i], "--help");
            self->wants_health =
                self->wants_health || streq(argv[i], "--health");
        }
    }
    self->argc = argc;
}

edri_node_t *
edri_node_new(int argc, char **argv)
{
    static const char *const open_sections[] = {"managers", NULL};
    edri_node_t *self = mem_new(sizeof *self);
    requests_init(&self->requests);
    names_init(&self->names);
    self->magic = NODE_MAGIC;
    self->settings = settings_new(node_rows, open_sections);
    drops_init(&self->drops);
    letters_init(&self->letters);
    learned_init(&self->learned);
    helm_init(&self->helm);
    listen_init(&self->listen);
    self->types = shared_map_new();
    self->ports = shared_map_new();
    self->life = life_new();
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&self->next_serial, 0);
    atomic_init(&self->phase, PHASE_SETUP);
    copy_args(self, argv != NULL ? argc : 0, argv);
    self->worker = getenv("EDRI_WORKER");
    self->program = process_own_program();
    if (self->worker != NULL) {
        process_follow();
    }
    edri_err_t err =
        settings_read_args(self->settings, &self->argc, self->argv);
    if (err != EDRI_OK) {
        (void)node_fail(self, err, "%s", settings_error(self->settings));
    }
    return self;
}

static void
count_port(uint64_t key, void *value, void *arg)
{
    (void)key;
    (void)value;
    ++*(size_t *)arg;
}

// close_context ends libzmq's context; with a port still open that would wait
// for ever, so it is left then, and said.
static void
close_context(edri_node_t *self)
{
    size_t ports = 0;
    shared_map_each(self->ports, count_port, &ports);
    if (ports > 0) {
        edri_log_error("NODE-PORTS",
            "open=%zu text=\"destroy ports before their node\"", ports);
    } else if (self->zmq != NULL) {
        (void)zmq_ctx_term(self->zmq);
    }
    self->zmq = NULL;
}

void
edri_node_destroy(edri_node_t **self_p)
{
    edri_node_t *self = self_p != NULL ? *self_p : NULL;
    if (self == NULL) {
        return;
    }
    *self_p = NULL;
    if (atomic_load(&self->phase) == PHASE_RUNNING) {
        (void)edri_node_stop(
            self, (int)settings_int(self->settings, "node.drain_timeout"));
    }
    for (size_t i = 0; i < self->manager_count; i++) {
        manager_destroy(&self->managers[i]);
    }
    free(self->managers);
    close_context(self);
    learned_clear(&self->learned);
    shared_map_destroy(&self->types, free);
    shared_map_destroy(&self->ports, NULL);
    settings_destroy(&self->settings);
    free(self->program);
    if (self->wake_fd >= 0) {
        (void)close(self->wake_fd);
    }
    drops_clear(&self->drops);
    letters_clear(&self->letters);
    requests_end(&self->requests);
    names_end(&self->names);
    listen_close(&self->listen);
    helm_destroy(&self->helm);
    free(self->argv);
    free(self->error);
    free(self->first_error);
    self->magic = 0;
    free(self);
}

edri_err_t
edri_node_set(edri_node_t *self, const char *name, const char *value)
{
    if (atomic_load(&self->phase) != PHASE_SETUP) {
        return node_fail(
            self, EDRI_STATE, "%s: the node has started already", name);
    }
    edri_err_t err = settings_set(self->settings, name, value, "edri_node_set");
    return err == EDRI_OK
               ? EDRI_OK
               : node_fail(self, err, "%s", settings_error(self->settings));
}

int
edri_node_args(const edri_node_t *self, char ***argv_p)
{
    *argv_p = self->argv;
    return self->argc;
}

edri_manager_t *
node_manager(const edri_node_t *self, const char *name)
{
    for (size_t i = 0; i < self->manager_count; i++) {
        if (streq(edri_manager_name(self->managers[i]), name)) {
            return self->managers[i];
        }
    }
    return NULL;
}

edri_manager_t *
edri_node_manager(edri_node_t *self, const char *name)
{
    bool fine = false;
    edri_manager_t *refused = setup_other(name);
    if (refused != NULL) {
        return refused;
    }
    if (atomic_load(&self->phase) != PHASE_SETUP) {
        (void)node_fail(self, EDRI_STATE,
            "manager %s: the node has started already",
            name != NULL ? name : "");
    } else if (name == NULL || name[0] == '\0' || !is_name(name)) {
        (void)node_fail(self, EDRI_INVAL,
            "manager \"%s\": 1 to 64 letters, digits, '-', '_', '.' make a "
            "name",
            name != NULL ? name : "");
    } else if (node_manager(self, name) != NULL) {
        (void)node_fail(
            self, EDRI_EXISTS, "manager %s: there are two of it", name);
    } else {
        fine = true;
    }
    self->managers = mem_resize(
        self->managers, (self->manager_count + 1) * sizeof *self->managers);
    edri_manager_t *manager = manager_new(self, name, !fine);
    self->managers[self->manager_count++] = manager;
    return manager;
}

// ----- starting

static void
read_limits(edri_node_t *self)
{
    const settings_t *settings = self->settings;
    self->limits = (limits_t){
        .body_max = (size_t)settings_int(settings, "node.body_limit"),
        .port_queue = (size_t)settings_int(settings, "node.port_queue"),
        .manager_queue = (size_t)settings_int(settings, "node.manager_queue"),
        .link_queue = (size_t)settings_int(settings, "node.link_queue"),
        .retain = (size_t)settings_int(settings, "node.retain"),
        .spin_us = (unsigned)settings_int(settings, "node.spin"),
        .huddles = settings_bool(settings, "node.huddle") &&
                   settings_int(settings, "node.spin") == 0,
        .letters = (size_t)settings_int(settings, "node.letters"),
        .probe_ms = settings_int(settings, "health.probe"),
        .slow_ms = settings_int(settings, "health.slow"),
        .stuck_ms = settings_int(settings, "health.stuck"),
        .restart_stuck = settings_bool(settings, "health.restart"),
        .emit_wait_ms = settings_int(settings, "emit.wait"),
        .fence_ms = settings_int(settings, "flow.fence"),
        .closed_ms = settings_int(settings, "gone.closed"),
        .silent_ms = settings_int(settings, "gone.silent"),
        .retention_ms = settings_int(settings, "gone.retention"),
        .grace_ms = settings_int(settings, "worker.grace"),
        .tunnel_limit = (size_t)settings_int(settings, "tunnel.limit"),
        .tunnel_window = (size_t)settings_int(settings, "tunnel.window"),
        .tunnel_memory = (size_t)settings_int(settings, "tunnel.memory"),
        .tunnel_bytes = (uint64_t)settings_int(settings, "tunnel.bytes"),
        .tunnel_idle_ms = settings_int(settings, "tunnel.idle"),
    };
    self->name = settings_text(settings, "node.name");
    self->letters.limit = self->limits.letters;
}

// check_timers refuses settings that contradict each other.
static void
check_timers(edri_node_t *self)
{
    static const struct {
        const char *name;
        const char *not_above;
        int64_t apart_ms;
    } rules[] = {
        {"link.heartbeat", "link.lost", 1},
        {"link.backoff_min", "link.backoff_max", 0},
        {"health.slow", "health.stuck", 1},
        {"worker.backoff_min", "worker.backoff_max", 0},
        {"gone.closed", "gone.silent", 0},
        {"gone.silent", "gone.retention", 0},
        {"flow.fence", "gone.retention", 0},
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        int64_t low = settings_int(self->settings, rules[i].name);
        int64_t high = settings_int(self->settings, rules[i].not_above);
        if (low + rules[i].apart_ms > high) {
            (void)node_fail(self, EDRI_INVAL,
                "%s of %lld ms must not be over %s, which is %lld ms",
                rules[i].name, (long long)low, rules[i].not_above,
                (long long)high);
            return;
        }
    }
}

// hear waits for the router's next word until the deadline; -1: for ever.
// Returns its error, EDRI_DEADLINE, or EDRI_OK with the word.
static edri_err_t
hear(edri_node_t *self, int64_t deadline_ms, char *word, size_t word_size)
{
    zmq_pollitem_t item = {self->pipe, 0, ZMQ_POLLIN, 0};
    int count = 0;
    do {
        int64_t left = deadline_ms < 0 ? -1 : deadline_ms - clock_ms();
        left = deadline_ms >= 0 && left < 0 ? 0 : left;
        count = zmq_poll(&item, 1, (long)left);
    } while (count < 0 && zmq_errno() == EINTR);
    if (count <= 0) {
        return EDRI_DEADLINE;
    }
    uint32_t code = 0;
    char text[1024];
    int size = zmq_recv(self->pipe, word, word_size - 1, 0);
    word[size > 0 ? size : 0] = '\0';
    (void)zmq_recv(self->pipe, &code, sizeof code, 0);
    size = zmq_recv(self->pipe, text, sizeof text - 1, 0);
    size = size > (int)sizeof text - 1 ? (int)sizeof text - 1 : size;
    text[size > 0 ? size : 0] = '\0';
    return code == EDRI_OK ? EDRI_OK
                           : node_fail(self, (edri_err_t)code, "%s", text);
}

static void
tell(edri_node_t *self, const char *word)
{
    (void)zmq_send(self->pipe, word, strlen(word), 0);
}

// stop_threads ends router and managers; what they hold is dropped.
static void
stop_threads(edri_node_t *self)
{
    if (self->router != NULL) {
        tell(self, "QUIT");
        for (size_t i = 0; i < self->manager_count; i++) {
            manager_join(self->managers[i]);
        }
        tell(self, "STOP");
        atomic_store(&self->phase, PHASE_STOPPED);
        router_destroy(&self->router);
    }
    atomic_store(&self->phase, PHASE_STOPPED);
    if (self->pipe != NULL) {
        zmq_close(self->pipe);
        self->pipe = NULL;
    }
}

// name_threads gives libzmq's threads of this node names of their own.
static void
name_threads(edri_node_t *self)
{
    static atomic_int nodes;
    int number = atomic_fetch_add(&nodes, 1) % 999 + 1;
    (void)zmq_ctx_set(self->zmq, ZMQ_THREAD_NAME_PREFIX, number);
    (void)snprintf(
        self->io_thread, sizeof self->io_thread, "%d/ZMQbg/IO/0", number);
}

edri_err_t
node_open(edri_node_t *self)
{
    read_limits(self);
    atomic_store(&self->phase, PHASE_RUNNING);
    self->zmq = zmq_ctx_new();
    if (self->zmq == NULL) {
        return node_fail(self, EDRI_SYSTEM, "libzmq: no context");
    }
    (void)zmq_ctx_set(self->zmq, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    (void)zmq_ctx_set(self->zmq, ZMQ_BLOCKY, 0);
    name_threads(self);
    self->pipe = zmq_socket(self->zmq, ZMQ_PAIR);
    int zero = 0;
    if (self->pipe == NULL ||
        zmq_setsockopt(self->pipe, ZMQ_LINGER, &zero, sizeof zero) != 0 ||
        zmq_bind(self->pipe, NODE_PIPE_ENDPOINT) != 0) {
        return node_fail(
            self, EDRI_SYSTEM, "libzmq: %s", zmq_strerror(zmq_errno()));
    }
    return EDRI_OK;
}

static void
manager_failed(edri_node_t *self, const edri_manager_t *manager, edri_err_t err)
{
    char *why = manager_why(manager, err);
    (void)node_fail(self, err, "%s", why);
    free(why);
}

static edri_err_t
start_threads(edri_node_t *self)
{
    char word[16];
    edri_err_t err = router_new(self, &self->router);
    if (err != EDRI_OK) {
        return node_fail(self, err, "the router's thread cannot be started");
    }
    err = hear(self, -1, word, sizeof word);
    for (size_t i = 0; i < self->manager_count && err == EDRI_OK; i++) {
        err = manager_start(self->managers[i]);
        if (err != EDRI_OK) {
            manager_failed(self, self->managers[i], err);
        }
    }
    return err;
}

// begin_managers lets all managers call their hooks, and waits for these.
static edri_err_t
begin_managers(edri_node_t *self)
{
    edri_err_t err = EDRI_OK;
    for (size_t i = 0; i < self->manager_count; i++) {
        manager_ready(self->managers[i]);
    }
    for (size_t i = 0; i < self->manager_count; i++) {
        edri_err_t mine = manager_await(self->managers[i]);
        if (mine != EDRI_OK && err == EDRI_OK) {
            err = mine;
            manager_failed(self, self->managers[i], err);
        }
    }
    return err;
}

// join_network opens the links and waits until the demands are in force.
static edri_err_t
join_network(edri_node_t *self)
{
    const char *switches = settings_text(self->settings, "node.switch");
    if (switches[0] == '\0') {
        return EDRI_OK;
    }
    int64_t timeout = settings_int(self->settings, "node.start_timeout");
    char word[16];
    tell(self, "OPEN");
    edri_err_t err = hear(self, clock_ms() + timeout, word, sizeof word);
    if (err == EDRI_DEADLINE) {
        return node_fail(self, EDRI_UNREACHABLE,
            "no switch at %s answered within %lld ms (node.start_timeout)",
            switches, (long long)timeout);
    }
    return err;
}

// configure_managers keeps the first error as the node's.
static void
configure_managers(edri_node_t *self)
{
    edri_err_t err = self->first_err;
    for (size_t i = 0; i < self->manager_count && err == EDRI_OK; i++) {
        err = manager_configure(self->managers[i]);
    }
}

edri_err_t
edri_node_start(edri_node_t *self)
{
    if (atomic_load(&self->phase) != PHASE_SETUP) {
        return node_fail(self, EDRI_STATE, "the node has been started before");
    }
    if (self->first_err == EDRI_OK &&
        !is_name(settings_text(self->settings, "node.name"))) {
        (void)node_fail(self, EDRI_INVAL,
            "node.name: \"%s\": letters, digits, '-', '_', '.' make a name",
            settings_text(self->settings, "node.name"));
    }
    if (self->first_err == EDRI_OK) {
        check_timers(self);
    }
    configure_managers(self);
    if (self->first_err != EDRI_OK && self->worker != NULL) {
        worker_refuse(self, self->worker, self->first_err, self->first_error);
    }
    if (self->first_err != EDRI_OK) {
        return node_fail(self, self->first_err, "%s", self->first_error);
    }
    if (self->worker != NULL) {
        read_limits(self);
        worker_run(self, self->worker);
    }
    edri_err_t err = node_open(self);
    if (err == EDRI_OK) {
        err = start_threads(self);
    }
    if (err == EDRI_OK) {
        err = join_network(self);
    }
    if (err == EDRI_OK) {
        err = begin_managers(self);
    }
    if (err != EDRI_OK) {
        stop_threads(self);
    }
    return err;
}

// ----- stopping

edri_err_t
edri_node_stop(edri_node_t *self, int drain_ms)
{
    if (atomic_load(&self->phase) != PHASE_RUNNING) {
        return EDRI_STATE;
    }
    edri_err_t err = EDRI_OK;
    if (drain_ms > 0) {
        int64_t deadline = clock_ms() + drain_ms;
        char word[16] = "";
        tell(self, "DRAIN");
        while (err != EDRI_DEADLINE && !streq(word, "DRAINED")) {
            err = hear(self, deadline, word, sizeof word);
        }
        if (err == EDRI_DEADLINE) {
            edri_log_warn("NODE-DRAIN",
                "ms=%d text=\"work was left when the time was over\"",
                drain_ms);
        } else {
            err = EDRI_OK;
        }
    }
    stop_threads(self);
    return err;
}

void
edri_node_quit(edri_node_t *self)
{
    uint64_t one = 1;
    atomic_store(&self->quit, true);
    if (write(self->wake_fd, &one, sizeof one) < 0) {
        return; // the counter is full: it will wake
    }
}

edri_err_t
edri_node_wait(edri_node_t *self)
{
    if (atomic_load(&self->phase) != PHASE_RUNNING) {
        return EDRI_STATE;
    }
    zmq_pollitem_t items[] = {
        {NULL, self->wake_fd, ZMQ_POLLIN, 0},
        {self->pipe, 0, ZMQ_POLLIN, 0},
    };
    for (;;) {
        if (zmq_poll(items, 2, -1) < 0) {
            continue; // interrupted
        }
        if ((items[0].revents & ZMQ_POLLIN) != 0) {
            uint64_t count;
            (void)!read(self->wake_fd, &count, sizeof count);
            return EDRI_OK;
        }
        char word[16] = "";
        if (hear(self, -1, word, sizeof word) == EDRI_REPLACED) {
            return EDRI_REPLACED;
        }
    }
}

// ----- running as a program

// What the signal handler may touch: the node's descriptor, how often.
static volatile sig_atomic_t signal_fd = -1;
static volatile sig_atomic_t signal_count;

static void
on_signal(int number)
{
    (void)number;
    static const char text[] = "edri: second signal: stopping at once\n";
    uint64_t one = 1;
    if (signal_count++ > 0) {
        (void)!write(STDERR_FILENO, text, sizeof text - 1);
        _exit(1);
    }
    (void)!write(signal_fd, &one, sizeof one);
}

static void
catch_signals(edri_node_t *self)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    signal_fd = self->wake_fd;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
}

static void
start_log(const edri_node_t *self)
{
    static const char *const names[] = {
        "debug", "info", "warn", "error", "none"};
    const char *level = settings_text(self->settings, "log.level");
    for (int i = 0; i < 5; i++) {
        if (streq(level, names[i])) {
            edri_log_set(edri_log_stderr, NULL, (edri_log_level_t)i);
        }
    }
}

static void
print_help(const edri_node_t *self)
{
    printf("usage: %s [--config FILE] [--set NAME=VALUE]...\n"
           "       %s --health    ask the one with these settings, at its "
           "node.ipc\n\n",
        self->argc > 0 ? self->argv[0] : "edri-node",
        self->argc > 0 ? self->argv[0] : "edri-node");
    settings_print_help(node_rows, stdout);
}

// is_wrong_use says whether an error is the caller's, for the exit code.
static bool
is_wrong_use(edri_err_t err)
{
    return err == EDRI_INVAL || err == EDRI_NOT_FOUND || err == EDRI_STATE;
}

// run_health is --health: whether the node that these settings are for runs
// and is ready.
static int
run_health(const edri_node_t *self)
{
    const char *endpoint = settings_text(self->settings, "node.ipc");
    char why[256];
    edri_err_t err = EDRI_INVAL;
    (void)snprintf(why, sizeof why, "--health asks at node.ipc; set it");
    if (endpoint[0] != '\0') {
        err = hail(endpoint, HEALTH_WAIT_MS, why, sizeof why);
    }
    if (err != EDRI_OK) {
        fprintf(stderr, "%s: %s%s%s\n", self->argv[0], endpoint,
            endpoint[0] != '\0' ? ": " : "", why);
    }
    return err == EDRI_OK ? 0 : 1;
}

int
edri_node_run(edri_node_t *self)
{
    if (self->wants_help) {
        print_help(self);
        return 0;
    }
    if (self->wants_health) {
        return run_health(self);
    }
    if (self->argc > 1 && self->first_err == EDRI_OK) {
        (void)node_fail(
            self, EDRI_INVAL, "unknown argument %s; try --help", self->argv[1]);
    }
    start_log(self);
    if (self->worker == NULL) {
        catch_signals(self);
    }
    edri_err_t err = edri_node_start(self);
    if (err != EDRI_OK) {
        fprintf(stderr, "%s: %s\n", self->argc > 0 ? self->argv[0] : "edri",
            edri_node_error(self));
        return is_wrong_use(err) ? 2 : 1;
    }
    edri_log_info("NODE-READY", "node=%s life=%016llx", self->name,
        (unsigned long long)self->life);
    err = edri_node_wait(self);
    if (err != EDRI_OK) {
        fprintf(stderr, "%s: %s\n", self->argc > 0 ? self->argv[0] : "edri",
            edri_node_error(self));
    }
    edri_err_t stopped = edri_node_stop(
        self, (int)settings_int(self->settings, "node.drain_timeout"));
    return err == EDRI_OK && stopped == EDRI_OK ? 0 : 1;
}

// ----- looking

edri_port_t *
edri_node_port(edri_node_t *self)
{
    if (atomic_load(&self->phase) != PHASE_RUNNING) {
        (void)node_fail(self, EDRI_STATE, "a port needs a started node");
        return NULL;
    }
    return port_new(self, NULL);
}

const char *
edri_node_name(const edri_node_t *self)
{
    return settings_text(self->settings, "node.name");
}

uint64_t
edri_node_life(const edri_node_t *self)
{
    return self->life;
}

edri_err_t
edri_node_counter(const edri_node_t *self, const char *name, uint64_t *value)
{
    *value = 0;
    for (int i = 0; i < COUNTER_COUNT; i++) {
        if (streq(counter_name((counter_t)i), name)) {
            *value = counter_get(&self->counters, (counter_t)i);
            return EDRI_OK;
        }
    }
    return EDRI_NOT_FOUND;
}
