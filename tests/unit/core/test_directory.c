// SPDX-License-Identifier: MIT
// test_directory.c - who demands what: tables, changes, in force.

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/directory.h"

TestSuite(directory, .timeout = 60);

enum {
    T1 = 101,
    T2 = 102,
    T3 = 103,
    LATE_MS = 1000
};

// ----- what the directory says, kept per session

typedef struct sent {
    uint64_t session;
    control_t *word;
} sent_t;

typedef struct fixture {
    directory_t *directory;
    sent_t sent[4096];
    size_t count;
} fixture_t;

static void
keep(uint64_t session, const control_t *word, void *arg)
{
    fixture_t *self = arg;
    size_t size = edri__link__control__get_packed_size(word);
    uint8_t *bytes = malloc(size + 1);
    edri__link__control__pack(word, bytes);
    cr_assert_lt(self->count, 4096);
    self->sent[self->count++] =
        (sent_t){session, edri__link__control__unpack(NULL, size, bytes)};
    free(bytes);
}

static fixture_t *
start(void)
{
    fixture_t *self = calloc(1, sizeof *self);
    self->directory = directory_new(keep, self, LATE_MS);
    for (uint64_t session = 1; session <= 4; session++) {
        char name[8];
        (void)snprintf(name, sizeof name, "n%d", (int)session);
        directory_open(self->directory, session, 1000 + session, name);
    }
    return self;
}

static void
forget(fixture_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        edri__link__control__free_unpacked(self->sent[i].word, NULL);
    }
    self->count = 0;
}

static void
stop(fixture_t **self_p)
{
    forget(*self_p);
    directory_destroy(&(*self_p)->directory);
    free(*self_p);
    *self_p = NULL;
}

// last returns the last word of that kind for the session, or NULL.
static const control_t *
last(
    const fixture_t *self, uint64_t session, Edri__Link__Control__WordCase kind)
{
    for (size_t i = self->count; i > 0; i--) {
        const sent_t *sent = &self->sent[i - 1];
        if (sent->session == session && sent->word->word_case == kind) {
            return sent->word;
        }
    }
    return NULL;
}

#define LAST(self, session, kind) \
    last(self, session, EDRI__LINK__CONTROL__WORD_##kind)

static void
demand(fixture_t *self, uint64_t session, uint64_t generation, bool add,
    uint64_t type, uint32_t target, int64_t now_ms)
{
    Edri__Link__Wanted wanted = EDRI__LINK__WANTED__INIT;
    Edri__Link__Wanted *list[] = {&wanted};
    Edri__Link__Demand word = EDRI__LINK__DEMAND__INIT;
    wanted.type = type;
    wanted.target = target;
    wanted.manager = (char[]){"m"};
    word.generation = generation;
    *(add ? &word.add : &word.remove) = list;
    *(add ? &word.n_add : &word.n_remove) = type != 0;
    directory_demand(self->directory, session, &word, NULL, 0, now_ms);
}

static void
resolve(fixture_t *self, uint64_t session, uint64_t type)
{
    directory_resolve(self->directory, session, &type, 1);
}

static void
seen(fixture_t *self, uint64_t session, uint64_t type, uint64_t version)
{
    directory_seen(self->directory, session, type, version);
}

Test(directory, example)
{
    fixture_t *self = start();
    // Nobody holds the type's table: the demand is in force at once.
    demand(self, 1, 1, true, T1, 7, 0);
    const control_t *word = LAST(self, 1, IN_FORCE);
    cr_assert_not_null(word);
    cr_expect_eq(word->in_force->generation, 1);
    cr_expect_eq(word->in_force->n_late, 0);

    resolve(self, 2, T1);
    word = LAST(self, 2, TABLE);
    cr_assert_not_null(word);
    cr_assert_eq(word->table->n_members, 1);
    cr_expect_eq(word->table->members[0]->life, 1001);
    cr_expect_eq(word->table->members[0]->target, 7);
    cr_expect_str_eq(word->table->members[0]->node, "n1");
    cr_expect_eq(word->table->version, 1);
    cr_expect_not(word->table->settled);
    seen(self, 2, T1, 1);

    // A second member: the holder hears of it, and must have seen it.
    demand(self, 3, 1, true, T1, 9, 0);
    word = LAST(self, 2, CHANGE);
    cr_assert_not_null(word);
    cr_expect_eq(word->change->version, 2);
    cr_assert_eq(word->change->n_added, 1);
    cr_expect_eq(word->change->added[0]->life, 1003);
    cr_expect_null(LAST(self, 3, IN_FORCE));
    cr_expect_eq(directory_next(self->directory), LATE_MS);
    seen(self, 2, T1, 2);
    cr_expect_not_null(LAST(self, 3, IN_FORCE));
    cr_expect_eq(directory_next(self->directory), INT64_MAX);

    // The end of a session is a change, too.
    directory_close(self->directory, 1);
    word = LAST(self, 2, CHANGE);
    cr_expect_eq(word->change->version, 3);
    cr_assert_eq(word->change->n_removed, 1);
    cr_expect_eq(word->change->removed[0]->life, 1001);
    stop(&self);
}

Test(directory, a_late_holder_is_named)
{
    fixture_t *self = start();
    resolve(self, 2, T1);
    resolve(self, 3, T1);
    demand(self, 1, 1, true, T1, 7, 5000);
    seen(self, 3, T1, 1);
    directory_tick(self->directory, 5999);
    cr_expect_null(LAST(self, 1, IN_FORCE));
    directory_tick(self->directory, 6000);
    const control_t *word = LAST(self, 1, IN_FORCE);
    cr_assert_not_null(word);
    cr_assert_eq(word->in_force->n_late, 1);
    cr_expect_str_eq(word->in_force->late[0], "n2");
    stop(&self);
}

Test(directory, a_late_holder_that_ends_holds_nothing_up)
{
    fixture_t *self = start();
    resolve(self, 2, T1);
    demand(self, 1, 1, true, T1, 7, 0);
    cr_expect_null(LAST(self, 1, IN_FORCE));
    directory_close(self->directory, 2);
    const control_t *word = LAST(self, 1, IN_FORCE);
    cr_assert_not_null(word);
    cr_expect_eq(word->in_force->n_late, 0);
    stop(&self);
}

Test(directory, a_node_is_not_late_for_itself)
{
    fixture_t *self = start();
    resolve(self, 1, T1);
    demand(self, 1, 1, true, T1, 7, 0);
    cr_expect_not_null(LAST(self, 1, IN_FORCE));
    cr_expect_not_null(LAST(self, 1, CHANGE), "but it is told");
    stop(&self);
}

Test(directory, withdrawing_and_releasing)
{
    fixture_t *self = start();
    resolve(self, 2, T1);
    demand(self, 1, 1, true, T1, 7, 0);
    seen(self, 2, T1, 1);
    demand(self, 1, 2, false, T1, 7, 0);
    const control_t *word = LAST(self, 2, CHANGE);
    cr_expect_eq(word->change->n_removed, 1);
    cr_expect_eq(word->change->version, 2);
    seen(self, 2, T1, 2);
    cr_expect_eq(LAST(self, 1, IN_FORCE)->in_force->generation, 2);
    // A holder that has released hears nothing more.
    uint64_t type = T1;
    directory_release(self->directory, 2, &type, 1);
    forget(self);
    demand(self, 1, 3, true, T1, 7, 0);
    cr_expect_null(LAST(self, 2, CHANGE));
    cr_expect_not_null(LAST(self, 1, IN_FORCE));
    // What is not there can be withdrawn.
    demand(self, 1, 4, false, T2, 7, 0);
    cr_expect_eq(LAST(self, 1, IN_FORCE)->in_force->generation, 4);
    stop(&self);
}

Test(directory, a_life_that_comes_back_keeps_what_it_states_again)
{
    fixture_t *self = start();
    demand(self, 1, 1, true, T1, 7, 0);
    demand(self, 1, 2, true, T2, 8, 0);
    resolve(self, 2, T1);
    resolve(self, 2, T2);
    forget(self);
    directory_open(self->directory, 9, 1001, "n1");
    directory_move(self->directory, 1, 9);
    cr_expect_null(LAST(self, 2, CHANGE), "an outage is no change");
    // It has lost its manager of T2 meanwhile.
    demand(self, 9, 1, true, T1, 7, 0);
    const control_t *word = LAST(self, 2, CHANGE);
    cr_assert_not_null(word);
    cr_expect_eq(word->change->type, T2);
    cr_assert_eq(word->change->n_removed, 1);
    cr_expect_eq(word->change->removed[0]->target, 8);
    // The next Demand adds.
    demand(self, 9, 2, true, T3, 7, 0);
    resolve(self, 3, T1);
    cr_expect_eq(LAST(self, 3, TABLE)->table->n_members, 1);
    stop(&self);
}

Test(directory, refused_types_go_back)
{
    fixture_t *self = start();
    Edri__Link__Wanted good = EDRI__LINK__WANTED__INIT;
    Edri__Link__Wanted bad = EDRI__LINK__WANTED__INIT;
    Edri__Link__Wanted *list[] = {&good, &bad};
    Edri__Link__Demand word = EDRI__LINK__DEMAND__INIT;
    Edri__Link__Refusal refusal = EDRI__LINK__REFUSAL__INIT;
    Edri__Link__Refusal *refusals[] = {&refusal};
    good.type = T1;
    bad.type = T2;
    refusal.type = T2;
    refusal.error = EDRI_MISMATCH;
    refusal.text = (char[]){"field 2"};
    word.generation = 1;
    word.add = list;
    word.n_add = 2;
    directory_demand(self->directory, 1, &word, refusals, 1, 0);
    const control_t *said = LAST(self, 1, IN_FORCE);
    cr_assert_not_null(said);
    cr_assert_eq(said->in_force->n_refused, 1);
    cr_expect_eq(said->in_force->refused[0]->type, T2);
    cr_expect_str_eq(said->in_force->refused[0]->text, "field 2");
    resolve(self, 2, T1);
    cr_expect_eq(LAST(self, 2, TABLE)->table->n_members, 1);
    resolve(self, 2, T2);
    cr_expect_eq(LAST(self, 2, TABLE)->table->n_members, 0);
    stop(&self);
}

Test(directory, settled_is_told)
{
    fixture_t *self = start();
    directory_settled(self->directory);
    resolve(self, 2, T1);
    cr_expect(LAST(self, 2, TABLE)->table->settled);
    demand(self, 1, 1, true, T1, 7, 0);
    cr_expect(LAST(self, 2, CHANGE)->change->settled);
    stop(&self);
}

Test(directory, words_of_unknown_sessions_change_nothing)
{
    fixture_t *self = start();
    demand(self, 77, 1, true, T1, 7, 0);
    seen(self, 77, T1, 5);
    directory_close(self->directory, 77);
    resolve(self, 2, T1);
    seen(self, 2, T1, 99);
    cr_expect_eq(LAST(self, 2, TABLE)->table->n_members, 0);
    stop(&self);
}

// ----- many

enum {
    MANY = 1000
};

// counts_t counts what the directory says.
typedef struct counts {
    size_t changes;
    size_t in_force;
    size_t late;
} counts_t;

static void
count(uint64_t session, const control_t *word, void *arg)
{
    (void)session;
    counts_t *self = arg;
    self->changes += word->word_case == EDRI__LINK__CONTROL__WORD_CHANGE;
    if (word->word_case == EDRI__LINK__CONTROL__WORD_IN_FORCE) {
        self->in_force++;
        self->late += word->in_force->n_late;
    }
}

// All of them demand and hold one type, and each sees every change: a million words,
// while a thousand Demands wait.
Test(directory, a_thousand_that_all_hold_what_all_demand)
{
    counts_t counts = {0};
    directory_t *self = directory_new(count, &counts, LATE_MS);
    uint64_t type = T1;
    for (uint64_t session = 1; session <= MANY; session++) {
        directory_open(self, session, 5000 + session, "n");
        directory_resolve(self, session, &type, 1);
    }
    for (uint64_t session = 1; session <= MANY; session++) {
        Edri__Link__Wanted wanted = EDRI__LINK__WANTED__INIT;
        Edri__Link__Wanted *list[] = {&wanted};
        Edri__Link__Demand word = EDRI__LINK__DEMAND__INIT;
        wanted.type = T1;
        wanted.target = 1;
        word.generation = 1;
        word.add = list;
        word.n_add = 1;
        directory_demand(self, session, &word, NULL, 0, 0);
    }
    cr_expect_eq(counts.changes, MANY * MANY);
    cr_expect_eq(counts.in_force, 0);
    for (uint64_t version = 1; version <= MANY; version++) {
        for (uint64_t session = 1; session <= MANY; session++) {
            directory_seen(self, session, T1, version);
        }
        cr_assert_eq(counts.in_force, version, "each when all have seen it");
    }
    cr_expect_eq(counts.late, 0);
    directory_destroy(&self);
}

// ----- what a holder keeps from tables and changes is what there is

typedef struct copy {
    uint64_t version;
    uint32_t targets[64]; // life * 10 + target
    size_t count;
} copy_t;

static void
copy_add(copy_t *copy, const Edri__Link__Member *member)
{
    cr_assert_lt(copy->count, 64);
    copy->targets[copy->count++] = (uint32_t)member->life * 10 + member->target;
}

static void
copy_remove(copy_t *copy, const Edri__Link__Member *member)
{
    for (size_t i = 0; i < copy->count; i++) {
        if (copy->targets[i] == (uint32_t)member->life * 10 + member->target) {
            copy->targets[i] = copy->targets[--copy->count];
            return;
        }
    }
    cr_assert_fail("removed what was not there");
}

// follow applies all words for session 4 about T1 and acknowledges them.
static void
follow(fixture_t *self, copy_t *copy)
{
    for (size_t i = 0; i < self->count; i++) {
        const control_t *word = self->sent[i].word;
        if (self->sent[i].session != 4) {
            continue;
        }
        if (word->word_case == EDRI__LINK__CONTROL__WORD_TABLE) {
            copy->count = 0;
            copy->version = word->table->version;
            for (size_t j = 0; j < word->table->n_members; j++) {
                copy_add(copy, word->table->members[j]);
            }
        } else if (word->word_case == EDRI__LINK__CONTROL__WORD_CHANGE) {
            cr_assert_eq(word->change->version, copy->version + 1);
            copy->version++;
            for (size_t j = 0; j < word->change->n_added; j++) {
                copy_add(copy, word->change->added[j]);
            }
            for (size_t j = 0; j < word->change->n_removed; j++) {
                copy_remove(copy, word->change->removed[j]);
            }
        }
    }
    forget(self);
    seen(self, 4, T1, copy->version);
}

static void
count_members(uint64_t type, const Edri__Link__Member *member, void *arg)
{
    (void)member;
    *(size_t *)arg += type == T1;
}

Test(directory, a_holder_knows_what_the_switch_knows)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        unsigned random = seed;
        fixture_t *self = start();
        copy_t copy = {0};
        uint64_t session[4] = {0, 1, 2, 3}, next_session = 100;
        uint64_t generation = 10;
        resolve(self, 4, T1);
        for (int step = 0; step < 300; step++) {
            int node = 1 + rand_r(&random) % 3;
            uint64_t life = 1000 + (uint64_t)node;
            uint32_t target = (uint32_t)rand_r(&random) % 4;
            switch (rand_r(&random) % 8) {
            case 0: // comes back in another session
                directory_open(self->directory, next_session, life, "n");
                directory_move(self->directory, session[node], next_session);
                session[node] = next_session++;
                demand(self, session[node], 1, true, T1, target, step);
                break;
            case 1: // ends, and begins again
                directory_close(self->directory, session[node]);
                session[node] = next_session++;
                directory_open(self->directory, session[node], life, "n");
                break;
            case 2:
            case 3:
                demand(
                    self, session[node], generation++, false, T1, target, step);
                break;
            default:
                demand(
                    self, session[node], generation++, true, T1, target, step);
                break;
            }
            if (rand_r(&random) % 3 == 0) {
                follow(self, &copy);
            }
            directory_tick(self->directory, step);
        }
        follow(self, &copy);
        size_t members = 0;
        directory_each(self->directory, count_members, &members);
        cr_assert_eq(copy.count, members, "seed %u", seed);
        directory_tick(self->directory, 1000000);
        cr_assert_eq(directory_next(self->directory), INT64_MAX);
        stop(&self);
    }
}
