// SPDX-License-Identifier: MIT
// test_huddle.c - when threads stay on one processor, and that they do.

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/affinity.h"
#include "base/clock.h"
#include "base/huddle.h"

TestSuite(huddle, .timeout = 60);
TestSuite(affinity, .timeout = 60);

// ----- the rule

#define MS 1000000ull

typedef struct world {
    huddle_t huddle;
    huddle_seen_t seen;
    int64_t now_ms;
} world_t;

static world_t
world(void)
{
    world_t self = {.now_ms = 1000};
    huddle_init(&self.huddle);
    (void)huddle_look(&self.huddle, &self.seen, self.now_ms);
    return self;
}

// look lets 10 ms pass in which the threads ran for so long, and had 20 turns, for each
// of which they waited so long.
static int
look(world_t *self, uint64_t ran_ms, uint64_t waited_us, int cpu)
{
    self->now_ms += 10;
    self->seen.ran_ns += ran_ms * MS;
    self->seen.turns += 20;
    self->seen.waited_ns += 20 * waited_us * 1000;
    self->seen.cpu = cpu;
    return huddle_look(&self->huddle, &self->seen, self->now_ms);
}

// looks_until counts the calm looks until they huddle on processor 1; 10000: never.
static int
looks_until(world_t *self)
{
    for (int i = 1; i < 10000; i++) {
        if (look(self, 2, 5, 1) == 1) {
            return i;
        }
    }
    return 10000;
}

Test(huddle, little_to_do_again_and_again)
{
    world_t self = world();
    cr_expect_eq(looks_until(&self), HUDDLE_CALM);
    for (int i = 0; i < 1000; i++) {
        cr_expect_eq(look(&self, 5, 18, 1), 1); // between little and much
    }
}

Test(huddle, not_where_nobody_knows_or_everywhere)
{
    world_t self = world();
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(look(&self, 2, 5, -1), -1);
    }
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(look(&self, 2, 5, i % 2), -1);
    }
}

Test(huddle, not_with_much_to_do)
{
    world_t self = world();
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(look(&self, i % HUDDLE_CALM == 0 ? 5 : 2, 5, 1), -1);
    }
    cr_expect_eq(looks_until(&self), 1);
    cr_expect_eq(look(&self, 7, 5, 1), -1, "much ends it at once");
    cr_expect_eq(looks_until(&self), HUDDLE_CALM, "and little begins it again");
}

Test(huddle, not_where_threads_wait_anyway)
{
    world_t self = world();
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(look(&self, 2, 18, 1), -1, "no processor sleeps");
    }
    cr_expect_eq(looks_until(&self), HUDDLE_CALM);
}

Test(huddle, few_turns_say_nothing)
{
    world_t self = world();
    for (int i = 0; i < HUDDLE_CALM - 1; i++) {
        cr_expect_eq(look(&self, 2, 5, 1), -1);
    }
    self.seen.cpu = 0;
    for (int i = 0; i < 100; i++) { // long after each other
        self.now_ms += 1000;
        self.seen.turns += i < HUDDLE_TURNS - 1;
        cr_expect_eq(huddle_look(&self.huddle, &self.seen, self.now_ms), -1);
    }
    cr_expect_eq(looks_until(&self), 1, "what it saw before counts");
}

// wait_until_let_go counts the looks in which turns wait so long until they are let go.
static int
wait_until_let_go(world_t *self, uint64_t waited_us)
{
    for (int i = 1; i < 10000; i++) {
        if (look(self, 2, waited_us, 1) < 0) {
            return i;
        }
    }
    return 10000;
}

Test(huddle, long_waits_end_it_for_ever_longer)
{
    world_t self = world();
    int64_t pause_ms = HUDDLE_PAUSE_MS;
    (void)looks_until(&self);
    for (int i = 0; i < 10; i++) {
        // 20 turns of 60 us are 0.8 ms too much.
        cr_expect_eq(wait_until_let_go(&self, 60), 13);
        int64_t begin_ms = self.now_ms;
        (void)looks_until(&self);
        cr_expect_eq(self.now_ms - begin_ms, pause_ms);
        pause_ms = pause_ms * 2 < HUDDLE_PAUSE_MAX_MS ? pause_ms * 2
                                                      : HUDDLE_PAUSE_MAX_MS;
    }
    // It lasts for long: then the next pause is short again.
    for (int i = 0; i < HUDDLE_PAUSE_MAX_MS; i++) {
        cr_expect_eq(look(&self, 2, 5, 1), 1);
    }
    (void)wait_until_let_go(&self, 60);
    int64_t begin_ms = self.now_ms;
    (void)looks_until(&self);
    cr_expect_eq(self.now_ms - begin_ms, HUDDLE_PAUSE_MS);
}

Test(huddle, rare_waits_end_it_when_they_cost_more_than_it_saves)
{
    world_t self = world();
    (void)looks_until(&self);
    for (int i = 0; i < 1000;
         i++) { // 7.6 ms, and 20 * 15 us saved in each other look
        cr_expect_eq(look(&self, 2, i % 30 == 0 ? 400 : 5, 1), 1);
    }
    for (int i = 0; self.huddle.cpu >= 0; i++) {
        cr_assert_lt(i, 100);
        (void)look(&self, 2, i % 10 == 0 ? 400 : 5, 1);
    }
    (void)looks_until(&self);
    cr_expect_eq(wait_until_let_go(&self, 2000), 1, "40 ms: at once");
}

Test(huddle, debts_outlast_a_burst)
{
    world_t self = world();
    int bursts = 0;
    do {
        cr_assert_lt(bursts++, 10);
        (void)looks_until(&self);
        (void)look(&self, 7, 200, 1); // much to do, and 3.6 ms too much waiting
    } while (self.huddle.until_ms <= self.now_ms);
    cr_expect_eq(bursts, 3);
}

Test(huddle, pauses_are_short_again_after_a_while)
{
    world_t self = world();
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 1000;
             j++) { // ten seconds, none of them in one piece
            (void)looks_until(&self);
            (void)look(&self, 7, 5, 1);
        }
        (void)looks_until(&self);
        (void)wait_until_let_go(&self, 60);
        cr_expect_eq(self.huddle.pause_ms, HUDDLE_PAUSE_MS);
    }
}

Test(huddle, no_turns_say_nothing)
{
    world_t self = world();
    (void)looks_until(&self);
    for (int i = 0; i < 5; i++) { // one waits, for longer than a look
        for (int j = 0; j < 100; j++) {
            self.now_ms += 10;
            (void)huddle_look(&self.huddle, &self.seen, self.now_ms);
        }
        if (look(&self, 0, 300, 1) < 0) {
            break;
        }
    }
    cr_expect_eq(self.huddle.cpu, -1);
}

Test(huddle, others_are_counted_anew)
{
    world_t self = world();
    (void)looks_until(&self);
    huddle_end(&self.huddle);
    self.seen = (huddle_seen_t){.ran_ns = 7, .turns = 1};
    cr_expect_eq(looks_until(&self), HUDDLE_CALM + 1);
}

Test(huddle, stays_where_it_began_if_any_place_will_do)
{
    world_t self = world();
    self.seen.free = true;
    int first = 3;
    for (int i = 1; i < HUDDLE_CALM; i++) {
        cr_expect_eq(look(&self, 2, 5, first + i % 2), -1);
    }
    cr_expect_eq(look(&self, 2, 5, 5), first + 1);
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(look(&self, 2, 5, i % 4), first + 1);
    }
    cr_expect_eq(look(&self, 7, 5, 0), -1);
    (void)look(&self, 7, 5, 0);
    for (int i = 0; i < HUDDLE_CALM; i++) { // elsewhere next time
        (void)look(&self, 2, 5, 2 + i);
    }
    cr_expect_eq(self.huddle.cpu, 2);
}

Test(huddle, moves_after_what_comes)
{
    world_t self = world();
    (void)looks_until(&self);
    for (int i = 1; i < HUDDLE_SURE; i++) {
        cr_expect_eq(look(&self, 2, 5, 0), 1, "a packet or two");
    }
    cr_expect_eq(look(&self, 2, 5, 0), -1);
    int looks = 1;
    while (look(&self, 2, 5, 0) != 0) {
        cr_assert_lt(looks++, 100);
    }
    cr_expect_eq(looks, HUDDLE_CALM);
}

// ----- the threads

typedef struct other {
    pthread_t thread;
    sem_t ask;
    sem_t answer;
    _Atomic(pid_t) id;
    atomic_bool ends;
} other_t;

static void *
run_other(void *arg)
{
    other_t *self = arg;
    thread_name("huddle-other");
    self->id = gettid();
    while (sem_wait(&self->ask) == 0 && !self->ends) {
        (void)sem_post(&self->answer);
    }
    return NULL;
}

// hand_over does so there and back: the other has had a turn then.
static void
hand_over(other_t *self, int times)
{
    for (int i = 0; i < times; i++) {
        (void)sem_post(&self->ask);
        (void)sem_wait(&self->answer);
    }
}

static void
begin(other_t *self)
{
    (void)sem_init(&self->ask, 0, 0);
    (void)sem_init(&self->answer, 0, 0);
    cr_assert_eq(pthread_create(&self->thread, NULL, run_other, self), 0);
    hand_over(self, 1);
}

static void
end(other_t *self)
{
    self->ends = true;
    (void)sem_post(&self->ask);
    (void)pthread_join(self->thread, NULL);
}

static cpu_set_t
allowed(pid_t thread)
{
    cpu_set_t all;
    CPU_ZERO(&all);
    cr_assert_eq(sched_getaffinity(thread, sizeof all, &all), 0);
    return all;
}

static void
allow(pid_t thread, int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(thread, sizeof one, &one), 0);
}

static bool
is_kept(pid_t thread, int cpu)
{
    cpu_set_t its = allowed(thread);
    return CPU_COUNT(&its) == 1 && CPU_ISSET(cpu, &its);
}

static bool
is_free(pid_t thread, cpu_set_t all)
{
    cpu_set_t its = allowed(thread);
    return CPU_EQUAL(&its, &all) != 0;
}

// nth gives a processor this process may use.
static int
nth(int n)
{
    cpu_set_t all = allowed(0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &all) || n-- > 0) {
        cpu++;
    }
    return cpu;
}

// need_two skips the test unless there are two processors, and turns are counted.
static void
need_two(void)
{
    unsigned long turns = 0;
    FILE *file = fopen("/proc/self/schedstat", "r");
    if (file == NULL || fscanf(file, "%*u %*u %lu", &turns) != 1 ||
        turns == 0) {
        cr_skip_test("the kernel does not count turns");
    }
    (void)fclose(file);
    cpu_set_t all = allowed(0);
    if (CPU_COUNT(&all) < 2) {
        cr_skip_test("one processor only");
    }
}

Test(affinity, a_thread_stays_for_a_while)
{
    need_two();
    cpu_set_t before = allowed(0);
    affinity_stay_t stay;
    for (int i = 0; i < 2; i++) {
        int cpu = nth(i);
        affinity_stay(&stay, cpu);
        cr_expect(is_kept(0, cpu));
        affinity_leave(&stay);
        cr_expect(is_free(0, before));
    }
    affinity_stay(&stay, -1);
    cr_expect(is_free(0, before));
    affinity_leave(&stay);
    cr_expect(is_free(0, before));
}

Test(affinity, not_where_it_may_not_run)
{
    need_two();
    int other = nth(1);
    affinity_stay_t stay;
    allow(0, nth(0));
    affinity_stay(&stay, other);
    cr_expect(is_kept(0, nth(0)));
    affinity_leave(&stay);
    cr_expect(is_kept(0, nth(0)));
}

Test(affinity, who_else_decides_has_the_last_word)
{
    need_two();
    int first = nth(0);
    int other = nth(1);
    affinity_stay_t stay;
    affinity_stay(&stay, first);
    allow(0, other);
    affinity_leave(&stay);
    cr_expect(is_kept(0, other));
}

// huddle has both threads huddle, as the switch does it.  Returns what time it is then.
static int64_t
huddle(affinity_t *self, other_t *other, int cpu, int64_t now_ms)
{
    int looks = 0;
    while (affinity_cpu(self) < 0) {
        cr_assert_lt(looks++, 100);
        hand_over(other, 10);
        now_ms += 1000; // little to do in such a time
        cr_expect(affinity_due(self, now_ms));
        affinity_look(self, cpu, now_ms);
        cr_expect_not(affinity_due(self, now_ms));
    }
    return now_ms;
}

Test(affinity, threads_huddle_and_are_let_go)
{
    need_two();
    other_t other = {0};
    affinity_t self;
    cpu_set_t all = allowed(0);
    int cpu = nth(1);
    int64_t now_ms = 1000;
    begin(&other);
    affinity_init(&self);
    cr_expect_not(affinity_due(&self, 1 << 30), "no thread yet");
    affinity_add(&self, gettid());
    affinity_want(&self, "huddle-other");
    for (int i = 0; i < 3; i++) {
        now_ms = huddle(&self, &other, i == 2 ? AFFINITY_HERE : cpu, now_ms);
        int there = affinity_cpu(&self);
        cr_expect(i == 2 || there == cpu);
        cr_expect(is_kept(0, there) && is_kept(other.id, there));
        // No packet says where: then they have no place to meet.
        for (int j = 0; i == 1 && j < HUDDLE_SURE; j++) {
            hand_over(&other, 10);
            affinity_look(&self, -1, now_ms += 1000);
        }
        if (i != 1) {
            affinity_end(&self);
        }
        cr_expect(is_free(0, all) && is_free(other.id, all));
        cr_expect_eq(affinity_cpu(&self), -1);
    }
    affinity_close(&self);
    end(&other);
}

Test(affinity, threads_that_somebody_else_moved_are_left_alone)
{
    need_two();
    other_t other = {0};
    affinity_t self;
    cpu_set_t all = allowed(0);
    int first = nth(0);
    int second = nth(1);
    begin(&other);
    affinity_init(&self);
    affinity_add(&self, gettid());
    affinity_add(&self, other.id);
    (void)huddle(&self, &other, first, 1000);
    allow(other.id, second);
    affinity_end(&self);
    cr_expect(is_kept(other.id, second));
    cr_expect(is_free(0, all));
    cr_expect_not(affinity_due(&self, 1 << 30));
    affinity_close(&self);
    end(&other);
}

Test(affinity, one_may_only_be_counted)
{
    need_two();
    other_t other = {0};
    affinity_t self;
    cpu_set_t all = allowed(0);
    int cpu = nth(1);
    begin(&other);
    affinity_init(&self);
    affinity_want(&self, "huddle-other");
    cr_expect_not(affinity_counts(&self, 0));
    affinity_count(&self, gettid());
    cr_expect(affinity_counts(&self, 0));
    cr_expect(affinity_counts(&self, gettid()));
    cr_expect_not(affinity_counts(&self, other.id));
    (void)huddle(&self, &other, cpu, 1000);
    cr_expect(is_kept(other.id, cpu));
    cr_expect(is_free(0, all));
    affinity_uncount(&self);
    cr_expect_not(affinity_counts(&self, 0));
    cr_expect(is_free(other.id, all));
    cr_expect_eq(affinity_cpu(&self), -1);
    affinity_count(&self, gettid()); // and again
    (void)huddle(&self, &other, cpu, 100000);
    cr_expect(is_kept(other.id, cpu));
    affinity_uncount(&self);
    affinity_close(&self);
    end(&other);
}

Test(affinity, what_is_not_there_never_huddles)
{
    affinity_t self;
    affinity_init(&self);
    affinity_want(&self, "no-such-thread");
    cr_expect(affinity_due(&self, 1 << 30));
    affinity_look(&self, 0, 1 << 30);
    cr_expect_not(affinity_due(&self, INT64_MAX / 2));
    affinity_close(&self);
    affinity_add(&self, 1 << 30);
    cr_expect_not(affinity_due(&self, 1 << 30));
    affinity_close(&self);
    allow(0, nth(0));
    affinity_add(&self, gettid());
    cr_expect_not(affinity_due(&self, 1 << 30), "there is no choice");
    affinity_want(&self, "huddle-other");
    cr_expect_not(affinity_due(&self, 1 << 30), "nor later");
    affinity_end(&self);
    affinity_close(&self);
}

Test(affinity, two_of_one_name_are_none)
{
    other_t others[2] = {{.ends = false}, {.ends = false}};
    affinity_t self;
    begin(&others[0]);
    begin(&others[1]);
    affinity_init(&self);
    affinity_want(&self, "huddle-other");
    affinity_look(&self, 0, 1000);
    cr_expect_not(affinity_due(&self, 1 << 30));
    affinity_close(&self);
    end(&others[0]);
    end(&others[1]);
}

Test(affinity, where_packets_arrive)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    char byte = 0;
    int pipes[2];
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    int one = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(one, (struct sockaddr *)&at, size), 0);
    int two = accept(listener, NULL, NULL);
    cr_assert_eq(write(one, "x", 1), 1);
    cr_assert_eq(read(two, &byte, 1), 1);
    int cpu = affinity_incoming(two);
    cr_expect(cpu >= 0 && cpu < sysconf(_SC_NPROCESSORS_CONF));
    cr_assert_eq(pipe(pipes), 0);
    cr_expect_eq(affinity_incoming(pipes[0]), -1);
    cr_expect_eq(affinity_incoming(-1), -1);
}
