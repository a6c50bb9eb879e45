// SPDX-License-Identifier: MIT
// directory.c - a switch's knowledge of who demands what.

#include "core/directory.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "core/audience.h"

typedef struct row {
    uint64_t session;
    Edri__Link__Member member; // its texts are ours
} row_t;

typedef struct table {
    uint64_t type;
    uint64_t version;
    row_t *rows;
    size_t row_count;
    audience_t audience;
} table_t;

typedef struct session {
    uint64_t number;
    uint64_t life;
    char *node;
} session_t;

// made_t is a version that a Demand made.
typedef struct made {
    table_t *table;
    wait_t wait;
} made_t;

// waiting_t is a Demand that is not in force yet.
typedef struct waiting {
    struct waiting *next;
    uint64_t session;
    uint64_t generation;
    int64_t until_ms;
    made_t *made;
    size_t made_count;
    size_t open;                   // of these, that somebody has not seen
    Edri__Link__Refusal **refused; // copies
    size_t refused_count;
} waiting_t;

struct directory {
    directory_send_fn *send;
    void *arg;
    int64_t late_ms;
    bool settled;
    map_t *tables;      // type → table_t
    map_t *sessions;    // number → session_t
    waiting_t *waiting; // oldest first
    size_t ready;       // of these, in force and not confirmed yet
};

// ----- making and freeing

directory_t *
directory_new(directory_send_fn *send, void *arg, int64_t late_ms)
{
    directory_t *self = mem_new(sizeof *self);
    self->send = send;
    self->arg = arg;
    self->late_ms = late_ms;
    self->tables = map_new();
    self->sessions = map_new();
    return self;
}

static void
free_row(row_t *row)
{
    free(row->member.node);
    free(row->member.manager);
    free(row->member.replay.data);
}

static void
free_table(table_t *table)
{
    for (size_t i = 0; i < table->row_count; i++) {
        free_row(&table->rows[i]);
    }
    free(table->rows);
    audience_clear(&table->audience);
    free(table);
}

static void
free_waiting(waiting_t *waiting)
{
    for (size_t i = 0; i < waiting->refused_count; i++) {
        free(waiting->refused[i]->text);
        free(waiting->refused[i]);
    }
    free(waiting->refused);
    free(waiting->made);
    free(waiting);
}

static void
free_session(session_t *session)
{
    free(session->node);
    free(session);
}

void
directory_destroy(directory_t **self_p)
{
    directory_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->tables, &cursor, NULL, &value)) {
        free_table(value);
    }
    cursor = 0;
    while (map_next(self->sessions, &cursor, NULL, &value)) {
        free_session(value);
    }
    while (self->waiting != NULL) {
        waiting_t *next = self->waiting->next;
        free_waiting(self->waiting);
        self->waiting = next;
    }
    map_destroy(&self->tables);
    map_destroy(&self->sessions);
    free(self);
}

static table_t *
find_table(directory_t *self, uint64_t type)
{
    table_t *table = map_get(self->tables, type);
    if (table == NULL) {
        table = mem_new(sizeof *table);
        table->type = type;
        audience_init(&table->audience);
        (void)map_put(self->tables, type, table);
    }
    return table;
}

// drop_table forgets a type that nobody demands, asks for or waits for.
static void
drop_table(directory_t *self, table_t *table)
{
    if (table->row_count == 0 && map_size(table->audience.holders) == 0 &&
        table->audience.wait_count == 0) {
        (void)map_take(self->tables, table->type);
        free_table(table);
    }
}

// ----- changes

static void
tell_change(directory_t *self, table_t *table, Edri__Link__Member *added,
    Edri__Link__Member *removed)
{
    Edri__Link__Change change = EDRI__LINK__CHANGE__INIT;
    change.type = table->type;
    change.version = ++table->version;
    change.settled = self->settled;
    change.added = &added;
    change.n_added = added != NULL;
    change.removed = &removed;
    change.n_removed = removed != NULL;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_CHANGE;
    word.change = &change;
    size_t cursor = 0;
    uint64_t session = 0;
    void *value = NULL;
    while (map_next(table->audience.holders, &cursor, &session, &value)) {
        self->send(session, &word, self->arg);
    }
}

static ssize_t
find_row(
    const table_t *table, uint64_t life, uint32_t target, Edri__Link__Role role)
{
    for (size_t i = 0; i < table->row_count; i++) {
        const Edri__Link__Member *member = &table->rows[i].member;
        if (member->life == life && member->target == target &&
            member->role == role) {
            return (ssize_t)i;
        }
    }
    return -1;
}

// set_replay keeps what the member wants to be given of the past.
static void
set_replay(Edri__Link__Member *member, const ProtobufCBinaryData *replay)
{
    free(member->replay.data);
    member->replay = (ProtobufCBinaryData){0};
    if (replay->len > 0) {
        member->replay.data = mem_resize(NULL, replay->len);
        member->replay.len = replay->len;
        memcpy(member->replay.data, replay->data, replay->len);
    }
}

// add_row adds a demand.  Returns false when it was there.
static bool
add_row(directory_t *self, const session_t *session,
    const Edri__Link__Wanted *wanted)
{
    table_t *table = find_table(self, wanted->type);
    ssize_t at = find_row(table, session->life, wanted->target, wanted->role);
    if (at >= 0) {
        table->rows[at].session = session->number;
        set_replay(&table->rows[at].member, &wanted->replay);
        return false;
    }
    table->rows =
        mem_resize(table->rows, (table->row_count + 1) * sizeof *table->rows);
    row_t *row = &table->rows[table->row_count++];
    row->session = session->number;
    edri__link__member__init(&row->member);
    row->member.life = session->life;
    row->member.node = str_dup(session->node);
    row->member.manager = str_dup(wanted->manager);
    row->member.target = wanted->target;
    row->member.role = wanted->role;
    row->member.lossy = wanted->lossy;
    set_replay(&row->member, &wanted->replay);
    tell_change(self, table, &row->member, NULL);
    return true;
}

static void
remove_row(directory_t *self, table_t *table, size_t at)
{
    row_t row = table->rows[at];
    table->rows[at] = table->rows[--table->row_count];
    tell_change(self, table, NULL, &row.member);
    free_row(&row);
}

// ----- in force

// note_made lets a Demand wait for the table's present version.
static void
note_made(waiting_t *waiting, table_t *table)
{
    made_t *made = &waiting->made[waiting->made_count++];
    made->table = table;
    made->wait.session = waiting->session;
    made->wait.open = &waiting->open;
    audience_wait(&table->audience, &made->wait, table->version);
}

static void
end_waiting(directory_t *self, waiting_t *waiting)
{
    for (size_t i = 0; i < waiting->made_count; i++) {
        made_t *made = &waiting->made[i];
        audience_forget(&made->table->audience, &made->wait);
        drop_table(self, made->table);
    }
    free_waiting(waiting);
}

// is_late says whether a session still has to see what the Demand made.
static bool
is_late(const waiting_t *waiting, uint64_t session)
{
    for (size_t i = 0; i < waiting->made_count; i++) {
        const made_t *made = &waiting->made[i];
        if (audience_misses(
                &made->table->audience, session, made->wait.version)) {
            return true;
        }
    }
    return false;
}

static size_t
find_late(const directory_t *self, const waiting_t *waiting, char **names)
{
    size_t count = 0;
    size_t cursor = 0;
    void *value = NULL;
    if (waiting->open == 0) {
        return 0;
    }
    while (map_next(self->sessions, &cursor, NULL, &value)) {
        const session_t *session = value;
        // The node that demands knows its own managers.
        if (session->number != waiting->session &&
            is_late(waiting, session->number)) {
            names[count++] = session->node;
        }
    }
    return count;
}

static void
confirm(directory_t *self, const waiting_t *waiting, char **late, size_t count)
{
    Edri__Link__InForce in_force = EDRI__LINK__IN_FORCE__INIT;
    in_force.generation = waiting->generation;
    in_force.refused = waiting->refused;
    in_force.n_refused = waiting->refused_count;
    in_force.late = late;
    in_force.n_late = count;
    control_t word = EDRI__LINK__CONTROL__INIT;
    word.word_case = EDRI__LINK__CONTROL__WORD_IN_FORCE;
    word.in_force = &in_force;
    self->send(waiting->session, &word, self->arg);
}

// settle_waiting confirms every Demand that is in force now, or overdue.
static void
settle_waiting(directory_t *self, int64_t now_ms)
{
    if (self->ready == 0 &&
        (self->waiting == NULL || now_ms < self->waiting->until_ms)) {
        return;
    }
    char **late = mem_new((map_size(self->sessions) + 1) * sizeof(char *));
    for (waiting_t **at = &self->waiting; *at != NULL;) {
        waiting_t *waiting = *at;
        if (waiting->open > 0 && now_ms < waiting->until_ms) {
            at = &waiting->next;
            continue;
        }
        confirm(self, waiting, late, find_late(self, waiting, late));
        *at = waiting->next;
        end_waiting(self, waiting);
    }
    self->ready = 0;
    free(late);
}

static bool
is_refused(Edri__Link__Refusal **refused, size_t refused_count, uint64_t type)
{
    for (size_t i = 0; i < refused_count; i++) {
        if (refused[i]->type == type) {
            return true;
        }
    }
    return false;
}

static void
copy_refusals(waiting_t *waiting, Edri__Link__Refusal **refused, size_t count)
{
    waiting->refused = mem_new((count + 1) * sizeof *waiting->refused);
    for (size_t i = 0; i < count; i++) {
        Edri__Link__Refusal *copy = mem_new(sizeof *copy);
        edri__link__refusal__init(copy);
        copy->type = refused[i]->type;
        copy->error = refused[i]->error;
        copy->text = str_dup(refused[i]->text);
        waiting->refused[waiting->refused_count++] = copy;
    }
}

static bool
is_among(const table_t *table, const row_t *row, Edri__Link__Wanted **wanted,
    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (wanted[i]->type == table->type &&
            wanted[i]->target == row->member.target &&
            wanted[i]->role == row->member.role) {
            return true;
        }
    }
    return false;
}

// remove_stale withdraws what a life demanded in its session before and does
// not demand any more: the first Demand of a session is whole.
static void
remove_stale(
    directory_t *self, const session_t *who, const Edri__Link__Demand *demand)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->tables, &cursor, NULL, &value)) {
        table_t *table = value;
        for (size_t i = table->row_count; i > 0; i--) {
            const row_t *row = &table->rows[i - 1];
            if (row->session == who->number &&
                !is_among(table, row, demand->add, demand->n_add)) {
                remove_row(self, table, i - 1);
            }
        }
    }
}

void
directory_demand(directory_t *self, uint64_t session,
    const Edri__Link__Demand *demand, Edri__Link__Refusal **refused,
    size_t refused_count, int64_t now_ms)
{
    const session_t *who = map_get(self->sessions, session);
    if (who == NULL) {
        return;
    }
    waiting_t *waiting = mem_new(sizeof *waiting);
    waiting->session = session;
    waiting->generation = demand->generation;
    waiting->until_ms = now_ms + self->late_ms;
    waiting->made =
        mem_new((demand->n_add + demand->n_remove + 1) * sizeof(made_t));
    copy_refusals(waiting, refused, refused_count);
    if (demand->generation == 1) {
        remove_stale(self, who, demand);
    }
    for (size_t i = 0; i < demand->n_add; i++) {
        const Edri__Link__Wanted *wanted = demand->add[i];
        if (!is_refused(refused, refused_count, wanted->type)) {
            // Also when it was there: its holders may not have seen it yet.
            (void)add_row(self, who, wanted);
            note_made(waiting, find_table(self, wanted->type));
        }
    }
    for (size_t i = 0; i < demand->n_remove; i++) {
        const Edri__Link__Wanted *wanted = demand->remove[i];
        table_t *table = map_get(self->tables, wanted->type);
        ssize_t at = table != NULL ? find_row(table, who->life, wanted->target,
                                         wanted->role)
                                   : -1;
        if (at >= 0) {
            remove_row(self, table, (size_t)at);
            note_made(waiting, table);
        }
    }
    waiting_t **end = &self->waiting;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = waiting;
    self->ready += waiting->open == 0;
    settle_waiting(self, now_ms);
}

// ----- sessions

void
directory_settled(directory_t *self)
{
    self->settled = true;
}

void
directory_open(
    directory_t *self, uint64_t session, uint64_t life, const char *node)
{
    session_t *mine = mem_new(sizeof *mine);
    *mine = (session_t){session, life, str_dup(node)};
    mine = map_put(self->sessions, session, mine);
    if (mine != NULL) {
        free_session(mine);
    }
}

static void
forget_waiting(directory_t *self, uint64_t session)
{
    for (waiting_t **at = &self->waiting; *at != NULL;) {
        waiting_t *waiting = *at;
        if (waiting->session == session) {
            *at = waiting->next;
            end_waiting(self, waiting);
        } else {
            at = &waiting->next;
        }
    }
}

void
directory_move(directory_t *self, uint64_t from, uint64_t to)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->tables, &cursor, NULL, &value)) {
        table_t *table = value;
        self->ready += audience_remove(&table->audience, from);
        for (size_t i = 0; i < table->row_count; i++) {
            if (table->rows[i].session == from) {
                table->rows[i].session = to;
            }
        }
    }
    forget_waiting(self, from);
    session_t *session = map_take(self->sessions, from);
    if (session != NULL) {
        free_session(session);
    }
}

void
directory_close(directory_t *self, uint64_t session)
{
    size_t cursor = 0;
    void *value = NULL;
    forget_waiting(self, session);
    session_t *mine = map_take(self->sessions, session);
    if (mine == NULL) {
        return;
    }
    free_session(mine);
    while (map_next(self->tables, &cursor, NULL, &value)) {
        table_t *table = value;
        self->ready += audience_remove(&table->audience, session);
        for (size_t i = table->row_count; i > 0; i--) {
            if (table->rows[i - 1].session == session) {
                remove_row(self, table, i - 1);
            }
        }
    }
    settle_waiting(self, 0);
}

// ----- tables

static void
send_table(directory_t *self, uint64_t session, const table_t *table)
{
    Edri__Link__Table word = EDRI__LINK__TABLE__INIT;
    word.type = table->type;
    word.version = table->version;
    word.settled = self->settled;
    word.members = mem_new((table->row_count + 1) * sizeof *word.members);
    for (size_t i = 0; i < table->row_count; i++) {
        word.members[word.n_members++] = &table->rows[i].member;
    }
    control_t control = EDRI__LINK__CONTROL__INIT;
    control.word_case = EDRI__LINK__CONTROL__WORD_TABLE;
    control.table = &word;
    self->send(session, &control, self->arg);
    free(word.members);
}

void
directory_resolve(
    directory_t *self, uint64_t session, const uint64_t *types, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        table_t *table = find_table(self, types[i]);
        audience_add(&table->audience, session);
        send_table(self, session, table);
    }
}

void
directory_release(
    directory_t *self, uint64_t session, const uint64_t *types, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        table_t *table = map_get(self->tables, types[i]);
        if (table != NULL) {
            self->ready += audience_remove(&table->audience, session);
            drop_table(self, table);
        }
    }
    settle_waiting(self, 0);
}

void
directory_seen(
    directory_t *self, uint64_t session, uint64_t type, uint64_t version)
{
    table_t *table = map_get(self->tables, type);
    if (table != NULL && version <= table->version) {
        self->ready += audience_seen(&table->audience, session, version);
        settle_waiting(self, 0);
    }
}

// ----- time and looking

void
directory_tick(directory_t *self, int64_t now_ms)
{
    settle_waiting(self, now_ms);
}

int64_t
directory_next(const directory_t *self)
{
    return self->waiting != NULL ? self->waiting->until_ms : INT64_MAX;
}

void
directory_each(const directory_t *self, directory_visit_fn *visit, void *arg)
{
    size_t cursor = 0;
    void *value = NULL;
    while (map_next(self->tables, &cursor, NULL, &value)) {
        const table_t *table = value;
        for (size_t i = 0; i < table->row_count; i++) {
            visit(table->type, &table->rows[i].member, arg);
        }
    }
}
