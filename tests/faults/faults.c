// SPDX-License-Identifier: MIT
// faults.c - real processes on hosts of their own, and what can happen to them.
//
// usage: faults [--list] DIRECTORY-OF-PROGRAMS NUMBERS-PROGRAM SCENARIO...
//
// Nodes emit numbered events to each other while a fault lasts; at the end
// every number must be there, once and in order.  77: the machine does not
// allow hosts.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"
#include "hosts.h"

enum {
    SWITCHES_MAX = 3,
    PORT = 5100,
    RSS_MAX_MB = 256,    // of a process
    RESUME_MAX_MS = 2000 // after a fault's end
};

typedef struct world {
    const char *programs;
    const char *numbers;
    char directory[64];
    hosts_t *hosts;
    unsigned switches;
    unsigned nodes;
    unsigned descriptors;
    unsigned reborn; // a node that takes the name of the one before; 0: none
    const char *settings[8]; // for the nodes, and
    const char *hub_settings[8];
    pid_t hubs[SWITCHES_MAX];
    pid_t pids[NODES_MAX];
    book_t *books[NODES_MAX];
    check_t *check;
    uint32_t since_ms;      // since when all should hear all
    uint32_t resume_max_ms; // in which they must
    uint32_t resumed_ms;
    bool may_mark; // somebody has died
    unsigned failed;
} world_t;

static uint32_t
now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

// last is how long a fault lasts, or a look at the books is pointless.
static void
last(uint32_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

static void
fail(world_t *self, const char *what)
{
    printf("    FAILED: %s\n", what);
    self->failed++;
}

// ----- programs

static char set[] = "--set";

static void
start_hub(world_t *self, unsigned number)
{
    char program[512];
    char bind[64];
    char output[128];
    char *argv[20] = {program, set, bind};
    int count = 3;
    (void)snprintf(program, sizeof program, "%s/edri-switch", self->programs);
    (void)snprintf(
        bind, sizeof bind, "switch.bind=tcp://10.77.0.%u:%u", number + 1, PORT);
    (void)snprintf(
        output, sizeof output, "%s/switch-%u", self->directory, number);
    for (int i = 0; self->hub_settings[i] != NULL; i++) {
        argv[count++] = set;
        argv[count++] = (char *)(uintptr_t)self->hub_settings[i];
    }
    self->hubs[number] =
        hosts_run(self->hosts, number, argv, output, self->descriptors);
}

static void
start_node(world_t *self, unsigned number)
{
    char writer[16];
    char book[128];
    char name[64];
    char list[256] = "node.switch=";
    char output[128];
    char *argv[24] = {
        (char *)(uintptr_t)self->numbers, writer, book, set, name, set, list};
    int count = 7;
    (void)snprintf(writer, sizeof writer, "%u", number);
    (void)snprintf(book, sizeof book, "%s/book-%u", self->directory, number);
    (void)snprintf(name, sizeof name, "node.name=node-%u",
        number > 0 && number == self->reborn ? number - 1 : number);
    (void)snprintf(
        output, sizeof output, "%s/node-%u", self->directory, number);
    for (unsigned i = 0; i < self->switches; i++) {
        size_t at = strlen(list);
        (void)snprintf(list + at, sizeof list - at, "%stcp://10.77.0.%u:%u",
            i > 0 ? "," : "", i + 1, PORT);
    }
    for (int i = 0; self->settings[i] != NULL; i++) {
        argv[count++] = set;
        argv[count++] = (char *)(uintptr_t)self->settings[i];
    }
    self->pids[number] = hosts_run(
        self->hosts, self->switches + number, argv, output, self->descriptors);
}

static void
kill_hub(world_t *self, unsigned number)
{
    (void)kill(self->hubs[number], SIGKILL);
    (void)waitpid(self->hubs[number], NULL, 0);
}

// high_water is a process's largest memory so far, in MB.
static unsigned
high_water(pid_t pid)
{
    char path[64];
    char line[128];
    unsigned kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "VmHWM: %u kB", &kb);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return (kb + 1023) / 1024;
}

// ----- waiting

// all_say waits until a word of every node's book is set.
static bool
all_say(world_t *self, size_t offset, uint32_t wait_ms)
{
    uint32_t end_ms = now_ms() + wait_ms;
    unsigned said = 0;
    while (said < self->nodes && (int32_t)(end_ms - now_ms()) > 0) {
        said = 0;
        for (unsigned i = 0; i < self->nodes; i++) {
            char *book = (char *)self->books[i];
            _Atomic uint32_t *word =
                (_Atomic uint32_t *)(void *)(book + offset);
            said += atomic_load(&self->books[i]->dead) != 0 ||
                    atomic_load(word) != 0;
        }
        last(5);
    }
    return said == self->nodes;
}

// await_resume waits until all hear all again, after what has happened.
static void
await_resume(world_t *self, const char *what)
{
    pair_t worst = {0};
    while (!check_again(self->check, self->since_ms, &worst)) {
        if (now_ms() - self->since_ms > 20000) {
            fail(self, "some node did not hear another for 20 s");
            return;
        }
        last(5);
    }
    self->resumed_ms =
        worst.ms > self->resumed_ms ? worst.ms : self->resumed_ms;
    if (worst.ms > self->resume_max_ms) {
        printf("    after %s that ended at %u: %u ms until node %u heard "
               "node %u\n",
            what, self->since_ms, worst.ms, worst.reader, worst.writer);
        fail(self, "that is too long");
    }
}

static void
await_complete(world_t *self, uint32_t wait_ms)
{
    for (unsigned i = 0; i < self->nodes; i++) {
        atomic_store(&self->books[i]->stop, 1);
    }
    if (!all_say(self, offsetof(book_t, stopped), wait_ms)) {
        fail(self, "some request did not end");
    }
    uint32_t end_ms = now_ms() + wait_ms;
    while (!check_complete(self->check) && (int32_t)(end_ms - now_ms()) > 0) {
        last(20);
    }
}

// ----- a scenario

static void
end_node(world_t *self, unsigned number)
{
    int status = 0;
    (void)kill(self->pids[number], SIGTERM);
    (void)waitpid(self->pids[number], &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        printf("    node %u ended with %s %d\n", number,
            WIFEXITED(status) ? "status" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        self->failed++;
    }
}

static void
show_output(const world_t *self)
{
    char command[256];
    (void)snprintf(command, sizeof command,
        "cd %s && tail -n 40 node-* switch-*", self->directory);
    (void)fflush(stdout);
    (void)!system(command);
}

// end ends all processes, checks the books and prints the line.
static void
end(world_t *self, const char *name)
{
    unsigned node_mb = 0;
    unsigned hub_mb = 0;
    for (unsigned i = 0; i < self->nodes; i++) {
        unsigned mb = high_water(self->pids[i]);
        node_mb = mb > node_mb ? mb : node_mb;
    }
    for (unsigned i = 0; i < self->switches; i++) {
        unsigned mb = high_water(self->hubs[i]);
        hub_mb = mb > hub_mb ? mb : hub_mb;
    }
    totals_t sum = check_sum(self->check);
    for (unsigned i = 0; i < self->nodes; i++) {
        if (atomic_load(&self->books[i]->dead) == 0) {
            end_node(self, i);
        }
    }
    for (unsigned i = 0; i < self->switches; i++) {
        (void)kill(self->hubs[i], SIGTERM);
        (void)waitpid(self->hubs[i], NULL, 0);
    }
    printf("%-14s %8llu events, %8llu begun (%llu marked), %6llu requests "
           "(%llu failed): %llu lost, %llu doubled, %llu out of order; all "
           "hear all after %u ms; node %u MB, switch %u MB\n",
        name, (unsigned long long)sum.emitted, (unsigned long long)sum.begun,
        (unsigned long long)sum.marked, (unsigned long long)sum.requests,
        (unsigned long long)sum.failed, (unsigned long long)sum.lost,
        (unsigned long long)sum.doubled, (unsigned long long)sum.disorder,
        self->resumed_ms, node_mb, hub_mb);
    uint64_t marked = self->may_mark ? 0 : sum.marked;
    if (sum.lost + sum.doubled + sum.disorder + sum.wrong + marked > 0) {
        fail(self, "the books do not agree");
    }
    if (node_mb > RSS_MAX_MB || hub_mb > RSS_MAX_MB) {
        fail(self, "too much memory");
    }
    if (self->failed > 0) {
        show_output(self);
    }
    check_destroy(&self->check);
    (void)fflush(stdout);
}

// begin starts switches and nodes and waits until they are there.
static bool
begin(world_t *self)
{
    self->resume_max_ms = RESUME_MAX_MS;
    for (unsigned i = 0; i < self->nodes; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/book-%u", self->directory, i);
        (void)unlink(path);
        if (self->books[i] != NULL) {
            (void)munmap(self->books[i], sizeof(book_t));
        }
        (void)snprintf(path, sizeof path, "%s/node-%u", self->directory, i);
        (void)unlink(path); // what an earlier scenario printed
        (void)snprintf(path, sizeof path, "%s/book-%u", self->directory, i);
        self->books[i] = book_open(path, O_CREAT);
        if (self->books[i] == NULL) {
            perror(path);
            return false;
        }
    }
    self->check = check_new(self->books, self->nodes);
    for (unsigned i = 0; i < self->switches; i++) {
        start_hub(self, i);
    }
    return true;
}

static void
begin_nodes(world_t *self, uint32_t rate, bool large)
{
    for (unsigned i = 0; i < self->nodes; i++) {
        start_node(self, i);
    }
    if (!all_say(self, offsetof(book_t, ready), 20000)) {
        fail(self, "not all nodes have started");
        return;
    }
    for (unsigned i = 0; i < self->nodes; i++) {
        atomic_store(&self->books[i]->large, large);
        if (atomic_load(&self->books[i]->rate) == 0) {
            atomic_store(&self->books[i]->rate, rate);
        }
    }
    self->since_ms = now_ms();
    await_resume(self, "the start");
    self->resumed_ms = 0;
    last(500);
}

// over notes the end of a fault; all must hear all soon.
static void
over(world_t *self, const char *what)
{
    self->since_ms = now_ms();
    await_resume(self, what);
}

static void
cut_for(world_t *self, uint32_t ms)
{
    begin_nodes(self, 1000, true);
    hosts_cut(self->hosts, self->switches + 1, true, true);
    last(ms);
    hosts_cut(self->hosts, self->switches + 1, false, false);
    over(self, "a cut");
    await_complete(self, 60000);
}

static void
cut_1(world_t *self)
{
    cut_for(self, 1000);
}

static void
cut_10(world_t *self)
{
    cut_for(self, 10000);
}

static void
cut_30(world_t *self)
{
    // Whoever may be away for so long must not be given up before.
    self->hub_settings[0] = "gone.silent=60s";
    self->settings[0] = "gone.silent=60s";
    kill_hub(self, 0);
    start_hub(self, 0);
    cut_for(self, 30000);
}

static void
weather(world_t *self)
{
    begin_nodes(self, 200, false);
    for (unsigned i = 0; i < self->nodes; i++) {
        hosts_weather(self->hosts, self->switches + i, 20, 5);
    }
    last(10000);
    for (unsigned i = 0; i < self->nodes; i++) {
        hosts_weather(self->hosts, self->switches + i, 0, 0);
    }
    over(self, "loss and delay");
    await_complete(self, 60000);
}

static void
one_way(world_t *self)
{
    begin_nodes(self, 1000, true);
    for (int out = 0; out < 2; out++) {
        hosts_cut(self->hosts, self->switches + 1, out == 1, out == 0);
        last(5000);
        hosts_cut(self->hosts, self->switches + 1, false, false);
        over(self, "a cut one way");
    }
    await_complete(self, 60000);
}

static void
kills(world_t *self)
{
    begin_nodes(self, 1000, true);
    for (int i = 0; i < 30; i++) {
        kill_hub(self, 0);
        start_hub(self, 0);
        last(1000);
    }
    over(self, "kills of the switch");
    await_complete(self, 60000);
}

static void
frozen(world_t *self)
{
    begin_nodes(self, 1000, true);
    (void)kill(self->pids[1], SIGSTOP);
    last(15000);
    (void)kill(self->pids[1], SIGCONT);
    over(self, "a node stood still");
    await_complete(self, 60000);
}

// slow: one manager works at a hundredth of its writer's speed; who emits to
// others does not notice.
static void
slow(world_t *self)
{
    self->settings[0] = "node.manager_queue=64K";
    self->settings[1] = "node.link_queue=64K";
    atomic_store(&self->books[0]->slow_us, 20000);
    atomic_store(&self->books[1]->rate, 5000);
    atomic_store(&self->books[1]->only, SLOW + 1);
    begin_nodes(self, 2000, false);
    uint32_t before = atomic_load(&self->books[2]->emitted);
    last(10000);
    uint32_t others = atomic_load(&self->books[2]->emitted) - before;
    uint32_t slow_ones = atomic_load(&self->books[1]->emitted);
    printf("    in 10 s: %u events of a slow type, %u of others\n", slow_ones,
        others);
    if (others < 16000) {
        fail(self, "a slow manager holds others up");
    }
    if (slow_ones > 2000) {
        fail(self, "a slow manager does not push back");
    }
    await_complete(self, 60000);
}

static void
descriptors(world_t *self)
{
    int strangers[100];
    begin_nodes(self, 1000, false);
    for (int i = 0; i < 100; i++) {
        strangers[i] = hosts_connect(self->hosts, self->switches, 0, PORT);
    }
    last(3000);
    kill_hub(self, 0); // all come back at once, the strangers, too
    start_hub(self, 0);
    for (int i = 0; i < 100; i++) {
        (void)close(strangers[i]);
    }
    over(self, "a flood of connections");
    await_complete(self, 60000);
}

// killed: a node is killed, and comes back as a new life.  What it had not begun
// goes to others of the group, or to its next life.
static void
killed(world_t *self)
{
    unsigned last_one = self->nodes - 1;
    self->reborn = last_one;
    self->nodes--;
    atomic_store(&self->books[last_one]->dead, 1); // not there yet
    begin_nodes(self, 1000, true);
    last(2000);
    (void)kill(self->pids[last_one - 1], SIGKILL);
    (void)waitpid(self->pids[last_one - 1], NULL, 0);
    atomic_store(&self->books[last_one - 1]->dead, 1);
    self->may_mark = true;
    over(self, "a node was killed");
    last(1000);
    self->nodes++;
    atomic_store(&self->books[last_one]->dead, 0);
    start_node(self, last_one);
    if (!all_say(self, offsetof(book_t, ready), 20000)) {
        fail(self, "the killed node did not come back");
    }
    check_joins(self->check, last_one);
    atomic_store(&self->books[last_one]->rate, 1000);
    over(self, "it came back");
    last(3000);
    await_complete(self, 60000);
}

// moves: what goes over one switch takes the other at once when it dies, and
// soon when it falls silent.
static void
moves(world_t *self)
{
    begin_nodes(self, 1000, true);
    self->resume_max_ms = 1000;
    kill_hub(self, 0);
    over(self, "a switch was killed");
    printf("    a killed switch: %u ms\n", self->resumed_ms);
    start_hub(self, 0);
    last(5000); // it settles, all come back
    self->resume_max_ms = 3500;
    (void)kill(self->hubs[1], SIGSTOP);
    over(self, "a switch stood still");
    (void)kill(self->hubs[1], SIGCONT);
    self->resume_max_ms = RESUME_MAX_MS;
    over(self, "it goes on");
    await_complete(self, 60000);
}

// mix plays one fault after the other, for so long.
static uint64_t
mix(world_t *self, uint32_t rate, uint32_t play_ms)
{
    uint64_t random = 20261124;
    begin_nodes(self, rate, true);
    uint32_t end_ms = now_ms() + play_ms;
    while ((int32_t)(end_ms - now_ms()) > 0) {
        random = random * UINT64_C(6364136223846793005) + 1;
        unsigned node = (unsigned)(random >> 33) % self->nodes;
        unsigned hub = (unsigned)(random >> 37) % self->switches;
        unsigned host = self->switches + node;
        const char *what = "";
        uint32_t ms = 500 + (uint32_t)(random >> 41) % 3000;
        switch ((random >> 53) % 5) {
        case 0:
            what = "a cut";
            hosts_cut(self->hosts, host, true, true);
            break;
        case 1:
            what = "a cut one way";
            hosts_cut(self->hosts, host, (random >> 60) % 2, 1);
            break;
        case 2:
            what = "loss and delay";
            hosts_weather(self->hosts, host, 20, 5);
            break;
        case 3:
            what = "a switch was killed";
            kill_hub(self, hub);
            last(ms / 4);
            start_hub(self, hub);
            break;
        default:
            what = "a node stood still";
            (void)kill(self->pids[node], SIGSTOP);
            break;
        }
        last(ms);
        hosts_cut(self->hosts, host, false, false);
        hosts_weather(self->hosts, host, 0, 0);
        (void)kill(self->pids[node], SIGCONT);
        over(self, what);
    }
    await_complete(self, 120000);
    uint64_t emitted = 0;
    for (unsigned i = 0; i < self->nodes; i++) {
        emitted += atomic_load(&self->books[i]->emitted);
    }
    return emitted;
}

static void
mixed(world_t *self)
{
    if (mix(self, 6000, 60000) < 1000000) {
        fail(self, "less than a million events");
    }
}

static void
mixed_short(world_t *self)
{
    (void)mix(self, 1000, 20000);
}

static const struct {
    const char *name;
    unsigned switches;
    unsigned nodes;
    unsigned descriptors;
    void (*play)(world_t *self);
} scenarios[] = {
    {"cut-1", 1, 3, 0, cut_1},
    {"cut-10", 1, 3, 0, cut_10},
    {"cut-30", 1, 3, 0, cut_30},
    {"weather", 1, 3, 0, weather},
    {"one-way", 1, 3, 0, one_way},
    {"kills", 1, 3, 0, kills},
    {"frozen", 1, 3, 0, frozen},
    {"slow", 1, 3, 0, slow},
    {"descriptors", 1, 3, 64, descriptors},
    {"killed", 1, 4, 0, killed},
    {"moves", 2, 3, 0, moves},
    {"mixed", 2, 4, 0, mixed},
    {"mixed-short", 2, 4, 0, mixed_short},
};

enum {
    SCENARIOS = sizeof scenarios / sizeof scenarios[0]
};

static int
play(world_t *self, const char *name)
{
    const char *why = NULL;
    int at = 0;
    while (at < SCENARIOS && strcmp(scenarios[at].name, name) != 0) {
        at++;
    }
    if (at == SCENARIOS) {
        fprintf(stderr, "no scenario %s\n", name);
        return 2;
    }
    self->switches = scenarios[at].switches;
    self->nodes = scenarios[at].nodes;
    self->descriptors = scenarios[at].descriptors;
    self->hosts = hosts_new(self->switches + self->nodes, &why);
    if (self->hosts == NULL) {
        printf("%s skipped: %s\n", name, why);
        return 77;
    }
    if (begin(self)) {
        scenarios[at].play(self);
        end(self, name);
    } else {
        self->failed++;
    }
    hosts_destroy(&self->hosts);
    return self->failed > 0 ? 1 : 0;
}

int
main(int argc, char **argv)
{
    world_t world = {0};
    int result = 0;
    for (int i = 0;
         argc == 2 && strcmp(argv[1], "--list") == 0 && i < SCENARIOS; i++) {
        printf("%s\n", scenarios[i].name);
    }
    if (argc < 4) {
        fprintf(stderr, "usage: faults [--list] DIRECTORY-OF-PROGRAMS "
                        "NUMBERS-PROGRAM SCENARIO...\n");
        return argc == 2 ? 0 : 2;
    }
    (void)snprintf(world.directory, sizeof world.directory,
        "/tmp/edri-faults-%d", (int)getpid());
    (void)mkdir(world.directory, 0700);
    world.programs = argv[1];
    world.numbers = argv[2];
    for (int i = 3; i < argc && result == 0; i++) {
        result = play(&world, argv[i]);
        memset(world.settings, 0, sizeof world.settings);
        memset(world.hub_settings, 0, sizeof world.hub_settings);
        world.resumed_ms = 0;
    }
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", world.directory);
    (void)!system(command);
    return result;
}
