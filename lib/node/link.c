// SPDX-License-Identifier: MIT
// link.c - sessions with the switches, and the words that are spoken there.
//
// DESIGN
// Each session has a DEALER of its own, without routing id and without
// reconnection: nothing of an old session can come before HELLO.  The session's
// states and deadlines are core/session.c; here is the socket and the
// handshake: HELLO → WELCOME; Offer → Need → Describe ... → Need (nothing);
// Demand → InForce.  Then the types in use are resolved, and frames flow.

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "edri/edri.h"
#include "edri/log.h"
#include "node/link_words.h"
#include "node/manager.h"
#include "node/remote.h"

// Messages read from one link in one wake-up.
#define READ_MAX 64

// 'taken' is told at the latest after this long, or when this many wait.
#define TELL_MS    20
#define TELL_COUNT 4

// How long a DEALER may keep trying to send BYE when the node ends.
#define BYE_LINGER_MS 200

// ----- sending

// counted says whether frames of that lane fill the window.
static bool
counted(int lane)
{
    return lane != EDRI__WIRE__LANE__CONTROL;
}

edri_err_t
link_send_head(link_t *self, head_t *head, bool more)
{
    if (self->socket == NULL) {
        return EDRI_STATE;
    }
    head->taken = self->received;
    ear_touch(&self->ear);
    zmq_msg_t message;
    (void)zmq_msg_init_size(&message, head_size(head));
    (void)head_write(head, zmq_msg_data(&message));
    if (zmq_msg_send(&message, self->socket,
            ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0) {
        // Nothing limits what waits, and libzmq does not connect again: the
        // connection has gone.
        (void)zmq_msg_close(&message);
        self->broken = true;
        return EDRI_UNREACHABLE;
    }
    self->told = self->received;
    self->tell_ms = 0;
    if (counted((int)head->lane)) {
        self->sent++;
        counter_add(&self->router->node->counters, COUNTER_FRAMES_OUT, 1);
    }
    return EDRI_OK;
}

void
link_say(link_t *self, const control_t *control)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    control_t copy = *control;
    control_t *list[] = {&copy};
    head.control = list;
    head.n_control = 1;
    (void)link_send_head(self, &head, false);
}

void
link_flush(link_t *self)
{
    frames_out(self);
    uint64_t untold = self->received - self->told;
    if (untold == 0 || self->socket == NULL) {
        return;
    }
    if (self->tell_ms == 0) {
        self->tell_ms = self->router->now_ms + TELL_MS;
    }
    if (untold >= TELL_COUNT || self->router->now_ms >= self->tell_ms ||
        self->router->draining) {
        head_t head = EDRI__WIRE__HEAD__INIT;
        (void)link_send_head(self, &head, false);
    }
}

// ----- the socket

// changed has the router's thread listen, who knows of all sockets.
static void
changed(const link_t *self)
{
    listen_dismiss(&self->router->node->listen, self->router->now_ms);
    (void)helm_wake(&self->router->node->helm);
}

static void
close_socket(link_t *self, int linger_ms)
{
    if (self->socket != NULL) {
        changed(self);
        (void)zmq_setsockopt(
            self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(self->socket);
        self->socket = NULL;
    }
}

static void
say_hello(link_t *self)
{
    edri_node_t *node = self->router->node;
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    char host[256] = "";
    (void)gethostname(host, sizeof host - 1);
    char *switches[LINKS_MAX];
    for (unsigned i = 0; i < self->router->link_count; i++) {
        switches[i] = self->router->links[i].endpoint;
    }
    char name[80];
    char software[] = "edri " EDRI_VERSION;
    snprintf(name, sizeof name, "%s", node->name);
    hello.version = 1;
    hello.node = name;
    hello.life = node->life;
    hello.guest = node->name[0] == '\0';
    hello.host = host;
    hello.pid = (uint32_t)getpid();
    hello.software = software;
    hello.switches = switches;
    hello.n_switches = self->router->link_count;
    hello.number = self->opened;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    link_say(self, &word);
}

static void
open_socket(link_t *self)
{
    self->sent = self->taken = self->received = self->told = 0;
    self->tell_ms = 0;
    self->generation = 0;
    self->shake = SHAKE_NONE;
    self->broken = false;
    self->fd = -1;
    self->opened = ++self->router->sessions;
    self->socket = zmq_socket(self->router->node->zmq, ZMQ_DEALER);
    int linger = 0;
    int never = -1;
    int hwm = 1024;
    // Frames have their window.  Words have none, but there are few for each type: a
    // burst of new ones must not look like a connection that has gone.
    int no_limit = 0;
    int buffer = 256 * 1024;
    int64_t largest = WIRE_MESSAGE_MAX + HEAD_CONTROL_MAX;
    bool fine =
        self->socket != NULL &&
        zmq_setsockopt(self->socket, ZMQ_LINGER, &linger, sizeof linger) == 0 &&
        zmq_setsockopt(self->socket, ZMQ_RECONNECT_IVL, &never, sizeof never) ==
            0 &&
        zmq_setsockopt(self->socket, ZMQ_SNDHWM, &no_limit, sizeof no_limit) ==
            0 &&
        zmq_setsockopt(self->socket, ZMQ_RCVHWM, &hwm, sizeof hwm) == 0 &&
        zmq_setsockopt(self->socket, ZMQ_SNDBUF, &buffer, sizeof buffer) == 0 &&
        zmq_setsockopt(self->socket, ZMQ_RCVBUF, &buffer, sizeof buffer) == 0 &&
        zmq_setsockopt(
            self->socket, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0 &&
        zmq_connect(self->socket, self->endpoint) == 0;
    if (!fine) {
        edri_log_warn("LINK-OPEN", "switch=%s error=\"%s\"", self->endpoint,
            zmq_strerror(zmq_errno()));
        close_socket(self, 0);
        return;
    }
    ear_open(&self->ear, self->socket);
    changed(self);
    say_hello(self);
}

// lose closes a session; what was in its pipes may be lost with it.
static void
lose(link_t *self, const char *why)
{
    router_t *router = self->router;
    if (self->shake != SHAKE_NONE) {
        router->returned = true;
        counter_add(&router->node->counters, COUNTER_LINKS_LOST, 1);
        counter_add(&router->node->counters, COUNTER_LOST_FRAMES,
            self->sent - self->taken);
        edri_log_warn("LINK-LOST",
            "switch=%s reason=\"%s\" frames_unconfirmed=%llu", self->endpoint,
            why, (unsigned long long)(self->sent - self->taken));
    }
    close_socket(self, 0);
    self->shake = SHAKE_NONE;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        resolve_lost(&((route_t *)value)->resolve, self->index);
    }
    links_requeue(self);
    // What waited for this switch's answer waits no more.
    cursor = 0;
    while (map_next(router->routes, &cursor, NULL, &value)) {
        waiting_reconsider(router, value);
    }
}

static void
carry_out(link_t *self, session_do_t what, const char *why)
{
    if ((what & SESSION_CLOSE) != 0) {
        lose(self, why);
    }
    if ((what & SESSION_OPEN) != 0) {
        open_socket(self);
    }
    if ((what & SESSION_BEAT) != 0) {
        Edri__Link__Heartbeat beat = EDRI__LINK__HEARTBEAT__INIT;
        beat.number = self->session.beats;
        control_t word = EDRI__LINK__CONTROL__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_HEARTBEAT;
        word.heartbeat = &beat;
        link_say(self, &word);
        counter_add(&self->router->node->counters, COUNTER_BEATS, 1);
    }
}

void
link_end(link_t *self, const char *why)
{
    carry_out(self, session_end(&self->session, self->router->now_ms), why);
}

// ----- receiving

// note_taken takes the peer's count of our frames.
static bool
note_taken(link_t *self, uint64_t taken)
{
    if (taken > self->sent) {
        return false;
    }
    if (taken > self->taken) {
        self->taken = taken;
    }
    return true;
}

// handle_frame handles one whole message; returns false when the session has
// been closed.
static bool
handle_frame(link_t *self, zmq_msg_t *parts, size_t count)
{
    counters_t *counters = &self->router->node->counters;
    head_t *head = NULL;
    const char *why = "";
    slice_t bytes = {zmq_msg_data(&parts[0]), zmq_msg_size(&parts[0])};
    if (head_read(bytes, &head, &why) != EDRI_OK ||
        !note_taken(self, head->taken)) {
        counter_add(counters, COUNTER_MALFORMED, 1);
        edri_log_warn("LINK-MALFORMED", "switch=%s what=\"%s\"", self->endpoint,
            head != NULL ? "taken" : why);
        head_free(&head);
        link_end(self, "malformed head");
        return false;
    }
    session_heard(&self->session, self->router->now_ms);
    if (counted((int)head->lane)) {
        self->received++;
        counter_add(counters, COUNTER_FRAMES_IN, 1);
    }
    void *socket = self->socket;
    for (size_t i = 0; i < head->n_control && self->socket == socket; i++) {
        link_word(self, head->control[i]);
    }
    if (self->socket == socket && head->n_to > 0 &&
        self->session.state == SESSION_UP) {
        frames_in(self, head, parts + 1, count - 1);
    }
    head_free(&head);
    return self->socket == socket;
}

size_t
link_read(link_t *self)
{
    size_t messages = 0;
    bool open = self->socket != NULL;
    while (open && messages < READ_MAX) {
        zmq_msg_t parts[FRAME_PARTS_MAX];
        size_t count = 0;
        bool more = true;
        bool too_many = false;
        while (more) {
            zmq_msg_t part;
            (void)zmq_msg_init(&part);
            if (zmq_msg_recv(&part, self->socket, ZMQ_DONTWAIT) < 0) {
                break;
            }
            more = zmq_msg_more(&part);
            if (count < FRAME_PARTS_MAX) {
                (void)zmq_msg_init(&parts[count]);
                (void)zmq_msg_move(&parts[count++], &part);
            } else {
                too_many = true;
            }
            (void)zmq_msg_close(&part);
        }
        if (count == 0) {
            ear_empty(&self->ear);
            break;
        }
        messages++;
        if (self->fd < 0) {
            self->fd = zmq_msg_get(&parts[0], ZMQ_SRCFD);
        }
        if (too_many) {
            link_end(self, "too many parts");
            open = false;
        } else {
            open = handle_frame(self, parts, count);
        }
        for (size_t i = 0; i < count; i++) {
            (void)zmq_msg_close(&parts[i]);
        }
    }
    return messages;
}

// ----- all links

void
links_init(router_t *router, const char *endpoints)
{
    char *list = str_dup(endpoints);
    char *rest = NULL;
    for (char *word = strtok_r(list, ", ", &rest);
         word != NULL && router->link_count < LINKS_MAX;
         word = strtok_r(NULL, ", ", &rest)) {
        link_t *link = &router->links[router->link_count];
        *link = (link_t){.router = router,
            .index = router->link_count,
            .endpoint = str_dup(word)};
        router->link_count++;
    }
    free(list);
}

void
links_reach(const router_t *router, reach_link_t out[LINKS_MAX])
{
    for (unsigned i = 0; i < router->link_count; i++) {
        const link_t *link = &router->links[i];
        bool up = link->session.state == SESSION_UP;
        out[i] = (reach_link_t){.session = up ? link->opened : 0,
            .life = link->switch_life,
            .settled = link->settled};
    }
}

void
links_open(router_t *router)
{
    settings_t *settings = router->node->settings;
    session_times_t times = {
        .connect_ms = settings_int(settings, "link.connect"),
        .heartbeat_ms = settings_int(settings, "link.heartbeat"),
        .lost_ms = settings_int(settings, "link.lost"),
        .backoff_min_ms = settings_int(settings, "link.backoff_min"),
        .backoff_max_ms = settings_int(settings, "link.backoff_max"),
    };
    for (unsigned i = 0; i < router->link_count; i++) {
        session_init(&router->links[i].session, times, router_random(router),
            router->now_ms);
    }
    router->opened = true;
}

void
links_tick(router_t *router)
{
    for (unsigned i = 0; router->opened && i < router->link_count; i++) {
        link_t *link = &router->links[i];
        if (link->broken && link->session.state == SESSION_UP) {
            link_end(link, "connection closed");
        }
        if (!link->replaced && router->now_ms >= session_next(&link->session)) {
            const char *why =
                link->session.state == SESSION_HELLO ? "no answer" : "silent";
            carry_out(link, session_tick(&link->session, router->now_ms), why);
        }
    }
}

int64_t
links_next(const router_t *router)
{
    int64_t next = INT64_MAX;
    for (unsigned i = 0; router->opened && i < router->link_count; i++) {
        const link_t *link = &router->links[i];
        int64_t due = session_next(&link->session);
        if (link->replaced) {
            continue;
        }
        if (link->socket != NULL && link->received != link->told &&
            link->tell_ms > 0 && link->tell_ms < due) {
            due = link->tell_ms;
        }
        next = due < next ? due : next;
    }
    return next;
}

void
links_bye(router_t *router)
{
    Edri__Link__Bye bye = EDRI__LINK__BYE__INIT;
    char reason[] = "stopped";
    bye.reason = reason;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_BYE;
    word.bye = &bye;
    flows_end(router);
    for (unsigned i = 0; i < router->link_count; i++) {
        link_t *link = &router->links[i];
        if (link->session.state == SESSION_UP) {
            link_say(link, &word);
            close_socket(link, BYE_LINGER_MS);
        }
        close_socket(link, 0);
    }
}

void
links_destroy(router_t *router)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        close_socket(&router->links[i], 0);
        list_clear(&router->links[i].senders);
        list_clear(&router->links[i].repliers);
        list_clear(&router->links[i].streamers);
        list_clear(&router->links[i].resenders);
        free(router->links[i].endpoint);
    }
}
