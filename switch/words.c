// SPDX-License-Identifier: MIT
// words.c - control words of the sessions.

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "edri/log.h"
#include "hub.h"

// Types that one session may offer.
#define OFFERS_MAX 20000

// ----- sending

static bool
send_head(hub_t *hub, const uint8_t *routing, size_t size, head_t *head)
{
    if (zmq_send(hub->router, routing, size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        return false;
    }
    zmq_msg_t message;
    (void)zmq_msg_init_size(&message, head_size(head));
    (void)head_write(head, zmq_msg_data(&message));
    if (zmq_msg_send(&message, hub->router, ZMQ_DONTWAIT) < 0) {
        (void)zmq_msg_close(&message);
        return false;
    }
    return true;
}

void
peer_send(hub_t *hub, peer_t *peer, head_t *head)
{
    if (peer->state == PEER_CLOSED) {
        return;
    }
    head->taken = peer->received;
    peer->told = peer->received;
    peer->tell_ms = 0;
    if (!send_head(hub, peer->routing, peer->routing_size, head) &&
        peer->state == PEER_UP) {
        peer_lost(hub, peer);
    }
}

void
peer_say(hub_t *hub, peer_t *peer, const control_t *word)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    control_t copy = *word;
    control_t *list[] = {&copy};
    head.control = list;
    head.n_control = 1;
    peer_send(hub, peer, &head);
}

void
word_to_stranger(
    hub_t *hub, const uint8_t *routing, size_t size, const control_t *word)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    control_t copy = *word;
    control_t *list[] = {&copy};
    head.control = list;
    head.n_control = 1;
    (void)send_head(hub, routing, size, &head);
}

// ----- offers

static void
free_info(Edri__Link__TypeInfo *info)
{
    free(info->name);
    free(info->file.data);
    free(info);
}

void
offers_clear(peer_t *peer)
{
    for (size_t i = 0; i < peer->offer_count; i++) {
        free_info(peer->offers[i]);
    }
    free(peer->offers);
    peer->offers = NULL;
    peer->offer_count = 0;
}

static void
refuse_type(peer_t *peer, uint64_t type, edri_err_t err, const char *why)
{
    edri_log_warn("TYPE-REFUSED", "node=%s text=\"%s\"", peer->name, why);
    Edri__Link__Refusal *refusal = mem_new(sizeof *refusal);
    edri__link__refusal__init(refusal);
    refusal->type = type;
    refusal->error = err;
    refusal->text = str_dup(why);
    peer->refused = mem_resize(
        peer->refused, (peer->refused_count + 1) * sizeof *peer->refused);
    peer->refused[peer->refused_count++] = refusal;
}

static void
keep_offer(peer_t *peer, const Edri__Link__TypeInfo *info)
{
    Edri__Link__TypeInfo *copy = mem_new(sizeof *copy);
    edri__link__type_info__init(copy);
    copy->name = str_dup(info->name);
    copy->type = info->type;
    copy->emits = info->emits;
    copy->handles = info->handles;
    copy->file.len = info->file.len;
    copy->file.data = memcpy(
        mem_resize(NULL, info->file.len), info->file.data, info->file.len);
    peer->offers = mem_resize(
        peer->offers, (peer->offer_count + 1) * sizeof *peer->offers);
    peer->offers[peer->offer_count++] = copy;
}

static void
say_need(hub_t *hub, peer_t *peer, ProtobufCBinaryData *files, size_t count)
{
    Edri__Link__Need need = EDRI__LINK__NEED__INIT;
    need.files = files;
    need.n_files = count;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_NEED;
    word.need = &need;
    peer_say(hub, peer, &word);
}

// consider offers one type to the catalog.  Returns false when its file is
// missing.
static bool
consider(hub_t *hub, peer_t *peer, const Edri__Link__TypeInfo *info)
{
    char why[400];
    edri_err_t err = catalog_offer(
        hub->catalog, peer->session, peer->name, info, why, sizeof why);
    if (err == EDRI_NOT_FOUND) {
        return false;
    }
    if (err != EDRI_OK) {
        refuse_type(peer, info->type, err, why);
    }
    return true;
}

static bool
has_file(
    ProtobufCBinaryData *files, size_t count, const ProtobufCBinaryData *file)
{
    for (size_t i = 0; i < count; i++) {
        if (files[i].len == file->len &&
            memcmp(files[i].data, file->data, file->len) == 0) {
            return true;
        }
    }
    return false;
}

static void
on_offer(hub_t *hub, peer_t *peer, const Edri__Link__Offer *offer)
{
    if (offer->n_types > OFFERS_MAX - peer->offer_count) {
        peer_refuse(hub, peer, EDRI_OVERLOADED, "more than 20000 types");
        return;
    }
    ProtobufCBinaryData *files = mem_new((offer->n_types + 1) * sizeof *files);
    size_t count = 0;
    for (size_t i = 0; i < offer->n_types; i++) {
        Edri__Link__TypeInfo *info = offer->types[i];
        if (info->file.len == 32 && !consider(hub, peer, info)) {
            keep_offer(peer, info);
            if (!has_file(files, count, &info->file)) {
                files[count++] = info->file;
            }
        }
    }
    peer->pending_files += count;
    if (count > 0 || peer->pending_files == 0) {
        say_need(hub, peer, files, count);
    }
    free(files);
}

static void
on_describe(hub_t *hub, peer_t *peer, const Edri__Link__Describe *describe)
{
    char why[400];
    edri_err_t err = catalog_file(
        hub->catalog, &describe->file, &describe->descriptors, why, sizeof why);
    for (size_t i = peer->offer_count; i > 0; i--) {
        Edri__Link__TypeInfo *info = peer->offers[i - 1];
        if (!has_file(&info->file, 1, &describe->file)) {
            continue;
        }
        if (err != EDRI_OK) {
            refuse_type(peer, info->type, err, why);
        } else {
            (void)consider(hub, peer, info);
        }
        free_info(info);
        peer->offers[i - 1] = peer->offers[--peer->offer_count];
    }
    if (peer->pending_files > 0 && --peer->pending_files == 0) {
        say_need(hub, peer, NULL, 0);
    }
}

static void
on_demand(hub_t *hub, peer_t *peer, const Edri__Link__Demand *demand)
{
    // A guest's terminal must not stop anybody's production.
    for (size_t i = 0; peer->guest && i < demand->n_add; i++) {
        demand->add[i]->lossy = true;
    }
    // Only the types of this very Demand are told back.
    Edri__Link__Refusal **list = mem_new((demand->n_add + 1) * sizeof *list);
    size_t count = 0;
    for (size_t i = 0; i < demand->n_add; i++) {
        for (size_t j = 0; j < peer->refused_count; j++) {
            if (peer->refused[j]->type == demand->add[i]->type) {
                list[count++] = peer->refused[j];
                break;
            }
        }
    }
    directory_demand(
        hub->directory, peer->session, demand, list, count, hub->now_ms);
    free(list);
}

// ----- answers for tools

// answer_t is an Answer being made.
typedef struct answer {
    hub_t *hub;
    const Edri__Link__Ask *ask;
    Edri__Link__Answer word;
} answer_t;

static char **
add_text(char **list, size_t *count, char *text)
{
    list = mem_resize(list, (*count + 1) * sizeof *list);
    list[(*count)++] = text;
    return list;
}

typedef struct managers {
    uint64_t life;
    char **names;
    size_t count;
} managers_t;

static void
add_manager(uint64_t type, const Edri__Link__Member *member, void *arg)
{
    (void)type;
    managers_t *managers = arg;
    bool new = member->life == managers->life;
    for (size_t i = 0; new &&i < managers->count; i++) {
        new = !streq(managers->names[i], member->manager);
    }
    if (new) {
        managers->names = add_text(
            managers->names, &managers->count, str_dup(member->manager));
    }
}

static void
add_node(answer_t *answer, const peer_t *peer)
{
    Edri__Link__NodeInfo *info = mem_new(sizeof *info);
    edri__link__node_info__init(info);
    managers_t managers = {.life = peer->life};
    directory_each(answer->hub->directory, add_manager, &managers);
    info->name = str_dup(peer->name);
    info->life = peer->life;
    info->guest = peer->guest;
    info->host = str_dup(peer->host);
    info->pid = peer->pid;
    info->software = str_dup(peer->software);
    info->connected_ms = (uint64_t)(answer->hub->now_ms - peer->since_ms);
    info->silent_ms = (uint64_t)(answer->hub->now_ms - peer->heard_ms);
    info->managers = managers.names;
    info->n_managers = managers.count;
    info->frames_in = peer->received;
    info->frames_out = peer->sent;
    info->queued_bytes = peer->queued;
    info->dropped = peer->dropped;
    Edri__Link__Answer *word = &answer->word;
    word->nodes =
        mem_resize(word->nodes, (word->n_nodes + 1) * sizeof *word->nodes);
    word->nodes[word->n_nodes++] = info;
}

typedef struct handlers {
    Edri__Link__TypeUse *use;
} handlers_t;

static void
add_handler(uint64_t type, const Edri__Link__Member *member, void *arg)
{
    Edri__Link__TypeUse *use = ((handlers_t *)arg)->use;
    if (type == use->type && member->role == EDRI__LINK__ROLE__HANDLER) {
        use->handlers = add_text(use->handlers, &use->n_handlers,
            str_printf("%s/%s", member->node, member->manager));
    }
}

static void
add_type(const char *name, uint64_t type, const uint8_t hash[32],
    const uint64_t *emitters, size_t emitter_count, void *arg)
{
    answer_t *answer = arg;
    Edri__Link__Answer *word = &answer->word;
    if (answer->ask->type[0] != '\0' && !streq(answer->ask->type, name)) {
        return;
    }
    Edri__Link__TypeInfo *info = mem_new(sizeof *info);
    edri__link__type_info__init(info);
    info->name = str_dup(name);
    info->type = type;
    info->file.len = 32;
    info->file.data = memcpy(mem_resize(NULL, 32), hash, 32);
    word->types =
        mem_resize(word->types, (word->n_types + 1) * sizeof *word->types);
    word->types[word->n_types++] = info;
    Edri__Link__TypeUse *use = mem_new(sizeof *use);
    edri__link__type_use__init(use);
    use->type = type;
    for (size_t i = 0; i < emitter_count; i++) {
        const peer_t *peer = peer_of_session(answer->hub, emitters[i]);
        if (peer != NULL) {
            use->emitters =
                add_text(use->emitters, &use->n_emitters, str_dup(peer->name));
        }
    }
    handlers_t handlers = {use};
    directory_each(answer->hub->directory, add_handler, &handlers);
    word->uses =
        mem_resize(word->uses, (word->n_uses + 1) * sizeof *word->uses);
    word->uses[word->n_uses++] = use;
}

static void
add_files(answer_t *answer)
{
    Edri__Link__Answer *word = &answer->word;
    word->files = mem_new((answer->ask->n_files + 1) * sizeof *word->files);
    for (size_t i = 0; i < answer->ask->n_files; i++) {
        const ProtobufCBinaryData *hash = &answer->ask->files[i];
        ProtobufCBinaryData data;
        if (!catalog_find_file(answer->hub->catalog, hash, &data)) {
            continue;
        }
        Edri__Link__Describe *file = mem_new(sizeof *file);
        edri__link__describe__init(file);
        file->file.len = hash->len;
        file->file.data =
            memcpy(mem_resize(NULL, hash->len), hash->data, hash->len);
        file->descriptors.len = data.len;
        file->descriptors.data =
            memcpy(mem_resize(NULL, data.len), data.data, data.len);
        word->files[word->n_files++] = file;
    }
}

// ----- questions to nodes

// A question that is passed on to nodes has its asker's session in the number.
#define ASK_BITS 20

// add_books adds what waits here.
static void
add_books(answer_t *answer)
{
    hub_t *hub = answer->hub;
    Edri__Link__Books *books = mem_new(sizeof *books);
    edri__link__books__init(books);
    books->life = hub->life;
    books->name = str_dup(hub->name);
    books->of_switch = true;
    books->queues = mem_new((map_size(hub->sessions) + 1) * sizeof(void *));
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        const peer_t *peer = value;
        if (peer->guest || peer->state == PEER_CLAIMS) {
            continue;
        }
        Edri__Link__QueueInfo *row = mem_new(sizeof *row);
        edri__link__queue_info__init(row);
        row->name = str_printf("to %s", peer->name);
        row->bytes = peer->queued;
        row->limit = hub->queue_max;
        books->queues[books->n_queues++] = row;
    }
    answer->word.books = books;
}

// is_asked says whether a question that is passed on is for that node.
static bool
is_asked(const Edri__Link__Ask *ask, const peer_t *peer)
{
    return !peer->guest && peer->state == PEER_UP &&
           (ask->node[0] == '\0' || streq(ask->node, peer->name));
}

// pass_on asks the nodes; they answer to the asker.
static void
pass_on(answer_t *answer, peer_t *asker)
{
    hub_t *hub = answer->hub;
    Edri__Link__Ask ask = EDRI__LINK__ASK__INIT;
    control_t control = EDRI__LINK__CONTROL__INIT;
    uint64_t low = answer->ask->number & ((1u << ASK_BITS) - 1);
    asker->audits = true;
    ask.books = answer->ask->books;
    ask.letters = answer->ask->letters;
    ask.health = answer->ask->health;
    ask.reload = answer->ask->reload;
    ask.tunnels = answer->ask->tunnels;
    ask.node = answer->ask->node;
    ask.number = asker->session << ASK_BITS | low;
    control.word_case = EDRI__LINK__CONTROL__WORD_ASK;
    control.ask = &ask;
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(hub->sessions, &cursor, NULL, &value)) {
        peer_t *peer = value;
        if (is_asked(&ask, peer)) {
            answer->word.asked = add_text(
                answer->word.asked, &answer->word.n_asked, str_dup(peer->name));
            peer_say(hub, peer, &control);
        }
    }
}

// on_answer gives a node's answer to whoever asked.
static void
on_answer(hub_t *hub, const peer_t *from, Edri__Link__Answer *answer)
{
    peer_t *asker = peer_of_session(hub, answer->number >> ASK_BITS);
    if (asker == NULL || !asker->audits || answer->life != from->life) {
        hub->malformed++; // nobody has asked, or it has left
        return;
    }
    control_t control = EDRI__LINK__CONTROL__INIT;
    answer->number &= (1u << ASK_BITS) - 1;
    control.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
    control.answer = answer;
    peer_say(hub, asker, &control);
}

static void
on_ask(hub_t *hub, peer_t *peer, const Edri__Link__Ask *ask)
{
    answer_t answer = {hub, ask, EDRI__LINK__ANSWER__INIT};
    Edri__Link__Answer *word = mem_new(sizeof *word);
    answer.word.number = ask->number;
    answer.word.life = hub->life;
    answer.word.name = str_dup(hub->name);
    size_t cursor = 0;
    void *value = NULL;
    while (ask->nodes && map_next(hub->sessions, &cursor, NULL, &value)) {
        if (((peer_t *)value)->state != PEER_CLAIMS) {
            add_node(&answer, value);
        }
    }
    if (ask->types) {
        catalog_each_type(hub->catalog, add_type, &answer);
    }
    add_files(&answer);
    if (ask->books) {
        add_books(&answer);
    }
    if (ask->books || ask->letters != NULL || ask->health ||
        ask->reload != NULL || ask->tunnels) {
        pass_on(&answer, peer);
    }
    *word = answer.word;
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_ANSWER;
    control.answer = word;
    peer_say(hub, peer, &control);
    edri__link__answer__free_unpacked(word, NULL);
}

// ----- all words

void
word_handle(hub_t *hub, peer_t *peer, const control_t *word)
{
    switch (word->word_case) {
    case EDRI__LINK__CONTROL__WORD_BYE:
        peer_bye(hub, peer);
        break;
    case EDRI__LINK__CONTROL__WORD_ALIVE:
        peer_alive(hub, peer);
        break;
    case EDRI__LINK__CONTROL__WORD_OFFER:
        on_offer(hub, peer, word->offer);
        break;
    case EDRI__LINK__CONTROL__WORD_DESCRIBE:
        on_describe(hub, peer, word->describe);
        break;
    case EDRI__LINK__CONTROL__WORD_DEMAND:
        on_demand(hub, peer, word->demand);
        break;
    case EDRI__LINK__CONTROL__WORD_RESOLVE:
        directory_resolve(hub->directory, peer->session, word->resolve->types,
            word->resolve->n_types);
        break;
    case EDRI__LINK__CONTROL__WORD_RELEASE:
        directory_release(hub->directory, peer->session, word->release->types,
            word->release->n_types);
        break;
    case EDRI__LINK__CONTROL__WORD_TABLE_SEEN:
        directory_seen(hub->directory, peer->session, word->table_seen->type,
            word->table_seen->version);
        break;
    case EDRI__LINK__CONTROL__WORD_ASK:
        on_ask(hub, peer, word->ask);
        break;
    case EDRI__LINK__CONTROL__WORD_ANSWER:
        on_answer(hub, peer, word->answer);
        break;
    case EDRI__LINK__CONTROL__WORD_HEARTBEAT:
        peer->beat = word->heartbeat->number;
        peer_beat(hub, peer); // it was heard
        break;
    case EDRI__LINK__CONTROL__WORD_HELLO:
    case EDRI__LINK__CONTROL__WORD_WELCOME:
    case EDRI__LINK__CONTROL__WORD_REFUSED:
    case EDRI__LINK__CONTROL__WORD_WHO:
    case EDRI__LINK__CONTROL__WORD_REPLACED:
    case EDRI__LINK__CONTROL__WORD_PROBE:
    case EDRI__LINK__CONTROL__WORD_NEED:
    case EDRI__LINK__CONTROL__WORD_IN_FORCE:
    case EDRI__LINK__CONTROL__WORD_TABLE:
    case EDRI__LINK__CONTROL__WORD_CHANGE:
    case EDRI__LINK__CONTROL__WORD_DROPPED:
    case EDRI__LINK__CONTROL__WORD_GONE:
    case EDRI__LINK__CONTROL__WORD_WORK:
    case EDRI__LINK__CONTROL__WORD_READY:
    case EDRI__LINK__CONTROL__WORD_FLUSH:
    case EDRI__LINK__CONTROL__WORD_QUIT:
    case EDRI__LINK__CONTROL__WORD_GATE:
    case EDRI__LINK__CONTROL__WORD_DRAIN:
    case EDRI__LINK__CONTROL__WORD__NOT_SET:
    case _EDRI__LINK__CONTROL__WORD__CASE_IS_INT_SIZE:
        hub->malformed++;
        peer_refuse(hub, peer, EDRI_PROTO,
            "a word that only a switch says, or a second HELLO");
        break;
    }
}
