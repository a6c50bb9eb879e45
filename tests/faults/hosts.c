// SPDX-License-Identifier: MIT
// hosts.c - a network of hosts on one machine: namespaces joined by a wire.

#include "hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_MAX = 2048,
    LATE_MAX = 4096 // frames under way with a delay
};

typedef struct late {
    int64_t at_us;
    int to;
    size_t size;
    uint8_t *frame;
} late_t;

typedef struct host {
    int space; // its namespace
    int tap;
    atomic_bool cut_from;
    atomic_bool cut_to;
    atomic_uint delay_ms;
    atomic_uint loss_percent;
} host_t;

struct hosts {
    host_t hosts[HOSTS_MAX];
    unsigned count;
    int home; // our own namespace
    pthread_t wire;
    int stop[2];
    uint64_t random;
    late_t late[LATE_MAX]; // a ring: all have the same delay, nearly
    size_t first;
    size_t waiting;
};

static int64_t
now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// ----- the wire

static void
put(hosts_t *self, int to, const uint8_t *frame, size_t size)
{
    // A full device loses frames, as a network does.
    (void)!write(self->hosts[to].tap, frame, size);
}

static void
delay(hosts_t *self, int to, const uint8_t *frame, size_t size, unsigned ms)
{
    if (self->waiting == LATE_MAX) {
        return;
    }
    late_t *late = &self->late[(self->first + self->waiting++) % LATE_MAX];
    *late = (late_t){
        .at_us = now_us() + ms * 1000, .to = to, .size = size, .frame = NULL};
    late->frame = malloc(size);
    memcpy(late->frame, frame, size);
}

static bool
chance(hosts_t *self, unsigned percent)
{
    self->random = self->random * UINT64_C(6364136223846793005) + 1;
    return (self->random >> 33) % 100 < percent;
}

static void
carry(hosts_t *self, int from, int to, const uint8_t *frame, size_t size)
{
    host_t *a = &self->hosts[from];
    host_t *b = &self->hosts[to];
    unsigned loss =
        atomic_load(&a->loss_percent) + atomic_load(&b->loss_percent);
    unsigned ms = atomic_load(&a->delay_ms) + atomic_load(&b->delay_ms);
    if (atomic_load(&a->cut_from) || atomic_load(&b->cut_to) ||
        (loss > 0 && chance(self, loss))) {
        return;
    }
    if (ms > 0) {
        delay(self, to, frame, size, ms);
    } else {
        put(self, to, frame, size);
    }
}

// read_tap carries what a host sends: by the last byte of the hardware address.
static void
read_tap(hosts_t *self, int from)
{
    uint8_t frame[FRAME_MAX];
    ssize_t size = 0;
    for (int i = 0; i < 64; i++) {
        size = read(self->hosts[from].tap, frame, sizeof frame);
        if (size < 14) {
            return;
        }
        bool all = frame[0] == 0xff;
        for (int to = 0; to < (int)self->count; to++) {
            if (to != from && (all || (frame[0] == 2 && frame[5] == to))) {
                carry(self, from, to, frame, (size_t)size);
            }
        }
    }
}

static int
send_late(hosts_t *self)
{
    while (self->waiting > 0) {
        late_t *late = &self->late[self->first];
        int64_t left = late->at_us - now_us();
        if (left > 0) {
            return (int)(left / 1000 + 1);
        }
        put(self, late->to, late->frame, late->size);
        free(late->frame);
        self->first = (self->first + 1) % LATE_MAX;
        self->waiting--;
    }
    return -1;
}

static void *
run_wire(void *arg)
{
    hosts_t *self = arg;
    struct pollfd items[HOSTS_MAX + 1];
    for (unsigned i = 0; i < self->count; i++) {
        items[i] = (struct pollfd){self->hosts[i].tap, POLLIN, 0};
    }
    items[self->count] = (struct pollfd){self->stop[0], POLLIN, 0};
    while (items[self->count].revents == 0) {
        (void)poll(items, self->count + 1, send_late(self));
        for (unsigned i = 0; i < self->count; i++) {
            if ((items[i].revents & POLLIN) != 0) {
                read_tap(self, (int)i);
            }
        }
    }
    return NULL;
}

// ----- namespaces

static bool
set_address(int sock, unsigned host)
{
    struct ifreq request = {0};
    struct sockaddr_in *address =
        (struct sockaddr_in *)(void *)&request.ifr_addr;
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "host");
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data,
        (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)host}, 6);
    bool fine = ioctl(sock, SIOCSIFHWADDR, &request) == 0;
    memset(&request.ifr_addr, 0, sizeof request.ifr_addr);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(0x0a4d0001 + host);
    fine = fine && ioctl(sock, SIOCSIFADDR, &request) == 0;
    address->sin_addr.s_addr = htonl(0xffffff00);
    return fine && ioctl(sock, SIOCSIFNETMASK, &request) == 0;
}

static bool
raise_device(int sock, const char *name)
{
    struct ifreq request = {0};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (ioctl(sock, SIOCGIFFLAGS, &request) != 0) {
        return false;
    }
    request.ifr_flags |= IFF_UP;
    return ioctl(sock, SIOCSIFFLAGS, &request) == 0;
}

static int
open_tap(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        (void)mkdir("/dev/net", 0755);
        (void)mknod("/dev/net/tun", S_IFCHR | 0600, makedev(10, 200));
        fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "host");
    if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) != 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

// make_host makes one and leaves us in its namespace.
static const char *
make_host(host_t *self, unsigned number)
{
    if (unshare(CLONE_NEWNET) != 0) {
        return "no network namespaces for this user here";
    }
    self->space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    self->tap = open_tap();
    if (self->tap < 0) {
        return "no TAP devices for this user here";
    }
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool fine = sock >= 0 && set_address(sock, number) &&
                raise_device(sock, "lo") && raise_device(sock, "host");
    (void)close(sock);
    return fine ? NULL : "a device cannot be configured";
}

// become_root maps this user to root of a user namespace, where it may have
// namespaces of all kinds.
static void
become_root(void)
{
    char map[64];
    (void)snprintf(map, sizeof map, "0 %u 1", (unsigned)geteuid());
    if (geteuid() == 0 || unshare(CLONE_NEWUSER) != 0) {
        return;
    }
    int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    (void)!write(fd, map, strlen(map));
    (void)close(fd);
}

hosts_t *
hosts_new(unsigned count, const char **why)
{
    hosts_t *self = calloc(1, sizeof *self);
    self->count = count;
    self->random = 1;
    become_root();
    self->home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    *why = pipe2(self->stop, O_CLOEXEC) == 0 ? NULL : "no pipe";
    for (unsigned i = 0; i < count && *why == NULL; i++) {
        *why = make_host(&self->hosts[i], i);
    }
    (void)setns(self->home, CLONE_NEWNET);
    if (*why == NULL &&
        pthread_create(&self->wire, NULL, run_wire, self) != 0) {
        *why = "no thread";
    }
    if (*why != NULL) {
        free(self);
        return NULL;
    }
    return self;
}

void
hosts_destroy(hosts_t **self_p)
{
    hosts_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    (void)!write(self->stop[1], "", 1);
    (void)pthread_join(self->wire, NULL);
    for (; self->waiting > 0; self->waiting--) {
        free(self->late[self->first].frame);
        self->first = (self->first + 1) % LATE_MAX;
    }
    for (unsigned i = 0; i < self->count; i++) {
        (void)close(self->hosts[i].tap);
        (void)close(self->hosts[i].space);
    }
    (void)close(self->home);
    (void)close(self->stop[0]);
    (void)close(self->stop[1]);
    free(self);
}

// ----- on a host

pid_t
hosts_run(hosts_t *self, unsigned host, char *const argv[], const char *output,
    unsigned descriptors)
{
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    struct rlimit limit = {descriptors, descriptors};
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    (void)close(fd);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); // never outlives the test
    if (setns(self->hosts[host].space, CLONE_NEWNET) != 0 ||
        (descriptors > 0 && setrlimit(RLIMIT_NOFILE, &limit) != 0)) {
        _exit(126);
    }
    (void)execv(argv[0], argv);
    _exit(127);
}

int
hosts_connect(hosts_t *self, unsigned from, unsigned to, unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(0x0a4d0001 + to)};
    (void)setns(self->hosts[from].space, CLONE_NEWNET);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setns(self->home, CLONE_NEWNET);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *)(void *)&address, sizeof address) != 0 &&
        errno != EINPROGRESS) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

void
hosts_cut(hosts_t *self, unsigned host, bool from, bool to)
{
    atomic_store(&self->hosts[host].cut_from, from);
    atomic_store(&self->hosts[host].cut_to, to);
}

void
hosts_weather(
    hosts_t *self, unsigned host, unsigned delay_ms, unsigned loss_percent)
{
    atomic_store(&self->hosts[host].delay_ms, delay_ms);
    atomic_store(&self->hosts[host].loss_percent, loss_percent);
}
