// SPDX-License-Identifier: MIT
// test_switch.c - a real edri-switch and raw peers: the protocol's rules.

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "support/network.h"
#include "support/raw.h"

TestSuite(switch, .timeout = 60);

enum {
    TYPE = 4711
};

static raw_t
join(const hub_t *hub, const char *name, uint64_t life)
{
    raw_t raw = raw_open(hub->endpoint);
    received_t got = {0};
    raw_hello(&raw, name, life, name[0] == '\0');
    const control_t *word = RAW_AWAIT(&raw, &got, WELCOME);
    cr_assert_not_null(word, "%s was not welcomed", name);
    cr_assert_eq(word->welcome->version, 1);
    head_free(&got.head);
    return raw;
}

static void
refused(raw_t *raw, edri_err_t err, const char *text)
{
    received_t got = {0};
    const control_t *word = RAW_AWAIT(raw, &got, REFUSED);
    cr_assert_not_null(word);
    cr_expect_eq(word->refused->error, err);
    cr_expect_not_null(
        strstr(word->refused->text, text), "%s", word->refused->text);
    head_free(&got.head);
}

Test(switch, example)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t counter = join(&hub, "counter", 1001);
    raw_demand(&counter, 1, TYPE, 7, true);
    const control_t *word = RAW_AWAIT(&counter, &got, IN_FORCE);
    cr_assert_not_null(word);
    cr_expect_eq(word->in_force->generation, 1);

    raw_t reader = join(&hub, "reader", 1002);
    raw_resolve(&reader, TYPE);
    word = RAW_AWAIT(&reader, &got, TABLE);
    cr_assert_not_null(word);
    cr_assert_eq(word->table->n_members, 1);
    cr_expect_eq(word->table->members[0]->life, 1001);
    cr_expect_eq(word->table->members[0]->target, 7);
    cr_expect_str_eq(word->table->members[0]->node, "counter");

    envelope_t env = {.type = TYPE, .id = 1};
    raw_emit(&reader, &env, 1001, 7);
    cr_assert(raw_await_frame(&counter, &got));
    cr_expect_eq(got.head->from, 1002, "the switch writes it");
    cr_assert_eq(got.head->n_to, 1);
    cr_expect_eq(got.head->to[0]->targets[0], 7);
    cr_expect_eq(got.head->to[0]->first, 1);
    cr_expect_eq(got.head->path, 1);

    raw_simple(&counter, EDRI__LINK__CONTROL__WORD_BYE);
    word = RAW_AWAIT(&reader, &got, GONE);
    cr_assert_not_null(word);
    cr_expect_eq(word->gone->life, 1001);
    cr_expect_eq(word->gone->reason, EDRI_CLOSED);
    head_free(&got.head);
    raw_close(&counter);
    raw_close(&reader);
    stop_switch(&hub);
}

// beat says a heartbeat and counts the switch's until the one that answers it.
static unsigned
beat(raw_t *raw, uint64_t number)
{
    Edri__Link__Heartbeat heartbeat = EDRI__LINK__HEARTBEAT__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    received_t got = {0};
    unsigned count = 0;
    uint64_t echo = 0;
    heartbeat.number = number;
    word.word_case = EDRI__LINK__CONTROL__WORD_HEARTBEAT;
    word.heartbeat = &heartbeat;
    raw_say(raw, &word);
    while (echo != number) {
        const control_t *answer = RAW_AWAIT(raw, &got, HEARTBEAT);
        cr_assert_not_null(answer);
        echo = answer->heartbeat->echo;
        count++;
    }
    head_free(&got.head);
    return count;
}

Test(switch, a_heartbeat_is_answered_and_needs_no_other)
{
    hub_t hub = start_switch(); // 50 ms between two of its own
    received_t got = {0};
    raw_t raw = join(&hub, "one", 1001);
    int64_t begin_ms = clock_ms();
    int64_t last_ms = begin_ms;
    unsigned answers = 0;
    unsigned extra = 1; // when the switch has settled
    uint64_t number = 0;
    while (clock_ms() < begin_ms + 1000) {
        answers += beat(&raw, ++number);
        int64_t now_ms = clock_ms();
        extra += now_ms > last_ms + 40; // it may have felt alone
        last_ms = now_ms;
    }
    cr_expect_leq(answers, number + extra);
    // Silence is not answered, but not left alone either.
    const control_t *word = NULL;
    for (int i = 0; i < 3; i++) {
        word = RAW_AWAIT(&raw, &got, HEARTBEAT);
        cr_assert_not_null(word);
        cr_expect_eq(word->heartbeat->echo, number);
    }
    head_free(&got.head);
    raw_close(&raw);
    stop_switch(&hub);
}

Test(switch, who_comes_before_hello)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t raw = raw_open(hub.endpoint);
    raw_simple(&raw, EDRI__LINK__CONTROL__WORD_HEARTBEAT);
    cr_expect_not_null(RAW_AWAIT(&raw, &got, WHO));
    envelope_t env = {.type = TYPE, .id = 1};
    raw_emit(&raw, &env, 1001, 7);
    cr_expect_not_null(RAW_AWAIT(&raw, &got, WHO));
    // And the same socket may still say HELLO.
    raw_hello(&raw, "late", 5, false);
    cr_expect_not_null(RAW_AWAIT(&raw, &got, WELCOME));
    head_free(&got.head);
    raw_close(&raw);
    stop_switch(&hub);
}

Test(switch, a_wrong_hello_is_refused_with_the_reason)
{
    hub_t hub = start_switch();
    raw_t raw = raw_open(hub.endpoint);
    raw_hello(&raw, "white space", 5, false);
    refused(&raw, EDRI_INVAL, "name");
    raw_hello(&raw, "", 5, false);
    refused(&raw, EDRI_INVAL, "name");
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    hello.version = 99;
    hello.node = (char[]){"new"};
    hello.life = 5;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    raw_say(&raw, &word);
    refused(&raw, EDRI_PROTO, "version");
    raw_close(&raw);
    stop_switch(&hub);
}

// The receiver never says 'taken': eight frames come, the others wait.
Test(switch, at_most_eight_untaken_frames)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t slow = join(&hub, "slow", 1001);
    raw_t fast = join(&hub, "fast", 1002);
    for (uint64_t i = 1; i <= 12; i++) {
        envelope_t env = {.type = TYPE, .id = i};
        raw_emit(&fast, &env, 1001, 7);
    }
    // Its own 'taken' grows: the switch has them all.
    while (got.head == NULL || got.head->taken < 12) {
        cr_assert(raw_receive(&fast, &got, RAW_WAIT_MS));
    }
    for (int i = 1; i <= 8; i++) {
        cr_assert(raw_await_frame(&slow, &got), "frame %d", i);
        cr_expect_eq(got.head->to[0]->first, (uint64_t)i);
    }
    // What follows is not there: two heartbeats come before any frame.
    uint64_t frames = slow.received;
    cr_expect_not_null(RAW_AWAIT(&slow, &got, HEARTBEAT));
    cr_expect_not_null(RAW_AWAIT(&slow, &got, HEARTBEAT));
    cr_expect_eq(slow.received, frames);
    raw_taken(&slow);
    for (int i = 9; i <= 12; i++) {
        cr_assert(raw_await_frame(&slow, &got));
        cr_expect_eq(got.head->to[0]->first, (uint64_t)i);
    }
    head_free(&got.head);
    raw_close(&slow);
    raw_close(&fast);
    stop_switch(&hub);
}

Test(switch, an_unknown_destination_is_said)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t raw = join(&hub, "one", 1001);
    envelope_t env = {.type = TYPE, .id = 1};
    raw_emit(&raw, &env, 99999, 7);
    const control_t *word = RAW_AWAIT(&raw, &got, DROPPED);
    cr_assert_not_null(word);
    cr_expect_eq(word->dropped->life, 99999);
    cr_expect_eq(word->dropped->first, 1);
    cr_expect_eq(word->dropped->lane, EDRI__WIRE__LANE__EVENT);
    cr_expect_eq(word->dropped->error, EDRI_UNREACHABLE);
    head_free(&got.head);
    raw_close(&raw);
    stop_switch(&hub);
}

Test(switch, a_demand_waits_for_holders_and_names_the_late_one)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t holder = join(&hub, "holder", 1001);
    raw_resolve(&holder, TYPE);
    cr_assert_not_null(RAW_AWAIT(&holder, &got, TABLE));
    raw_t newcomer = join(&hub, "newcomer", 1002);
    int64_t before = clock_ms();
    raw_demand(&newcomer, 1, TYPE, 7, true);
    cr_assert_not_null(RAW_AWAIT(&holder, &got, CHANGE));
    // The holder does not acknowledge.
    const control_t *word = RAW_AWAIT(&newcomer, &got, IN_FORCE);
    cr_assert_not_null(word);
    cr_expect_geq(clock_ms() - before, 950);
    cr_assert_eq(word->in_force->n_late, 1);
    cr_expect_str_eq(word->in_force->late[0], "holder");
    head_free(&got.head);
    raw_close(&holder);
    raw_close(&newcomer);
    stop_switch(&hub);
}

Test(switch, a_name_whose_holder_is_dead_is_taken_over)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t first = join(&hub, "same", 1001); // will not answer PROBE
    raw_t second = raw_open(hub.endpoint);
    raw_hello(&second, "same", 1002, false);
    cr_expect_not_null(RAW_AWAIT(&first, &got, PROBE));
    cr_expect_not_null(RAW_AWAIT(&second, &got, WELCOME));
    const control_t *word = RAW_AWAIT(&first, &got, REPLACED);
    cr_assert_not_null(word);
    cr_expect_eq(word->replaced->life, 1002);
    // And one that answers keeps its name.
    raw_t third = raw_open(hub.endpoint);
    raw_hello(&third, "same", 1003, false);
    cr_expect_not_null(RAW_AWAIT(&second, &got, PROBE));
    raw_simple(&second, EDRI__LINK__CONTROL__WORD_ALIVE);
    refused(&third, EDRI_EXISTS, "another live node has the name same");
    head_free(&got.head);
    raw_close(&first);
    raw_close(&second);
    raw_close(&third);
    stop_switch(&hub);
}

// Two newcomers with the name of one live holder: both are refused.
Test(switch, a_holder_that_comes_back_keeps_its_name)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t first = join(&hub, "same", 1001);
    raw_t second = raw_open(hub.endpoint);
    raw_hello(&second, "same", 1002, false);
    cr_expect_not_null(RAW_AWAIT(&first, &got, PROBE)); // lost on its way, say
    raw_t again = raw_open(hub.endpoint);
    raw_hello_with(&again, "same", 1001, 2, NULL);
    cr_expect_not_null(RAW_AWAIT(&again, &got, WELCOME));
    refused(&second, EDRI_EXISTS, "another live node has the name same");
    head_free(&got.head);
    raw_close(&first);
    raw_close(&second);
    raw_close(&again);
    stop_switch(&hub);
}

Test(switch, a_name_whose_holder_has_closed_is_free_at_once)
{
    hub_t hub = start_switch();
    received_t got = {0};
    bool soon = false; // than a probe waits: 1 s
    for (int i = 0; i < 5 && !soon; i++) {
        raw_t first = join(&hub, "same", 1001 + (uint64_t)i * 2);
        raw_close(&first);
        raw_t second = raw_open(hub.endpoint);
        int64_t begin_ms = clock_ms();
        raw_hello(&second, "same", 1002 + (uint64_t)i * 2, false);
        cr_assert_not_null(RAW_AWAIT(&second, &got, WELCOME));
        soon = clock_ms() < begin_ms + 800;
        raw_simple(&second, EDRI__LINK__CONTROL__WORD_BYE);
        raw_close(&second);
    }
    cr_expect(soon);
    head_free(&got.head);
    stop_switch(&hub);
}

Test(switch, two_claims_of_one_name_are_judged_alike)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t holder = join(&hub, "same", 1001);
    raw_t claims[4];
    for (int i = 0; i < 4; i++) {
        claims[i] = raw_open(hub.endpoint);
        raw_hello(&claims[i], "same", 2000 + (uint64_t)i, false);
    }
    for (int i = 0; i < 4; i++) {
        cr_assert_not_null(RAW_AWAIT(&holder, &got, PROBE));
        raw_simple(&holder, EDRI__LINK__CONTROL__WORD_ALIVE);
    }
    for (int i = 0; i < 4; i++) {
        refused(&claims[i], EDRI_EXISTS, "another live node");
        raw_close(&claims[i]);
    }
    head_free(&got.head);
    raw_close(&holder);
    stop_switch(&hub);
}

Test(switch, the_same_life_goes_on_in_a_new_session)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t first = join(&hub, "node", 1001);
    raw_demand(&first, 1, TYPE, 7, true);
    cr_assert_not_null(RAW_AWAIT(&first, &got, IN_FORCE));
    raw_t watcher = join(&hub, "watcher", 1002);
    raw_resolve(&watcher, TYPE);
    cr_assert_not_null(RAW_AWAIT(&watcher, &got, TABLE));
    raw_close(&first);
    raw_t again = join(&hub, "node", 1001);
    // What is sent to the life arrives in its new session.
    envelope_t env = {.type = TYPE, .id = 1};
    raw_emit(&watcher, &env, 1001, 7);
    cr_expect(raw_await_frame(&again, &got));
    // It has lost its manager: the first Demand says so.
    raw_demand(&again, 1, 0, 0, true);
    const control_t *word = RAW_AWAIT(&watcher, &got, CHANGE);
    cr_assert_not_null(word);
    cr_expect_eq(word->change->n_removed, 1);
    head_free(&got.head);
    raw_close(&again);
    raw_close(&watcher);
    stop_switch(&hub);
}

// Connections do not come in order: what an older one says must not push the
// younger out.
Test(switch, an_older_session_of_a_life_does_not_come_back)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t younger = raw_open(hub.endpoint);
    raw_hello_with(&younger, "node", 1001, 7, NULL);
    cr_assert_not_null(RAW_AWAIT(&younger, &got, WELCOME));
    raw_t older = raw_open(hub.endpoint);
    raw_hello_with(&older, "node", 1001, 6, NULL);
    refused(&older, EDRI_STATE, "younger session");
    raw_resolve(&younger, TYPE);
    cr_expect_not_null(RAW_AWAIT(&younger, &got, TABLE), "still knows it");
    head_free(&got.head);
    raw_close(&older);
    raw_close(&younger);
    stop_switch(&hub);
}

// A life says HELLO again while the holder of its name is asked: it is let in
// once, and its first session's end is not its own.
Test(switch, a_claim_that_is_repeated_is_one)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t holder = join(&hub, "same", 1001); // will not answer PROBE
    raw_t first = raw_open(hub.endpoint);
    raw_hello_with(&first, "same", 1002, 1, NULL);
    cr_expect_not_null(RAW_AWAIT(&holder, &got, PROBE));
    raw_t second = raw_open(hub.endpoint);
    raw_hello_with(&second, "same", 1002, 2, NULL);
    cr_expect_not_null(RAW_AWAIT(&second, &got, WELCOME));
    raw_simple(&first, EDRI__LINK__CONTROL__WORD_HEARTBEAT);
    cr_expect_not_null(RAW_AWAIT(&first, &got, WHO), "it is forgotten");
    head_free(&got.head);
    raw_close(&holder);
    raw_close(&first);
    raw_close(&second);
    stop_switch(&hub);
}

Test(switch, different_lists_of_switches_are_warned_about)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t one = raw_open(hub.endpoint);
    raw_hello_with(&one, "one", 1001, 1, "tcp://a:1");
    const control_t *word = RAW_AWAIT(&one, &got, WELCOME);
    cr_assert_not_null(word);
    cr_expect_str_empty(word->welcome->warning);
    raw_t other = raw_open(hub.endpoint);
    raw_hello_with(&other, "other", 1002, 1, "tcp://b:1");
    word = RAW_AWAIT(&other, &got, WELCOME);
    cr_assert_not_null(word);
    cr_expect_not_null(
        strstr(word->welcome->warning, "tcp://b:1, of one tcp://a:1"), "%s",
        word->welcome->warning);
    raw_t third = raw_open(hub.endpoint);
    raw_hello_with(&third, "third", 1003, 1, NULL); // says nothing of it
    word = RAW_AWAIT(&third, &got, WELCOME);
    cr_assert_not_null(word);
    cr_expect_str_empty(word->welcome->warning);
    head_free(&got.head);
    raw_close(&one);
    raw_close(&other);
    raw_close(&third);
    stop_switch(&hub);
}

// Nobody waits for a guest to come back: not for the 30 s of silence.
Test(switch, a_guest_that_has_gone_is_forgotten_at_once)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t watcher = join(&hub, "watcher", 1001);
    raw_t guest = join(&hub, "", 1002);
    raw_close(&guest);
    const control_t *word = RAW_AWAIT(&watcher, &got, GONE);
    cr_assert_not_null(word);
    cr_expect_eq(word->gone->life, 1002);
    head_free(&got.head);
    raw_close(&watcher);
    stop_switch(&hub);
}

// ----- bad bytes

static void
throw_garbage(const char *endpoint, const char *bytes, size_t size)
{
    int port = 0;
    struct sockaddr_in address = {.sin_family = AF_INET};
    cr_assert_eq(sscanf(endpoint, "tcp://127.0.0.1:%d", &port), 1);
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (void *)&address, sizeof address), 0);
    (void)!send(fd, bytes, size, MSG_NOSIGNAL);
    (void)close(fd);
}

Test(switch, garbage_changes_nothing_for_others)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t one = join(&hub, "one", 1001);
    raw_t two = join(&hub, "two", 1002);
    // On TCP, before any ZeroMQ.
    static char noise[100000];
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (char)rand_r(&seed);
    }
    throw_garbage(hub.endpoint, noise, sizeof noise);
    throw_garbage(hub.endpoint, "GET / HTTP/1.0\r\n\r\n", 18);
    // In ZeroMQ messages, from a stranger and from a session.
    raw_t bad = raw_open(hub.endpoint);
    for (size_t i = 1; i <= 50; i++) {
        raw_send(&bad, noise + i * 100, i * 17, i % 3 == 0);
    }
    raw_send(&bad, "", 0, false);
    raw_t worse = join(&hub, "worse", 1003);
    raw_send(&worse, noise, 1000, false);
    refused(&worse, EDRI_PROTO, "");
    // A frame with garbage for a batch is its receiver's to judge, and one
    // with too many parts or types the switch's.
    envelope_t env = {.type = TYPE, .id = 1};
    raw_emit(&one, &env, 1002, 7);
    cr_expect(raw_await_frame(&two, &got));
    head_free(&got.head);
    raw_close(&bad);
    raw_close(&worse);
    raw_close(&one);
    raw_close(&two);
    stop_switch(&hub);
}

Test(switch, a_message_over_the_limit_ends_that_connection_only)
{
    hub_t hub = start_switch();
    received_t got = {0};
    raw_t one = join(&hub, "one", 1001);
    raw_t two = join(&hub, "two", 1002);
    raw_t big = join(&hub, "big", 1003);
    uint8_t *data = calloc(1, 8 << 20);
    raw_send(&big, data, 8 << 20, false);
    free(data);
    envelope_t env = {.type = TYPE, .id = 1};
    raw_emit(&one, &env, 1002, 7);
    cr_expect(raw_await_frame(&two, &got));
    head_free(&got.head);
    raw_close(&big);
    raw_close(&one);
    raw_close(&two);
    stop_switch(&hub);
}

// ----- many at once

// connect_now begins a connection; it is there when the switch's system took it, even
// while the switch itself does nothing.
static int
connect_now(const hub_t *hub)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned port = 0;
    cr_assert_eq(sscanf(hub->endpoint, "tcp://127.0.0.1:%u", &port), 1);
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);
    return fd;
}

// When a switch was replaced all nodes come at once: none of 500 finds no room.
Test(switch, many_connect_while_it_is_busy)
{
    enum {
        MANY = 500
    };
    hub_t hub = start_switch();
    int fds[MANY];
    int status = 0;
    cr_assert_eq(kill(hub.pid, SIGSTOP), 0);
    cr_assert_eq(waitpid(hub.pid, &status, WUNTRACED), hub.pid);
    for (int i = 0; i < MANY; i++) {
        fds[i] = connect_now(&hub);
    }
    for (int i = 0; i < MANY; i++) {
        struct pollfd item = {fds[i], POLLOUT, 0};
        cr_assert_eq(poll(&item, 1, 5000), 1, "number %d finds no room", i);
        (void)close(fds[i]);
    }
    cr_assert_eq(kill(hub.pid, SIGCONT), 0);
    raw_t raw = join(&hub, "last", 1001);
    raw_close(&raw);
    stop_switch(&hub);
}
