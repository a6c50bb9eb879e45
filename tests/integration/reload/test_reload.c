// SPDX-License-Identifier: MIT
// test_reload.c - a plugin that runs in the node itself is reloaded.

#include "test_reload.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include <criterion/criterion.h>

#include "edri/edri.h"
#include "edri/reload.h"
#include "reload.edri.h"
#include "support/network.h"

#define ACCOUNTS 4
#define TURNS    64

// What the plugin has said.
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open; // the gate
    int at_gate;
    int waits_for_answer;
    int last_edition; // of a Line
    int changes;      // of that
    uint32_t lines;   // the next one
    uint32_t steps[ACCOUNTS];
    size_t step_count;
    int foreign_steps; // of account 1000
    size_t wrong;      // out of order, or with another edition's surroundings
    int solos[16];     // edition * 100 + number * 2, 1 more at its end
    size_t solo_count;
    int progress;   // so often
    int answers[8]; // edition * 100 + number
    size_t answer_count;
    char turns[TURNS][24];
    size_t turn_count;
    int workers;
} book = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void
enter(void)
{
    pthread_mutex_lock(&book.lock);
}

static void
leave(void)
{
    pthread_cond_broadcast(&book.changed);
    pthread_mutex_unlock(&book.lock);
}

// until waits, inside, for the next change, 20 s at most.
static void
until_changed(const char *what)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 20;
    cr_assert_eq(pthread_cond_timedwait(&book.changed, &book.lock, &end), 0,
        "no change for 20 s: %s", what);
}

#define UNTIL(condition)               \
    do {                               \
        enter();                       \
        while (!(condition)) {         \
            until_changed(#condition); \
        }                              \
        leave();                       \
    } while (0)

void
seen_line(int edition, uint32_t number)
{
    enter();
    book.wrong += number != book.lines || edition < 0;
    book.lines = number + 1;
    book.changes += edition != book.last_edition;
    book.last_edition = edition;
    leave();
}

void
seen_step(int edition, uint32_t account, uint32_t number)
{
    enter();
    if (account < ACCOUNTS) {
        book.wrong += number != book.steps[account] || edition < 0;
        book.steps[account] = number + 1;
        book.step_count++;
    } else {
        book.foreign_steps++;
    }
    leave();
}

void
seen_answer(int edition, int number)
{
    enter();
    book.answers[book.answer_count++ % 8] = edition * 100 + number;
    leave();
}

void
seen_solo(int edition, uint32_t number, bool begins)
{
    enter();
    book.solos[book.solo_count++ % 16] =
        edition * 100 + (int)number * 2 + !begins;
    leave();
}

void
seen_progress(int edition, int state)
{
    enter();
    book.wrong += edition != state;
    book.progress++;
    leave();
}

void
seen_err(edri_err_t err)
{
    enter();
    book.wrong += err != EDRI_OK;
    leave();
}

void
seen_turn(int edition, const char *what)
{
    enter();
    if (book.turn_count < TURNS) {
        (void)snprintf(book.turns[book.turn_count++], sizeof book.turns[0],
            "%d %s", edition, what);
    }
    leave();
}

void
seen_worker(int more)
{
    enter();
    book.wrong += more == 0;
    book.workers += more;
    leave();
}

void
wait_for_gate(int edition)
{
    enter();
    book.at_gate += edition >= 0;
    pthread_cond_broadcast(&book.changed);
    while (!book.open) {
        until_changed("the gate");
    }
    leave();
}

// turn_at is when that was said: 0, 1, ...; -1: it was not.
static int
turn_at(const char *what)
{
    for (size_t i = 0; i < book.turn_count; i++) {
        if (strcmp(book.turns[i], what) == 0) {
            return (int)i;
        }
    }
    return -1;
}

// ----- the place

typedef struct place {
    hub_t hub;
    edri_node_t *node;
    edri_node_t *guest; // asks for reloads
    edri_port_t *port;
    char directory[64];
    char plugin[128];
} place_t;

static edri_err_t
on_later(edri_task_t *task, const Reload__Later *later, Reload__Answer *reply)
{
    (void)edri_task_progress(task, later->number, 2, "half");
    enter();
    book.waits_for_answer++;
    leave();
    wait_for_gate(-1);
    reply->edition = later->number;
    return EDRI_OK;
}

static void
copy_file(const char *from, const char *to)
{
    char command[512];
    (void)snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    cr_assert_eq(system(command), 0, "%s", command);
}

// edition_file is where an edition was built.
static void
edition_file(char path[256], const char *name)
{
    const char *bin = getenv("EDRI_BIN");
    (void)snprintf(path, 256, "%s/../tests/test_reload_%s.so",
        bin != NULL ? bin : "build/bin", name);
}

// put lets an edition stand where the plugin is, as linkers do.
static void
put(const place_t *self, const char *edition)
{
    char from[256];
    char beside[160];
    edition_file(from, edition);
    (void)snprintf(beside, sizeof beside, "%s.new", self->plugin);
    copy_file(from, beside);
    cr_assert_eq(rename(beside, self->plugin), 0);
}

static place_t
open_place(bool watched)
{
    place_t self = {.directory = "/tmp/edri-reload-XXXXXX"};
    cr_assert_not_null(mkdtemp(self.directory));
    (void)snprintf(
        self.plugin, sizeof self.plugin, "%s/plugin.so", self.directory);
    put(&self, "1");
    self.hub = start_switch();
    char file[128];
    (void)snprintf(file, sizeof file, "%s/node.zpl", self.directory);
    FILE *out = fopen(file, "w");
    cr_assert_not_null(out);
    (void)fprintf(out,
        "managers\n    lab\n        plugin = %s\n        watch = %d\n",
        self.plugin, watched);
    (void)fclose(out);
    self.node = edri_node_new(
        3, (char *[]){(char[]){"test"}, (char[]){"--config"}, file});
    cr_assert_eq(edri_node_set(self.node, "node.name", "site"), EDRI_OK);
    cr_assert_eq(
        edri_node_set(self.node, "node.switch", self.hub.endpoint), EDRI_OK);
    cr_assert_eq(edri_node_load_plugins(self.node), EDRI_OK, "%s",
        edri_node_error(self.node));
    edri_manager_t *manager = edri_node_manager(self.node, "test");
    cr_assert_eq(
        reload_later_handle(manager, on_later, EDRI_THREADS(2)), EDRI_OK);
    start(self.node);
    self.guest = edri_node_new(0, NULL);
    cr_assert_eq(
        edri_node_set(self.guest, "node.switch", self.hub.endpoint), EDRI_OK);
    start(self.guest);
    self.port = edri_node_port(self.node);
    return self;
}

static void
close_place(place_t *self)
{
    edri_port_destroy(&self->port);
    edri_node_destroy(&self->guest);
    edri_err_t err = edri_node_stop(self->node, 10000);
    cr_expect(err == EDRI_OK || err == EDRI_STATE, "%s", // it has been
        edri_node_error(self->node));
    edri_node_destroy(&self->node);
    stop_switch(&self->hub);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", self->directory);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(book.wrong, 0, "%zu things were wrong", book.wrong);
    cr_expect_eq(book.workers, 0, "%d workers' states are left", book.workers);
}

// reload_lab reloads; returns how it went, with a text.
static edri_err_t
reload_lab(const place_t *self, char text[256])
{
    edri_reload_t *result = NULL;
    const edri_reload_row_t *rows = NULL;
    cr_assert_eq(edri_reload_new(self->guest, "site", "lab", 20000, &result),
        EDRI_OK, "%s", edri_node_error(self->guest));
    cr_assert_eq(edri_reload_rows(result, &rows), 1);
    edri_err_t err = rows[0].err;
    (void)snprintf(text, 256, "%s", rows[0].text);
    edri_reload_destroy(&result);
    return err;
}

// which asks the plugin which edition it is.
static uint32_t
which(const place_t *self, bool asks)
{
    Reload__Which request = RELOAD__WHICH__INIT;
    Reload__Answer *answer = NULL;
    request.asks = asks;
    cr_assert_eq(reload_which_request(self->port, &request, 0, &answer),
        EDRI_OK, "%s", edri_port_error(self->port));
    uint32_t edition = answer->edition;
    reload_which_reply_free(&answer);
    return edition;
}

static void
reload_to(const place_t *self, const char *name, uint32_t edition)
{
    char text[256];
    put(self, name);
    cr_assert_eq(reload_lab(self, text), EDRI_OK, "%s", text);
    cr_assert_eq(which(self, false), edition);
}

static void
emit_one(edri_port_t *port, uint32_t number)
{
    Reload__Line line = RELOAD__LINE__INIT;
    Reload__Step step = RELOAD__STEP__INIT;
    line.number = number;
    cr_assert_eq(
        reload_line_emit(port, &line), EDRI_OK, "%s", edri_port_error(port));
    step.account = number % ACCOUNTS;
    step.number = number / ACCOUNTS;
    cr_assert_eq(
        reload_step_emit(port, &step), EDRI_OK, "%s", edri_port_error(port));
}

// ----- tests

Test(reload, new_events_go_to_the_new_one, .timeout = 60)
{
    place_t place = open_place(false);
    cr_assert_eq(which(&place, false), 1);
    reload_to(&place, "2", 2);
    // The old one goes through its end, and is unloaded.
    UNTIL(turn_at("1 unloaded") >= 0);
    static const char *const turns[] = {"1 started", "2 started", "1 draining",
        "1 stopped", "1 destroyed", "1 unloaded"};
    for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
        cr_expect_eq(
            turn_at(turns[i]), (int)i, "%s at %d", turns[i], turn_at(turns[i]));
    }
    cr_expect_eq(book.workers, 6); // a method's, two threads of two, and one
    close_place(&place);
    cr_expect_eq(turn_at("2 draining"), 6);
    cr_expect_eq(turn_at("2 stopped"), 7);
    cr_expect_eq(turn_at("2 destroyed"), 8);
    cr_expect_eq(turn_at("2 unloaded"), 9);
}

typedef struct stream {
    edri_node_t *node;
    atomic_bool stop;
    uint32_t count;
} stream_t;

static void *
emit_stream(void *arg)
{
    stream_t *self = arg;
    edri_port_t *port = edri_node_port(self->node);
    while (!atomic_load(&self->stop) || self->count % ACCOUNTS != 0) {
        emit_one(port, self->count++);
    }
    edri_port_destroy(&port);
    return NULL;
}

Test(reload, nothing_is_lost_doubled_or_out_of_order, .timeout = 100)
{
    place_t place = open_place(false);
    stream_t stream = {.node = place.node};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, emit_stream, &stream), 0);
    UNTIL(book.step_count > 1000);
    for (int i = 0; i < 10; i++) {
        int edition = i % 2 == 0 ? 2 : 3;
        enter();
        size_t before = book.step_count;
        leave();
        reload_to(&place, edition == 2 ? "2" : "3", (uint32_t)edition);
        // Steps may be of a backlog that its lines have not passed yet.
        UNTIL(book.step_count > before + 100 && book.last_edition == edition);
    }
    atomic_store(&stream.stop, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    UNTIL(book.lines == stream.count && book.step_count == stream.count);
    cr_expect_eq(book.changes, 11, "%d times another", book.changes);
    close_place(&place);
}

Test(reload, what_was_begun_ends_in_the_old_one, .timeout = 60)
{
    place_t place = open_place(false);
    Reload__Held request = RELOAD__HELD__INIT;
    Reload__Answer *answer = NULL;
    (void)which(&place, true); // it asks, and will ask again
    UNTIL(book.waits_for_answer == 1);
    reload_to(&place, "2", 2);
    reload_to(&place, "3", 3);
    UNTIL(turn_at("2 unloaded") >= 0);
    cr_assert_lt(turn_at("1 stopped"), 0, "it was stopped too early");
    enter();
    book.open = true;
    leave();
    UNTIL(turn_at("1 unloaded") >= 0);
    cr_expect_eq(book.answer_count, 2);
    cr_expect_eq(book.answers[0], 101);
    cr_expect_eq(book.answers[1], 102);
    cr_expect_eq(book.progress, 1); // of its second request
    UNTIL(book.foreign_steps == 1);
    cr_assert_eq(
        reload_held_request(place.port, &request, 0, &answer), EDRI_OK);
    cr_expect_eq(answer->edition, 3);
    reload_held_reply_free(&answer);
    close_place(&place);
}

static void *
stop_node(void *arg)
{
    cr_expect_eq(edri_node_stop(arg, 20000), EDRI_OK);
    return NULL;
}

static void
on_held(const edri_answer_t *answer, const Reload__Answer *reply, void *arg)
{
    *(int *)arg =
        answer->err == EDRI_OK ? (int)reply->edition : -(int)answer->err;
}

Test(reload, threads_at_work_end_with_the_old_one, .timeout = 60)
{
    place_t place = open_place(false);
    Reload__Held request = RELOAD__HELD__INIT;
    int editions[12] = {0};
    for (int i = 0; i < 12; i++) {
        cr_assert_eq(reload_held_request_async(
                         place.port, &request, 0, on_held, &editions[i]),
            EDRI_OK);
    }
    UNTIL(book.at_gate == 3); // all of its threads
    reload_to(&place, "2", 2);
    UNTIL(book.at_gate == 5); // two more
    cr_assert_lt(turn_at("1 stopped"), 0, "it was stopped too early");
    enter();
    book.open = true;
    leave();
    int ended = 0;
    while (ended < 12) {
        cr_assert_eq(edri_port_poll(place.port, 10000), EDRI_OK);
        ended = 0;
        for (int i = 0; i < 12; i++) {
            ended += editions[i] != 0;
        }
    }
    int by[3] = {0};
    for (int i = 0; i < 12; i++) {
        cr_assert(editions[i] == 1 || editions[i] == 2, "%d", editions[i]);
        by[editions[i]]++;
    }
    cr_expect_eq(by[1], 3);
    cr_expect_eq(by[2], 9);
    UNTIL(turn_at("1 unloaded") >= 0);
    close_place(&place);
}

Test(reload, one_thread_keeps_the_order, .timeout = 60)
{
    place_t place = open_place(false);
    Reload__Solo solo = RELOAD__SOLO__INIT;
    for (; solo.number < 4; solo.number++) {
        cr_assert_eq(reload_solo_emit(place.port, &solo), EDRI_OK);
    }
    UNTIL(book.at_gate == 1);
    reload_to(&place, "2", 2);
    reload_to(&place, "3", 3);
    UNTIL(turn_at("2 unloaded") >= 0); // its thread has never had anything
    enter();
    book.open = true;
    leave();
    UNTIL(book.solo_count == 8);
    static const int order[] = {100, 101, 302, 303, 304, 305, 306, 307};
    cr_expect_arr_eq(book.solos, order, sizeof order);
    UNTIL(turn_at("1 unloaded") >= 0);
    close_place(&place);
}

Test(reload, a_node_that_drains_keeps_its_code, .timeout = 60)
{
    place_t place = open_place(true);
    Reload__Solo solo = RELOAD__SOLO__INIT;
    cr_assert_eq(reload_solo_emit(place.port, &solo), EDRI_OK);
    UNTIL(book.at_gate == 1);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, stop_node, place.node), 0);
    UNTIL(turn_at("1 draining") >= 0);
    put(&place, "2");
    edri_port_destroy(&place.port);
    // Nothing tells that it was not loaded: others have been by then.
    for (int i = 0; i < 50; i++) {
        (void)poll(NULL, 0, 2);
    }
    enter();
    book.open = true;
    leave();
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_expect_lt(turn_at("2 started"), 0);
    cr_expect_geq(turn_at("1 stopped"), 0);
    close_place(&place);
}

Test(reload, one_that_does_not_fit_changes_nothing, .timeout = 100)
{
    static const struct {
        const char *edition;
        const char *text;
    } rows[] = {
        {"fails_to_start",
            "its hook, started, failed: operating system error: no "
            "such luck"},
        {"fails_in_threads",
            "its threads cannot begin: operating system error: no third one"},
        {"handles_less",
            "reload.Held: the new code does not handle it any more"},
        {"handles_more", "reload.Later: the old code did not handle it"},
        {"has_methods_only", "reload.Step: its workers differ"},
        {"fails_to_set_up", "reload.Line has a handler already"},
        {"has_another_shape",
            "field 2 'number' is uint32 here, 'number' is string there"},
        {"has_another_option",
            "reload.Line: option (edri.event): 'priority' differs"},
        {"is_no_plugin", "it does not define edri_plugin"},
    };
    place_t place = open_place(false);
    stream_t stream = {.node = place.node};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, emit_stream, &stream), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        put(&place, rows[i].edition);
        cr_expect_neq(reload_lab(&place, text), EDRI_OK);
        cr_expect_not_null(
            strstr(text, rows[i].text), "%s: said: %s", rows[i].edition, text);
        cr_expect_eq(which(&place, false), 1);
    }
    atomic_store(&stream.stop, true);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    UNTIL(book.step_count == stream.count && book.lines == stream.count);
    UNTIL(turn_at("9 unloaded") >= 0 && book.workers == 8);
    cr_expect_lt(turn_at("1 draining"), 0);
    close_place(&place);
}

Test(reload, a_file_that_is_cut_off_is_refused, .timeout = 60)
{
    place_t place = open_place(false);
    char text[256];
    struct stat file;
    cr_assert_eq(stat(place.plugin, &file), 0);
    for (int i = 0; i < 8; i++) {
        put(&place, "2");
        cr_assert_eq(truncate(place.plugin, file.st_size * i / 64), 0);
        cr_expect_neq(reload_lab(&place, text), EDRI_OK, "%d: %s", i, text);
        cr_expect_not_null(strstr(text, place.plugin), "%s", text);
    }
    cr_assert_eq(unlink(place.plugin), 0);
    cr_expect_eq(reload_lab(&place, text), EDRI_NOT_FOUND);
    cr_expect_not_null(strstr(text, "no such file"), "%s", text);
    cr_expect_eq(which(&place, false), 1);
    put(&place, "2");
    cr_assert_eq(reload_lab(&place, text), EDRI_OK, "%s", text);
    close_place(&place);
}

Test(reload, a_watched_file_may_be_written_to, .timeout = 60)
{
    place_t place = open_place(true);
    char from[256];
    for (int edition = 2; edition < 6; edition++) {
        // Not renamed: over what stands there.
        edition_file(from, (char[]){(char)('1' + edition % 3), '\0'});
        copy_file(from, place.plugin);
        char what[24];
        (void)snprintf(what, sizeof what, "%d started", edition % 3 + 1);
        UNTIL(turn_at(what) >= 0);
        while (which(&place, false) != (uint32_t)(edition % 3 + 1)) {
        }
        enter();
        book.turn_count = 0;
        leave();
    }
    close_place(&place);
}
