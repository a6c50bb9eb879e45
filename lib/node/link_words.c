// SPDX-License-Identifier: MIT
// link_words.c - the control words between a node and a switch.

#include "node/link_words.h"

#include "node/books.h"
#include "node/health.h"
#include "node/reload.h"
#include "node/system.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "node/manager.h"
#include "node/remote.h"
#include "node/replay.h"
#include "node/tunnels.h"

// ----- the handshake

// offer tells the switch every type that the node's managers handle or emit,
// and those that its ports have used so far.
typedef struct offer {
    Edri__Link__TypeInfo *infos;
    size_t count;
} offer_t;

static void
add_info(uint64_t key, void *value, void *arg)
{
    offer_t *offer = arg;
    const typeref_t *ref = value;
    const edri_type_t *type = ref->type;
    offer->infos =
        mem_resize(offer->infos, (offer->count + 1) * sizeof *offer->infos);
    Edri__Link__TypeInfo *info = &offer->infos[offer->count++];
    edri__link__type_info__init(info);
    info->name = str_dup(type->name);
    info->type = key;
    info->file.len = sizeof type->file->sha256;
    info->file.data = mem_resize(NULL, info->file.len);
    memcpy(info->file.data, type->file->sha256, info->file.len);
    info->handles = atomic_load(&ref->handled);
    info->emits = !info->handles;
}

// say_offer offers one type, or (0) all.
static void
say_offer(link_t *self, uint64_t only)
{
    offer_t all = {0};
    shared_map_t *types = self->router->node->types;
    typeref_t *one = only != 0 ? shared_map_get(types, only) : NULL;
    if (one != NULL) {
        add_info(only, one, &all);
    } else if (only == 0) {
        shared_map_each(types, add_info, &all);
    }
    Edri__Link__Offer offer = EDRI__LINK__OFFER__INIT;
    offer.n_types = all.count;
    offer.types = mem_new((all.count + 1) * sizeof *offer.types);
    for (size_t i = 0; i < all.count; i++) {
        offer.types[i] = &all.infos[i];
    }
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_OFFER;
    word.offer = &offer;
    link_say(self, &word);
    for (size_t i = 0; i < all.count; i++) {
        free(all.infos[i].name);
        free(all.infos[i].file.data);
    }
    free(all.infos);
    free(offer.types);
}

typedef struct file_search {
    const ProtobufCBinaryData *sha256;
    const edri_file_t *file;
} file_search_t;

static void
match_file(uint64_t key, void *value, void *arg)
{
    (void)key;
    file_search_t *search = arg;
    const edri_file_t *file = ((const typeref_t *)value)->type->file;
    if (search->sha256->len == sizeof file->sha256 &&
        memcmp(search->sha256->data, file->sha256, sizeof file->sha256) == 0) {
        search->file = file;
    }
}

static void
say_describe(link_t *self, const ProtobufCBinaryData *sha256)
{
    file_search_t search = {.sha256 = sha256};
    shared_map_each(self->router->node->types, match_file, &search);
    if (search.file == NULL) {
        return;
    }
    Edri__Link__Describe describe = EDRI__LINK__DESCRIBE__INIT;
    describe.file = *sha256;
    uint8_t *copy = mem_resize(NULL, search.file->size);
    memcpy(copy, search.file->data, search.file->size);
    describe.descriptors = (ProtobufCBinaryData){search.file->size, copy};
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_DESCRIBE;
    word.describe = &describe;
    link_say(self, &word);
    free(copy);
}

// wants_t gathers what is to be said in one Demand.
typedef struct wants {
    Edri__Link__Wanted **list;
    size_t count;
} wants_t;

static void
want(wants_t *self, const slot_t *slot, const route_t *route, bool observer)
{
    if (route->ref != NULL && !route->ref->type->shareable) {
        return;
    }
    Edri__Link__Wanted *wanted = mem_new(sizeof *wanted);
    edri__link__wanted__init(wanted);
    wanted->type = route->type;
    wanted->manager = slot->manager;
    wanted->target = slot->number;
    wanted->role =
        observer ? EDRI__LINK__ROLE__OBSERVER : EDRI__LINK__ROLE__HANDLER;
    wanted->lossy = slot->lossy || observer;
    if (!observer) {
        replay_asks(slot, route, wanted);
    }
    self->list = mem_resize(self->list, (self->count + 1) * sizeof *self->list);
    self->list[self->count++] = wanted;
}

static void
want_slot(wants_t *self, const slot_t *slot)
{
    for (int observer = 0; observer < 2; observer++) {
        const map_t *demands = observer ? slot->observes : slot->handles;
        size_t cursor = 0;
        void *route = NULL;
        while (map_next(demands, &cursor, NULL, &route)) {
            want(self, slot, route, observer);
        }
    }
}

static void
say_demand(link_t *self, wants_t *wants, bool add)
{
    Edri__Link__Demand demand = EDRI__LINK__DEMAND__INIT;
    demand.generation = ++self->generation;
    *(add ? &demand.add : &demand.remove) = wants->list;
    *(add ? &demand.n_add : &demand.n_remove) = wants->count;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_DEMAND;
    word.demand = &demand;
    link_say(self, &word);
    for (size_t i = 0; i < wants->count; i++) {
        free(wants->list[i]->replay.data);
        free(wants->list[i]);
    }
    free(wants->list);
}

// demand_all says what every manager wants, or (add false) no longer wants.
static void
demand_all(link_t *self, bool add)
{
    wants_t wants = {0};
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->router->slots, &cursor, NULL, &value)) {
        const slot_t *slot = value;
        if (!add || !slot->left) {
            want_slot(&wants, slot);
        }
    }
    say_demand(self, &wants, add);
}

void
links_demand(router_t *router, const slot_t *slot, bool add)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        if (router->links[i].shake >= SHAKE_DEMANDED) {
            wants_t wants = {0};
            want_slot(&wants, slot);
            say_demand(&router->links[i], &wants, add);
        }
    }
}

void
links_withdraw(
    router_t *router, const slot_t *slot, const route_t *route, bool observer)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        if (router->links[i].shake >= SHAKE_DEMANDED) {
            wants_t wants = {0};
            want(&wants, slot, route, observer);
            say_demand(&router->links[i], &wants, false);
        }
    }
}

void
links_drain(router_t *router)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        if (router->links[i].shake == SHAKE_IN_FORCE) {
            demand_all(&router->links[i], false);
        }
    }
}

// tell_ready says once that the node's demands are in force.
static void
tell_ready(router_t *router)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        const link_t *link = &router->links[i];
        // A switch that is not there is not waited for when another is.
        if (link->session.state == SESSION_UP &&
            link->shake != SHAKE_IN_FORCE) {
            return;
        }
    }
    if (!router->told_ready) {
        router->told_ready = true;
        router_tell(router, "READY", EDRI_OK, "%s", "");
        system_node_up(router);
    }
}

static void
on_in_force(link_t *self, const Edri__Link__InForce *word)
{
    router_t *router = self->router;
    for (size_t i = 0; i < word->n_late; i++) {
        edri_log_warn(
            "DEMAND-LATE", "switch=%s node=%s", self->endpoint, word->late[i]);
    }
    for (size_t i = 0; i < word->n_refused; i++) {
        const Edri__Link__Refusal *refusal = word->refused[i];
        edri_log_error("TYPE-REFUSED", "switch=%s text=\"%s\"", self->endpoint,
            refusal->text);
        if (!router->told_ready) {
            router->told_ready = true;
            router_tell(router, "ERROR", (edri_err_t)refusal->error,
                "switch %s: %s", self->endpoint, refusal->text);
        }
    }
    if (router->draining) {
        router->drain_ms = router->now_ms; // nobody sends us new work now
        return;
    }
    if (word->generation != self->generation || self->shake != SHAKE_DEMANDED) {
        return;
    }
    self->shake = SHAKE_IN_FORCE;
    counter_add(&router->node->counters, COUNTER_LINKS_IN_FORCE, 1);
    tell_ready(router);
}

static void
on_need(link_t *self, const Edri__Link__Need *word)
{
    for (size_t i = 0; i < word->n_files; i++) {
        say_describe(self, &word->files[i]);
    }
    if (word->n_files == 0 && self->shake == SHAKE_OFFERED) {
        self->shake = SHAKE_DEMANDED;
        demand_all(self, true);
    }
}

// resolve_all asks again for every type in use: the session is new.
static void
resolve_all(link_t *self)
{
    Edri__Link__Resolve resolve = EDRI__LINK__RESOLVE__INIT;
    size_t cursor = 0;
    void *value = NULL;
    size_t capacity = map_size(self->router->routes);
    resolve.types = mem_new((capacity + 1) * sizeof(uint64_t));
    while (map_next(self->router->routes, &cursor, NULL, &value)) {
        if (((route_t *)value)->resolve.asked) {
            resolve.types[resolve.n_types++] = ((route_t *)value)->type;
        }
    }
    if (resolve.n_types > 0) {
        control_t word = EDRI__LINK__CONTROL__INIT;
        word.word_case = EDRI__LINK__CONTROL__WORD_RESOLVE;
        word.resolve = &resolve;
        link_say(self, &word);
    }
    free(resolve.types);
}

void
links_resolve_again(router_t *router)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        if (router->links[i].session.state == SESSION_UP) {
            resolve_all(&router->links[i]);
        }
    }
}

static void
on_welcome(link_t *self, const Edri__Link__Welcome *word)
{
    router_t *router = self->router;
    if (!session_welcome(
            &self->session, (int64_t)word->heartbeat_ms, router->now_ms)) {
        return;
    }
    counter_add(&router->node->counters, COUNTER_LINKS_UP, 1);
    edri_log_info("LINK-UP", "switch=%s name=%s life=%016llx", self->endpoint,
        word->name, (unsigned long long)word->life);
    if (word->warning[0] != '\0') {
        edri_log_warn("LINK-WARNING", "switch=%s text=\"%s\"", self->endpoint,
            word->warning);
    }
    self->switch_life = word->life;
    self->settled = word->settled;
    say_offer(self, 0);
    self->shake = SHAKE_OFFERED;
    resolve_all(self);
    frames_lost(self);
    if (self->settled) {
        links_resume(self);
    }
}

// ----- tables

static dest_t *
dest_of(link_t *self, const Edri__Link__Member *member)
{
    remote_t *remote = remote_find(self->router, member->life, member->node);
    return remote_dest(remote, member->target, member->manager);
}

static void
add_members(
    link_t *self, route_t *route, Edri__Link__Member **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const remote_t *known = map_get(self->router->remotes, list[i]->life);
        bool ended = known != NULL && known->ended; // what another switch knows
        if (list[i]->life != self->router->node->life && !ended) {
            member_t member = {.dest = dest_of(self, list[i]),
                .lossy = list[i]->lossy,
                .wish = &list[i]->replay};
            route_add(self->router, route,
                list[i]->role == EDRI__LINK__ROLE__OBSERVER, member,
                self->index);
            remote_reached(member.dest->remote, self->index);
        }
    }
}

// withdraw takes a member out of what this switch says.  When it knows the life
// the manager has withdrawn, and what switches said last that are not connected
// now is out of date.
static void
withdraw(link_t *self, route_t *route, bool observer, const dest_t *dest)
{
    router_t *router = self->router;
    bool known = (dest->remote->reach.links & 1u << self->index) != 0;
    for (unsigned i = 0; i < router->link_count; i++) {
        bool down = router->links[i].session.state != SESSION_UP;
        if (i == self->index || (known && down)) {
            route_remove(router, route, observer, NULL, dest, i);
        }
    }
}

static void
remove_members(
    link_t *self, route_t *route, Edri__Link__Member **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const remote_t *known = map_get(self->router->remotes, list[i]->life);
        if (known != NULL && known->gone_ms == 0) {
            withdraw(self, route, list[i]->role == EDRI__LINK__ROLE__OBSERVER,
                dest_of(self, list[i]));
        }
    }
}

static void
say_seen(link_t *self, uint64_t type, uint64_t version)
{
    Edri__Link__TableSeen seen = EDRI__LINK__TABLE_SEEN__INIT;
    seen.type = type;
    seen.version = version;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_TABLE_SEEN;
    word.table_seen = &seen;
    link_say(self, &word);
}

static bool
in_table(const Edri__Link__Table *table, const member_t *member, bool observer)
{
    for (size_t i = 0; i < table->n_members; i++) {
        const Edri__Link__Member *row = table->members[i];
        if (row->life == member->dest->remote->life &&
            row->target == member->dest->target &&
            (row->role == EDRI__LINK__ROLE__OBSERVER) == observer) {
            return true;
        }
    }
    return false;
}

// drop_absent takes out what this link had and the new table has not.
static void
drop_absent(link_t *self, route_t *route, const Edri__Link__Table *table)
{
    for (int observer = 0; observer < 2; observer++) {
        size_t count = observer ? route->observer_count : route->handler_count;
        for (size_t i = count; i > 0; i--) {
            const member_t *list =
                observer ? route->observers : route->handlers;
            member_t member = list[i - 1];
            if (member.dest != NULL &&
                (member.links & 1u << self->index) != 0 &&
                !in_table(table, &member, observer)) {
                withdraw(self, route, observer, member.dest);
            }
        }
    }
}

static void
on_table(link_t *self, const Edri__Link__Table *table)
{
    route_t *route = route_find(self->router, table->type);
    // The new ones first: what the others give back may go to them.  A switch
    // that has just begun does not know of all who will come back.
    add_members(self, route, table->members, table->n_members);
    if (table->settled) {
        drop_absent(self, route, table);
    }
    resolve_table(&route->resolve, self->index, table->version, table->settled);
    say_seen(self, table->type, table->version);
    waiting_reconsider(self->router, route);
}

static void
on_change(link_t *self, const Edri__Link__Change *change)
{
    route_t *route = map_get(self->router->routes, change->type);
    if (route == NULL || !route->resolve.asked) {
        return;
    }
    if (!resolve_change(
            &route->resolve, self->index, change->version, change->settled)) {
        link_ask_table(self, change->type); // one was missed
        return;
    }
    remove_members(self, route, change->removed, change->n_removed);
    add_members(self, route, change->added, change->n_added);
    say_seen(self, change->type, change->version);
    waiting_reconsider(self->router, route);
}

void
link_ask_table(link_t *self, uint64_t type)
{
    Edri__Link__Resolve resolve = EDRI__LINK__RESOLVE__INIT;
    resolve.types = &type;
    resolve.n_types = 1;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_RESOLVE;
    word.resolve = &resolve;
    link_say(self, &word);
}

void
link_resolve(router_t *router, uint64_t type)
{
    for (unsigned i = 0; i < router->link_count; i++) {
        if (router->links[i].session.state == SESSION_UP) {
            say_offer(&router->links[i], type);
            link_ask_table(&router->links[i], type);
        }
    }
}

// settle notes that the switch now knows all there is: "nobody" counts.
static void
settle(link_t *self)
{
    if (self->settled) {
        return;
    }
    self->settled = true;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->router->routes, &cursor, NULL, &value)) {
        route_t *route = value;
        if (resolve_settled(&route->resolve, self->index)) {
            link_ask_table(self, route->type); // who has not come back has gone
            waiting_reconsider(self->router, route);
        }
    }
    links_resume(self);
}

// ----- ends and errors

static void
on_refused(link_t *self, const Edri__Link__Refused *word)
{
    router_t *router = self->router;
    edri_log_error("LINK-REFUSED", "switch=%s error=%s text=\"%s\"",
        self->endpoint, edri_err_name((edri_err_t)word->error), word->text);
    if (!router->told_ready) {
        router->told_ready = true;
        router_tell(router, "ERROR", (edri_err_t)word->error, "switch %s: %s",
            self->endpoint, word->text);
    }
    link_end(self, "refused");
}

static void
on_replaced(link_t *self)
{
    edri_log_error("NODE-REPLACED", "switch=%s node=%s", self->endpoint,
        self->router->node->name);
    self->replaced = true; // whoever has the name now keeps it
    link_end(self, "replaced");
    router_tell(self->router, "REPLACED", EDRI_REPLACED,
        "switch %s: another node took the name %s", self->endpoint,
        self->router->node->name);
}

// control_dropped: words did not reach a node; they are said again, later.
static void
control_dropped(remote_t *remote, unsigned link, edri_err_t err)
{
    if (err == EDRI_UNREACHABLE) {
        remote_unreached(remote, link);
    }
    words_retell(remote, remote->router->now_ms + UNKNOWN_MS);
}

static void
on_dropped(link_t *self, const Edri__Link__Dropped *word)
{
    if (word->lane == EDRI__WIRE__LANE__CONTROL) {
        remote_t *remote = map_get(self->router->remotes, word->life);
        if (remote != NULL) {
            control_dropped(remote, self->index, (edri_err_t)word->error);
        }
        return;
    }
    edri_log_info("FRAME-DROPPED",
        "switch=%s life=%016llx lane=%u error=%s events=%llu", self->endpoint,
        (unsigned long long)word->life, word->lane,
        edri_err_name((edri_err_t)word->error),
        (unsigned long long)word->events);
    remote_dropped(self->router, self->index, word);
}

// on_gone: a life has ended as this switch sees it; one that another switch
// still reaches has not.
static void
on_gone(link_t *self, const Edri__Link__Gone *word)
{
    remote_t *remote = map_get(self->router->remotes, word->life);
    if (remote != NULL) {
        remote->stale[self->index] = remote->heard[self->index];
        remote_unreached(remote, self->index);
    }
    if (word->node[0] != '\0' && (remote == NULL || remote->name[0] == '\0')) {
        // Never met: whoever looks after nodes here hears of it all the same.
        remote = remote_find(self->router, word->life, word->node);
    }
    if (remote == NULL || remote->reach.links == 0) {
        remote_gone(
            self->router, word->life, (edri_err_t)word->reason, word->text);
    }
}

static void
on_answer(link_t *self, const Edri__Link__Answer *answer)
{
    size_t size = edri__link__answer__get_packed_size(answer);
    uint8_t *packed = mem_resize(NULL, size + 1);
    (void)edri__link__answer__pack(answer, packed);
    ear_touch(&self->router->pipe_ear);
    (void)zmq_send(self->router->pipe, "ANSWER", 6, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    (void)zmq_send(self->router->pipe, packed, size, ZMQ_DONTWAIT);
    free(packed);
}

void
links_requeue(link_t *self)
{
    router_t *router = self->router;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(router->remotes, &cursor, NULL, &value)) {
        // Whether the switch will know the life again is for it to say.
        remote_unreached(value, self->index);
    }
}

void
links_resume(link_t *self)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->router->remotes, &cursor, NULL, &value)) {
        remote_wake(value);
    }
}

static void
say_alive(link_t *self, uint64_t number)
{
    Edri__Link__Alive alive = EDRI__LINK__ALIVE__INIT;
    alive.number = number;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_ALIVE;
    word.alive = &alive;
    link_say(self, &word);
}

void
link_word(link_t *self, const control_t *word)
{
    switch (word->word_case) {
    case EDRI__LINK__CONTROL__WORD_WELCOME:
        on_welcome(self, word->welcome);
        break;
    case EDRI__LINK__CONTROL__WORD_REFUSED:
        on_refused(self, word->refused);
        break;
    case EDRI__LINK__CONTROL__WORD_WHO:
        link_end(self, "the switch does not know us");
        break;
    case EDRI__LINK__CONTROL__WORD_HEARTBEAT:
        session_echo(&self->session, word->heartbeat->echo);
        if (word->heartbeat->settled) {
            settle(self);
        }
        break;
    case EDRI__LINK__CONTROL__WORD_REPLACED:
        on_replaced(self);
        break;
    case EDRI__LINK__CONTROL__WORD_PROBE:
        say_alive(self, word->probe->number);
        break;
    case EDRI__LINK__CONTROL__WORD_NEED:
        on_need(self, word->need);
        break;
    case EDRI__LINK__CONTROL__WORD_IN_FORCE:
        on_in_force(self, word->in_force);
        break;
    case EDRI__LINK__CONTROL__WORD_TABLE:
        on_table(self, word->table);
        break;
    case EDRI__LINK__CONTROL__WORD_CHANGE:
        on_change(self, word->change);
        break;
    case EDRI__LINK__CONTROL__WORD_DROPPED:
        on_dropped(self, word->dropped);
        break;
    case EDRI__LINK__CONTROL__WORD_GONE:
        on_gone(self, word->gone);
        break;
    case EDRI__LINK__CONTROL__WORD_ANSWER:
        on_answer(self, word->answer);
        break;
    case EDRI__LINK__CONTROL__WORD_ASK:
        if (word->ask->reload != NULL) {
            reload_begin(self, word->ask);
        } else if (word->ask->tunnels) {
            tunnels_answer(self, word->ask->number);
        } else if (word->ask->health) {
            health_answer(self, word->ask->number);
        } else if (word->ask->letters != NULL) {
            letters_answer(self, word->ask);
        } else {
            books_answer(self, word->ask->number);
        }
        break;
    case EDRI__LINK__CONTROL__WORD_DESCRIBE:
        for (size_t i = 0; i < word->describe->n_refused; i++) {
            edri_log_error("TYPE-REFUSED", "switch=%s text=\"%s\"",
                self->endpoint, word->describe->refused[i]->text);
        }
        break;
    case EDRI__LINK__CONTROL__WORD_HELLO:
    case EDRI__LINK__CONTROL__WORD_BYE:
    case EDRI__LINK__CONTROL__WORD_ALIVE:
    case EDRI__LINK__CONTROL__WORD_OFFER:
    case EDRI__LINK__CONTROL__WORD_DEMAND:
    case EDRI__LINK__CONTROL__WORD_RESOLVE:
    case EDRI__LINK__CONTROL__WORD_TABLE_SEEN:
    case EDRI__LINK__CONTROL__WORD_RELEASE:
    case EDRI__LINK__CONTROL__WORD_WORK:
    case EDRI__LINK__CONTROL__WORD_READY:
    case EDRI__LINK__CONTROL__WORD_FLUSH:
    case EDRI__LINK__CONTROL__WORD_QUIT:
    case EDRI__LINK__CONTROL__WORD_GATE:
    case EDRI__LINK__CONTROL__WORD_DRAIN:
    case EDRI__LINK__CONTROL__WORD__NOT_SET:
    case _EDRI__LINK__CONTROL__WORD__CASE_IS_INT_SIZE:
        counter_add(&self->router->node->counters, COUNTER_MALFORMED, 1);
        break;
    }
}

edri_err_t
links_ask(router_t *router, const void *data, size_t size)
{
    Edri__Link__Ask *ask = edri__link__ask__unpack(NULL, size, data);
    edri_err_t err = EDRI_UNREACHABLE;
    for (unsigned i = 0; ask != NULL && i < router->link_count; i++) {
        link_t *link = &router->links[i];
        if (link->session.state == SESSION_UP && err != EDRI_OK) {
            control_t word = EDRI__LINK__CONTROL__INIT;
            word.word_case = EDRI__LINK__CONTROL__WORD_ASK;
            word.ask = ask;
            link_say(link, &word);
            err = EDRI_OK;
        }
    }
    if (ask != NULL) {
        edri__link__ask__free_unpacked(ask, NULL);
    }
    return err;
}
