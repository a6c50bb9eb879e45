// SPDX-License-Identifier: MIT
// hub.c - the loop: poll, read, timers.

#include "hub.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/log.h"

// Messages read in one wake-up, and one more step of the clock after so many.
#define READ_MAX 256

// Descriptors that the switch keeps for itself, beside those open at start.
#define DESCRIPTORS_SPARE 8

// Connections that may wait to be accepted: when a switch was replaced all nodes come
// at once, and one that finds no room tries again a second later.
#define BACKLOG 4096

// Between two looks at the peers, at most.
#define TICK_MS 100

// A standstill of this length shifts the deadlines: it was ours.
#define GAP_MS 1000

// ----- messages

// read_parts takes one message; false when there is none.  Parts over the
// limit are dropped, and *count is then PARTS_MAX + 1.
static bool
read_parts(hub_t *hub, zmq_msg_t *parts, size_t *count)
{
    bool more = true;
    *count = 0;
    while (more) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, hub->router, ZMQ_DONTWAIT) < 0) {
            break;
        }
        more = zmq_msg_more(&part);
        if (*count < PARTS_MAX) {
            (void)zmq_msg_init(&parts[*count]);
            (void)zmq_msg_move(&parts[(*count)++], &part);
        } else if (*count == PARTS_MAX) {
            ++*count;
        }
        (void)zmq_msg_close(&part);
    }
    return *count > 0;
}

static void
from_stranger(
    hub_t *hub, const uint8_t *routing, size_t size, const head_t *head)
{
    if (head->n_control > 0 &&
        head->control[0]->word_case == EDRI__LINK__CONTROL__WORD_HELLO) {
        peer_hello(hub, routing, size, head->control[0]->hello);
        return;
    }
    Edri__Link__Who who = EDRI__LINK__WHO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_WHO;
    word.who = &who;
    word_to_stranger(hub, routing, size, &word);
}

// from_peer handles a message of a session, which it may end.
static void
from_peer(
    hub_t *hub, peer_t *peer, head_t *head, zmq_msg_t *parts, size_t count)
{
    uint64_t session = peer->session;
    peer->heard_ms = hub->now_ms;
    if (head->taken > peer->sent) {
        hub->malformed++;
        peer_refuse(hub, peer, EDRI_PROTO, "'taken' counts more than came");
        return;
    }
    if (head->taken > peer->taken) {
        peer->taken = head->taken;
        forward_flush(hub, peer);
    }
    for (size_t i = 0;
         i < head->n_control && peer_of_session(hub, session) == peer; i++) {
        word_handle(hub, peer, head->control[i]);
    }
    if (peer_of_session(hub, session) != peer || peer->state != PEER_UP) {
        return;
    }
    if (head->lane != EDRI__WIRE__LANE__CONTROL) {
        peer->received++;
        forward_mark(hub, peer);
    }
    if (head->n_to > 0) {
        forward(hub, peer, head, parts, count);
    }
}

// note_malformed counts, and logs once a second: a stranger must not fill the
// log.
static void
note_malformed(hub_t *hub, const peer_t *peer, const char *why)
{
    hub->malformed++;
    if (hub->now_ms >= hub->complain_ms) {
        hub->complain_ms = hub->now_ms + 1000;
        edri_log_warn("FRAME-MALFORMED", "node=%s what=\"%s\" so_far=%llu",
            peer != NULL ? peer->name : "(stranger)", why,
            (unsigned long long)hub->malformed);
    }
}

static void
refuse_stranger(
    hub_t *hub, const uint8_t *routing, size_t size, const char *why)
{
    Edri__Link__Refused refused = EDRI__LINK__REFUSED__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    char text[128];
    snprintf(text, sizeof text, "%s", why);
    refused.error = EDRI_PROTO;
    refused.text = text;
    word.word_case = EDRI__LINK__CONTROL__WORD_REFUSED;
    word.refused = &refused;
    word_to_stranger(hub, routing, size, &word);
}

static bool
says_bye(const head_t *head)
{
    for (size_t i = 0; i < head->n_control; i++) {
        if (head->control[i]->word_case == EDRI__LINK__CONTROL__WORD_BYE) {
            return true;
        }
    }
    return false;
}

static void
handle(hub_t *hub, zmq_msg_t *parts, size_t count)
{
    const uint8_t *routing = zmq_msg_data(&parts[0]);
    size_t size = zmq_msg_size(&parts[0]);
    if (size == 0 || size > sizeof((peer_t *)0)->routing) {
        hub->malformed++;
        return;
    }
    peer_t *peer = peer_find(hub, routing, size);
    head_t *head = NULL;
    const char *why = count < 2 ? "no head" : "too many parts";
    bool fine =
        count >= 2 && count <= PARTS_MAX &&
        head_read((slice_t){zmq_msg_data(&parts[1]), zmq_msg_size(&parts[1])},
            &head, &why) == EDRI_OK;
    if (!fine) {
        note_malformed(hub, peer, why);
        if (peer != NULL) {
            peer_refuse(hub, peer, EDRI_PROTO, why);
        } else {
            refuse_stranger(hub, routing, size, why);
        }
        return;
    }
    if (peer != NULL && peer->state == PEER_UP) {
        from_peer(hub, peer, head, parts + 2, count - 2);
    } else if (peer == NULL) {
        from_stranger(hub, routing, size, head);
    } else if (peer->state == PEER_CLOSED && says_bye(head)) {
        peer_bye(hub, peer); // nothing reached it any more, but its end did us
    }
    head_free(&head);
}

static void
read_messages(hub_t *hub)
{
    zmq_msg_t parts[PARTS_MAX + 1];
    size_t count = 0;
    for (int i = 0; i < READ_MAX && read_parts(hub, parts, &count); i++) {
        handle(hub, parts, count);
        for (size_t j = 0; j < count && j < PARTS_MAX; j++) {
            (void)zmq_msg_close(&parts[j]);
        }
    }
}

// ----- time

static void
shift(hub_t *hub, int64_t gap_ms)
{
    edri_log_warn("SWITCH-STOOD-STILL", "ms=%lld", (long long)gap_ms);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        peer_t *peer = value;
        peer->heard_ms += gap_ms;
        peer->until_ms += gap_ms;
    }
}

static void
tick(hub_t *hub)
{
    bool settles =
        !hub->settled && hub->now_ms - hub->started_ms >=
                             settings_int(hub->settings, "switch.settle");
    if (settles) {
        hub->settled = true; // tell everybody now
        directory_settled(hub->directory);
    }
    directory_tick(hub->directory, hub->now_ms);
    if (hub->now_ms >= hub->tick_ms || settles) {
        int64_t pause = hub->heartbeat_ms;
        peers_tick(hub, settles);
        hub->tick_ms = hub->now_ms + (pause < TICK_MS ? pause : TICK_MS);
    }
}

static void
send_directory_word(uint64_t session, const control_t *word, void *arg)
{
    hub_t *hub = arg;
    peer_t *peer = peer_of_session(hub, session);
    if (peer != NULL && peer->queued > 0 &&
        word->word_case == EDRI__LINK__CONTROL__WORD_IN_FORCE) {
        head_t head = EDRI__WIRE__HEAD__INIT;
        control_t copy = *word;
        control_t *list[] = {&copy};
        head.control = list;
        head.n_control = 1;
        forward_hold(peer, &head);
    } else if (peer != NULL) {
        peer_say(hub, peer, word);
    }
}

// spin looks again and again, for wait_ms at most, and lets others run between.  Returns
// how long it may sleep now; 0: there is something, or the time is over.
static long
spin(const hub_t *hub, zmq_pollitem_t *items, int count, long wait_ms)
{
    int64_t begin_us = clock_us();
    int64_t most_us = wait_ms * 1000;
    most_us = most_us < hub->spin_us ? most_us : hub->spin_us;
    while (zmq_poll(items, count, 0) == 0) {
        int64_t spent_us = clock_us() - begin_us;
        if (spent_us >= most_us) {
            return spent_us / 1000 < wait_ms ? wait_ms - spent_us / 1000 : 0;
        }
        (void)sched_yield();
    }
    return 0;
}

// huddle looks every now and then where the switch's threads should run.
static void
huddle(hub_t *hub, int64_t now_ms)
{
    if (affinity_due(&hub->affinity, now_ms)) {
        affinity_look(&hub->affinity, AFFINITY_HERE, now_ms);
    }
}

bool
hub_step(hub_t *hub, bool may_wait)
{
    zmq_pollitem_t items[] = {
        {hub->router, 0, ZMQ_POLLIN, 0}, {NULL, hub->stop_fd, ZMQ_POLLIN, 0}};
    long wait = !may_wait ? 0 : hub->dirty_count > 0 ? 10 : 100;
    long sleep =
        wait > 0 && hub->spin_us > 0 ? spin(hub, items, 2, wait) : wait;
    if (sleep > 0 || hub->spin_us == 0 || wait == 0) {
        (void)zmq_poll(items, 2, sleep);
    }
    int64_t now = clock_ms();
    huddle(hub, now);
    if (now - hub->now_ms > GAP_MS + wait) {
        shift(hub, now - hub->now_ms - wait);
    }
    hub->now_ms = now;
    if ((items[1].revents & ZMQ_POLLIN) != 0) {
        return false;
    }
    if ((items[0].revents & ZMQ_POLLIN) != 0) {
        read_messages(hub);
    }
    forward_tell(hub);
    tick(hub);
    return true;
}

// ----- starting

static bool
set_option(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

static edri_err_t
bind_router(hub_t *hub)
{
    int64_t largest = WIRE_MESSAGE_MAX + HEAD_CONTROL_MAX;
    const char *endpoint = settings_text(hub->settings, "switch.bind");
    hub->router = zmq_socket(hub->zmq, ZMQ_ROUTER);
    bool fine = hub->router != NULL &&
                set_option(hub->router, ZMQ_ROUTER_MANDATORY, 1) &&
                set_option(hub->router, ZMQ_LINGER, 0) &&
                set_option(hub->router, ZMQ_BACKLOG, BACKLOG) &&
                set_option(hub->router, ZMQ_SNDHWM, 4096) &&
                set_option(hub->router, ZMQ_RCVHWM, 64) &&
                set_option(hub->router, ZMQ_SNDBUF, 256 * 1024) &&
                set_option(hub->router, ZMQ_RCVBUF, 256 * 1024) &&
                zmq_setsockopt(hub->router, ZMQ_MAXMSGSIZE, &largest,
                    sizeof largest) == 0 &&
                zmq_bind(hub->router, endpoint) == 0;
    if (!fine) {
        fprintf(stderr, "edri-switch: switch.bind %s: %s\n", endpoint,
            zmq_strerror(zmq_errno()));
        return EDRI_SYSTEM;
    }
    char bound[256];
    size_t size = sizeof bound;
    (void)zmq_getsockopt(hub->router, ZMQ_LAST_ENDPOINT, bound, &size);
    hub->endpoint = str_dup(bound);
    return EDRI_OK;
}

static size_t
open_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    size_t count = 0;
    while (list != NULL && readdir(list) != NULL) {
        count++; // and ".", "..", the list itself
    }
    if (list != NULL) {
        (void)closedir(list);
    }
    return count > 3 ? count - 3 : 32;
}

// count_peers says how many nodes there may be: libzmq ends the program when
// descriptors run out, so nodes are refused before.
static size_t
count_peers(void)
{
    struct rlimit limit = {.rlim_cur = 1024};
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    size_t own = open_descriptors() + DESCRIPTORS_SPARE;
    return limit.rlim_cur > own ? (size_t)limit.rlim_cur - own : 1;
}

hub_t *
hub_new(settings_t *settings, int stop_fd)
{
    hub_t *hub = mem_new(sizeof *hub);
    hub->settings = settings;
    hub->name = settings_text(settings, "switch.name");
    hub->life = life_new();
    hub->stop_fd = stop_fd;
    hub->window = (uint64_t)settings_int(settings, "switch.window");
    hub->queue_max = (size_t)settings_int(settings, "switch.queue");
    hub->spin_us = settings_int(settings, "switch.spin");
    affinity_init(&hub->affinity);
    hub->now_ms = hub->started_ms = clock_ms();
    hub->heartbeat_ms = settings_int(settings, "link.heartbeat");
    hub->peers = map_new();
    hub->sessions = map_new();
    hub->lives = map_new();
    hub->directory = directory_new(send_directory_word, hub, 1000);
    hub->catalog = catalog_new();
    hub->zmq = zmq_ctx_new();
    (void)zmq_ctx_set(hub->zmq, ZMQ_MAX_SOCKETS, 16);
    if (bind_router(hub) != EDRI_OK) {
        hub_destroy(&hub);
        return NULL;
    }
    hub->peers_max = count_peers();
    return hub;
}

void
hub_destroy(hub_t **hub_p)
{
    hub_t *hub = *hub_p;
    *hub_p = NULL;
    if (hub == NULL) {
        return;
    }
    peers_destroy(hub);
    map_destroy(&hub->peers);
    map_destroy(&hub->sessions);
    map_destroy(&hub->lives);
    directory_destroy(&hub->directory);
    catalog_destroy(&hub->catalog);
    affinity_close(&hub->affinity);
    free(hub->dirty);
    free(hub->endpoint);
    if (hub->router != NULL) {
        zmq_close(hub->router);
    }
    zmq_ctx_term(hub->zmq);
    free(hub);
}

int
hub_run(settings_t *settings, int stop_fd)
{
    hub_t *hub = hub_new(settings, stop_fd);
    if (hub == NULL) {
        return 1;
    }
    printf("edri-switch %s listening on %s\n", hub->name, hub->endpoint);
    (void)fflush(stdout);
    if (settings_bool(settings, "switch.huddle") && hub->spin_us == 0) {
        affinity_add(&hub->affinity, gettid());
        affinity_want(&hub->affinity, "ZMQbg/IO/0");
    }
    while (hub_step(hub, true)) {
    }
    edri_log_info("SWITCH-STOPPED", "frames=%llu dropped=%llu malformed=%llu",
        (unsigned long long)hub->frames, (unsigned long long)hub->dropped,
        (unsigned long long)hub->malformed);
    hub_destroy(&hub);
    return 0;
}
