// SPDX-License-Identifier: MIT
// peer.c - sessions: coming, going, names, heartbeats.

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "hub.h"

// How long the holder of a name may take to show that it is there.
#define PROBE_MS 1000

static uint64_t
key_of(const uint8_t *routing, size_t size)
{
    uint64_t key = 0;
    memcpy(&key, routing, size < sizeof key ? size : sizeof key);
    return key;
}

peer_t *
peer_find(hub_t *hub, const uint8_t *routing, size_t size)
{
    peer_t *peer = map_get(hub->peers, key_of(routing, size));
    return peer != NULL && peer->routing_size == size &&
                   memcmp(peer->routing, routing, size) == 0
               ? peer
               : NULL;
}

peer_t *
peer_of_session(hub_t *hub, uint64_t session)
{
    return map_get(hub->sessions, session);
}

// ----- ending

static void
free_peer(hub_t *hub, peer_t *peer)
{
    (void)map_take(hub->peers, key_of(peer->routing, peer->routing_size));
    (void)map_take(hub->sessions, peer->session);
    if (map_get(hub->lives, peer->life) == peer) {
        (void)map_take(hub->lives, peer->life);
    }
    for (size_t i = 0; i < hub->dirty_count; i++) {
        if (hub->dirty[i] == peer) {
            hub->dirty[i] = hub->dirty[--hub->dirty_count];
            break;
        }
    }
    forward_clear(peer);
    offers_clear(peer);
    for (size_t i = 0; i < peer->refused_count; i++) {
        free(peer->refused[i]->text);
        free(peer->refused[i]);
    }
    free(peer->refused);
    free(peer->name);
    free(peer->host);
    free(peer->software);
    free(peer->switches);
    free(peer);
}

static void
tell_gone(hub_t *hub, const peer_t *gone, edri_err_t reason, char *text)
{
    Edri__Link__Gone word = EDRI__LINK__GONE__INIT;
    word.life = gone->life;
    word.node = gone->name;
    word.reason = reason;
    word.text = text;
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_GONE;
    control.gone = &word;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        peer_t *peer = value;
        if (peer != gone && peer->state == PEER_UP) {
            peer_say(hub, peer, &control);
        }
    }
}

// end_life ends a life for everybody.
static void
end_life(hub_t *hub, peer_t *peer, edri_err_t reason, const char *text)
{
    edri_log_info("NODE-GONE", "node=%s life=%016llx reason=\"%s\"", peer->name,
        (unsigned long long)peer->life, text);
    if (peer->state != PEER_CLAIMS) {
        char *copy = str_dup(text);
        // First why: a member that has withdrawn is not expected back.
        tell_gone(hub, peer, reason, copy);
        directory_close(hub->directory, peer->session);
        catalog_end(hub->catalog, peer->session);
        free(copy);
    }
    free_peer(hub, peer);
}

static void
say_refused(hub_t *hub, peer_t *peer, edri_err_t err, const char *text)
{
    Edri__Link__Refused refused = EDRI__LINK__REFUSED__INIT;
    char *copy = str_dup(text);
    refused.error = err;
    refused.text = copy;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_REFUSED;
    word.refused = &refused;
    word_to_stranger(hub, peer->routing, peer->routing_size, &word);
    free(copy);
}

void
peer_bye(hub_t *hub, peer_t *peer)
{
    end_life(hub, peer, EDRI_CLOSED, "said BYE");
}

void
peer_refuse(hub_t *hub, peer_t *peer, edri_err_t err, const char *text)
{
    edri_log_warn("SESSION-REFUSED", "node=%s error=%s text=\"%s\"", peer->name,
        edri_err_name(err), text);
    say_refused(hub, peer, err, text);
    // Its life may come back in a new session that behaves.
    peer_lost(hub, peer);
}

void
peer_lost(hub_t *hub, peer_t *peer)
{
    if (peer->state == PEER_CLOSED) {
        return;
    }
    if (peer->state == PEER_CLAIMS) {
        end_life(hub, peer, EDRI_NODE_DIED, "connection closed");
        return;
    }
    edri_log_info("NODE-LOST", "node=%s", peer->name);
    peer->state = PEER_CLOSED;
    // A guest is not waited for: the next tick ends it.  Not here: its own
    // frame may be the one that is being forwarded.
    peer->until_ms = hub->now_ms;
    if (!peer->guest) {
        peer->until_ms += settings_int(hub->settings, "gone.closed");
    }
}

// ----- coming

static bool
is_name(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return size >= 1 && size <= 64 && name[size] == '\0';
}

// compare_lists says what another node's list of switches has differently, or
// NULL.  The caller frees it.
static char *
compare_lists(const hub_t *hub, const peer_t *peer)
{
    size_t cursor = 0;
    void *value = NULL;
    bool told = peer->switches[0] != '\0';
    while (told && map_next(hub->sessions, &cursor, NULL, &value)) {
        const peer_t *other = value;
        if (other->switches[0] != '\0' && other->state == PEER_UP &&
            !streq(other->switches, peer->switches)) {
            return str_printf("node.switch of %s is %s, of %s %s: nodes that "
                              "share no switch do not reach each other",
                peer->name, peer->switches, other->name, other->switches);
        }
    }
    return NULL;
}

// next_beat is when a node gets a heartbeat if its own do not ask for one before.
static int64_t
next_beat(const hub_t *hub)
{
    return hub->now_ms + hub->heartbeat_ms * 5 / 4;
}

static void
welcome(hub_t *hub, peer_t *peer)
{
    char *warning = compare_lists(hub, peer);
    peer->state = PEER_UP;
    (void)map_put(hub->lives, peer->life, peer);
    directory_open(hub->directory, peer->session, peer->life, peer->name);
    Edri__Link__Welcome word = EDRI__LINK__WELCOME__INIT;
    char name[80];
    snprintf(name, sizeof name, "%s", hub->name);
    word.life = hub->life;
    word.name = name;
    word.settled = hub->settled;
    word.heartbeat_ms = (uint32_t)hub->heartbeat_ms;
    word.session = peer->session;
    word.version = 1;
    peer->beat_ms = next_beat(hub);
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_WELCOME;
    control.welcome = &word;
    if (warning != NULL) {
        word.warning = warning;
        edri_log_warn("SWITCHES-DIFFER", "text=\"%s\"", warning);
    }
    edri_log_info("NODE-UP", "node=%s life=%016llx host=%s pid=%u", peer->name,
        (unsigned long long)peer->life, peer->host, peer->pid);
    peer_say(hub, peer, &control);
    free(warning);
}

// take_over lets a new session of the same life go on where the old one was.
static void
take_over(hub_t *hub, peer_t *old, peer_t *peer)
{
    peer_alive(hub, old);
    directory_move(hub->directory, old->session, peer->session);
    catalog_move(hub->catalog, old->session, peer->session);
    free_peer(hub, old);
    welcome(hub, peer);
}

static peer_t *
find_holder(hub_t *hub, const peer_t *claims)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        peer_t *peer = value;
        if (peer != claims && peer->state != PEER_CLAIMS &&
            streq(peer->name, claims->name)) {
            return peer;
        }
    }
    return NULL;
}

// find_older finds the session that the same life has here already.
static peer_t *
find_older(hub_t *hub, const peer_t *younger)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        peer_t *peer = value;
        if (peer != younger && peer->life == younger->life &&
            streq(peer->name, younger->name)) {
            return peer;
        }
    }
    return NULL;
}

static void
probe(hub_t *hub, peer_t *holder, peer_t *claims)
{
    Edri__Link__Probe word = EDRI__LINK__PROBE__INIT;
    word.number = claims->session;
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_PROBE;
    control.probe = &word;
    claims->state = PEER_CLAIMS;
    claims->probing = holder->session;
    claims->until_ms = hub->now_ms + PROBE_MS;
    peer_say(hub, holder, &control);
}

// replace ends the holder of a name that did not answer.
static void
replace(hub_t *hub, peer_t *holder, peer_t *peer)
{
    Edri__Link__Replaced word = EDRI__LINK__REPLACED__INIT;
    word.life = peer->life;
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_REPLACED;
    control.replaced = &word;
    word_to_stranger(hub, holder->routing, holder->routing_size, &control);
    end_life(hub, holder, EDRI_REPLACED, "a younger life took its name");
    welcome(hub, peer);
}

static int
compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// sort_list is the node's list of switches as one text, for comparison.
static char *
sort_list(const Edri__Link__Hello *hello)
{
    char *list = str_dup("");
    if (hello->n_switches > 0) {
        qsort(
            hello->switches, hello->n_switches, sizeof(char *), compare_texts);
    }
    for (size_t i = 0; i < hello->n_switches; i++) {
        char *longer =
            str_printf("%s%s%s", list, i > 0 ? "," : "", hello->switches[i]);
        free(list);
        list = longer;
    }
    return list;
}

static peer_t *
new_peer(hub_t *hub, const uint8_t *routing, size_t size,
    const Edri__Link__Hello *hello)
{
    peer_t *peer = mem_new(sizeof *peer);
    memcpy(peer->routing, routing, size);
    peer->routing_size = size;
    peer->session = ++hub->next_session;
    peer->life = hello->life;
    peer->guest = hello->guest;
    peer->name = str_dup(hello->guest ? "" : hello->node);
    peer->host = str_dup(hello->host);
    peer->software = str_dup(hello->software);
    peer->switches = sort_list(hello);
    peer->number = hello->number;
    peer->pid = hello->pid;
    peer->since_ms = peer->heard_ms = hub->now_ms;
    peer->state = PEER_CLAIMS;
    (void)map_put(hub->peers, key_of(routing, size), peer);
    (void)map_put(hub->sessions, peer->session, peer);
    return peer;
}

// judge says why a HELLO is refused, or NULL.
static const char *
judge(const hub_t *hub, const Edri__Link__Hello *hello, edri_err_t *err)
{
    *err = EDRI_INVAL;
    if (hello->version != 1) {
        *err = EDRI_PROTO;
        return "protocol version 1 is spoken here";
    }
    if (!hello->guest && !is_name(hello->node)) {
        return "node.name: 1 to 64 letters, digits, '-', '_', '.'";
    }
    if (hello->life == 0) {
        return "HELLO without a life";
    }
    if (map_size(hub->sessions) >= hub->peers_max) {
        *err = EDRI_OVERLOADED;
        return "the switch has no descriptors left for another node";
    }
    return NULL;
}

void
peer_hello(hub_t *hub, const uint8_t *routing, size_t size,
    const Edri__Link__Hello *hello)
{
    edri_err_t err = EDRI_OK;
    const char *wrong = judge(hub, hello, &err);
    peer_t *peer = new_peer(hub, routing, size, hello);
    if (wrong != NULL) {
        say_refused(hub, peer, err, wrong);
        free_peer(hub, peer);
        return;
    }
    peer_t *old = find_older(hub, peer);
    if (old != NULL && peer->number < old->number) {
        // Connections do not come in order: this one is closed already.
        say_refused(hub, peer, EDRI_STATE, "the life has a younger session");
        free_peer(hub, peer);
        return;
    }
    if (old != NULL && old->state == PEER_CLAIMS) {
        peer->probing = old->probing; // it waits on
        peer->until_ms = old->until_ms;
        free_peer(hub, old);
        return;
    }
    if (old != NULL) {
        take_over(hub, old, peer);
        return;
    }
    peer_t *holder = peer->guest ? NULL : find_holder(hub, peer);
    if (holder == NULL) {
        welcome(hub, peer);
    } else if (holder->state == PEER_CLOSED) {
        replace(hub, holder, peer);
    } else {
        probe(hub, holder, peer);
    }
}

void
peer_alive(hub_t *hub, const peer_t *holder)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        peer_t *peer = value;
        if (peer->state == PEER_CLAIMS && peer->probing == holder->session) {
            char *text = str_printf("another live node has the name %s "
                                    "(host %s, pid %u)",
                holder->name, holder->host, holder->pid);
            edri_log_warn("NAME-TAKEN", "node=%s host=%s pid=%u", peer->name,
                peer->host, peer->pid);
            say_refused(hub, peer, EDRI_EXISTS, text);
            free(text);
            free_peer(hub, peer);
        }
    }
}

// ----- time

void
peer_beat(hub_t *hub, peer_t *peer)
{
    Edri__Link__Heartbeat word = EDRI__LINK__HEARTBEAT__INIT;
    word.settled = hub->settled;
    word.echo = peer->beat;
    peer->beat_ms = next_beat(hub);
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_HEARTBEAT;
    control.heartbeat = &word;
    peer_say(hub, peer, &control);
}

// tick_peer does what is due for one peer, which may end it.
static void
tick_peer(hub_t *hub, peer_t *peer, bool all)
{
    int64_t silent = settings_int(hub->settings, "gone.silent");
    switch (peer->state) {
    case PEER_CLAIMS: {
        peer_t *holder = peer_of_session(hub, peer->probing);
        bool closed = holder != NULL && holder->state == PEER_CLOSED;
        if (!closed && hub->now_ms < peer->until_ms) {
            break;
        }
        if (holder != NULL) {
            replace(hub, holder, peer);
        } else {
            welcome(hub, peer);
        }
        break;
    }
    case PEER_UP:
        if (hub->now_ms >= peer->heard_ms + silent) {
            end_life(hub, peer, EDRI_NODE_DIED, "silent");
        } else if (all || hub->now_ms >= peer->beat_ms) {
            peer_beat(hub, peer);
        }
        break;
    case PEER_CLOSED:
        if (hub->now_ms >= peer->until_ms) {
            end_life(hub, peer, EDRI_NODE_DIED, "connection closed");
        }
        break;
    }
}

void
peers_tick(hub_t *hub, bool all)
{
    // By number: a peer may end while its turn comes.
    size_t count = 0;
    uint64_t *numbers =
        mem_new((map_size(hub->sessions) + 1) * sizeof *numbers);
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, &numbers[count], &value)) {
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        peer_t *peer = peer_of_session(hub, numbers[i]);
        if (peer != NULL) {
            tick_peer(hub, peer, all);
        }
    }
    free(numbers);
}

void
peers_destroy(hub_t *hub)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        free_peer(hub, value);
        cursor = 0;
    }
}
