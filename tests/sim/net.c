// SPDX-License-Identifier: MIT
// net.c - a libzmq of our own, without threads.

#include "net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/alloc.h"

#define CONTEXT_MAGIC 0x51c0

enum {
    ROUTING_MAX = 32,
    LATENCY_US = 200, // at least, one way
    JITTER_US = 1500
};

// ----- messages

typedef struct content {
    void *data;
    size_t size;
    zmq_free_fn *release; // NULL: data lies behind the struct
    void *hint;
    unsigned references;
} content_t;

// part_t is what stands in a zmq_msg_t.
typedef struct part {
    content_t *content; // NULL: empty
    bool more;
} part_t;

_Static_assert(sizeof(part_t) <= sizeof(zmq_msg_t), "no room");

static part_t *
part_of(zmq_msg_t *message)
{
    return (part_t *)(void *)message;
}

static content_t *
content_new(const void *data, size_t size)
{
    content_t *self = mem_new(sizeof *self + size);
    self->data = self + 1;
    self->size = size;
    self->references = 1;
    if (size > 0 && data != NULL) {
        memcpy(self->data, data, size);
    }
    return self;
}

static void
content_drop(content_t *self)
{
    if (self != NULL && --self->references == 0) {
        if (self->release != NULL) {
            self->release(self->data, self->hint);
        }
        free(self);
    }
}

int
zmq_msg_init(zmq_msg_t *message)
{
    *part_of(message) = (part_t){0};
    return 0;
}

int
zmq_msg_init_size(zmq_msg_t *message, size_t size)
{
    *part_of(message) = (part_t){.content = content_new(NULL, size)};
    return 0;
}

int
zmq_msg_init_data(zmq_msg_t *message, void *data, size_t size,
    zmq_free_fn *release, void *hint)
{
    content_t *content = content_new(NULL, 0);
    content->data = data;
    content->size = size;
    content->release = release;
    content->hint = hint;
    *part_of(message) = (part_t){.content = content};
    return 0;
}

int
zmq_msg_close(zmq_msg_t *message)
{
    content_drop(part_of(message)->content);
    *part_of(message) = (part_t){0};
    return 0;
}

int
zmq_msg_move(zmq_msg_t *to, zmq_msg_t *from)
{
    content_drop(part_of(to)->content);
    *part_of(to) = *part_of(from);
    *part_of(from) = (part_t){0};
    return 0;
}

int
zmq_msg_copy(zmq_msg_t *to, zmq_msg_t *from)
{
    content_drop(part_of(to)->content);
    *part_of(to) = *part_of(from);
    if (part_of(to)->content != NULL) {
        part_of(to)->content->references++;
    }
    return 0;
}

void *
zmq_msg_data(zmq_msg_t *message)
{
    content_t *content = part_of(message)->content;
    return content != NULL ? content->data : NULL;
}

size_t
zmq_msg_size(const zmq_msg_t *message)
{
    const part_t *part = (const part_t *)(const void *)message;
    return part->content != NULL ? part->content->size : 0;
}

int
zmq_msg_more(const zmq_msg_t *message)
{
    return ((const part_t *)(const void *)message)->more;
}

// ----- pipes: whole messages, one way

typedef struct letter {
    struct letter *next;
    int64_t at_us; // when it arrives
    content_t **parts;
    size_t count;
} letter_t;

typedef struct socket socket_t;
typedef struct context context_t;

typedef struct pipe {
    socket_t *to;
    letter_t *first;
    letter_t *last;
    size_t count;
    int64_t newest_us;            // arrival of the last one
    uint8_t routing[ROUTING_MAX]; // who it comes from, for a ROUTER
    size_t routing_size;
    bool ended;        // by the sender, behind what is in it
    int64_t end_us;    // when that is known
    struct link *link; // NULL: inproc
} pipe_t;

// link_t is a connection: pipe 0 to the connecting end, 1 to the bound one.
typedef struct link {
    struct link *next;
    pipe_t pipes[2];
    socket_t *ends[2]; // connecting, bound; NULL: closed
    int hosts[2];
    bool dead; // nobody listens there
} link_t;

struct socket {
    context_t *context;
    socket_t *next;
    int kind;
    char endpoint[128]; // bound or connected
    bool bound;
    int linger;
    size_t hwm;
    uint8_t routing[ROUTING_MAX]; // its own
    size_t routing_size;
    link_t *link;       // of a DEALER over tcp
    socket_t *peer;     // of a DEALER or PAIR in a process
    pipe_t inside;      // what comes within the process
    letter_t *sending;  // parts so far
    link_t *sending_to; // of a ROUTER
    socket_t *sending_in;
    letter_t *reading; // parts left
    size_t read;
    size_t turn; // fair queueing over the links
};

struct context {
    int magic;
    int host;
    bool crashed;
    socket_t *sockets;
    context_t *next;
};

static struct {
    uint64_t random;
    context_t *contexts;
    link_t *links;
    int host; // of the next context
    uint64_t routings;
    bool cut[NET_HOSTS][NET_HOSTS];
    int64_t slow_us[NET_HOSTS];
    int64_t polled_us;
    net_pump_fn *pump;
} net;

static void
letter_free(letter_t *self)
{
    for (size_t i = 0; self != NULL && i < self->count; i++) {
        content_drop(self->parts[i]);
    }
    if (self != NULL) {
        free(self->parts);
    }
    free(self);
}

static void
letter_add(letter_t *self, content_t *content)
{
    self->parts =
        mem_resize(self->parts, (self->count + 1) * sizeof(content_t *));
    self->parts[self->count++] = content;
}

static void
pipe_put(pipe_t *self, letter_t *letter)
{
    letter->next = NULL;
    *(self->last != NULL ? &self->last->next : &self->first) = letter;
    self->last = letter;
    self->count++;
}

static letter_t *
pipe_take(pipe_t *self)
{
    letter_t *letter = self->first;
    self->first = letter->next;
    self->last = self->first == NULL ? NULL : self->last;
    self->count--;
    return letter;
}

static void
pipe_clear(pipe_t *self)
{
    while (self->first != NULL) {
        letter_free(pipe_take(self));
    }
}

// ----- the wire

static int
way_from(const link_t *link, int pipe)
{
    return link->hosts[pipe == 0 ? 1 : 0];
}

static int
way_to(const link_t *link, int pipe)
{
    return link->hosts[pipe == 0 ? 0 : 1];
}

static bool
is_cut(const link_t *link, int pipe)
{
    return net.cut[way_from(link, pipe)][way_to(link, pipe)];
}

static int64_t
travel_us(const link_t *link, int pipe)
{
    int64_t slow = net.slow_us[way_from(link, pipe)];
    return LATENCY_US + (int64_t)(sim_random(&net.random) % JITTER_US) +
           (slow > 0 ? (int64_t)(sim_random(&net.random) % (uint64_t)slow) : 0);
}

// later is when something that leaves now arrives: behind all before it.
static int64_t
later(pipe_t *pipe, const link_t *link, int which)
{
    int64_t at = sim_now_us + travel_us(link, which);
    pipe->newest_us = at > pipe->newest_us ? at : pipe->newest_us + 1;
    return pipe->newest_us;
}

// ready says whether the first letter has arrived.
static bool
ready(const pipe_t *pipe)
{
    return pipe->first != NULL &&
           (pipe->link == NULL ||
               (pipe->first->at_us <= sim_now_us &&
                   !is_cut(pipe->link, pipe == &pipe->link->pipes[1])));
}

// known_end says whether the receiver knows that the sender has closed.
static bool
known_end(const link_t *link, int pipe)
{
    const pipe_t *at = &link->pipes[pipe];
    return at->ended && at->first == NULL && at->end_us <= sim_now_us &&
           !is_cut(link, pipe);
}

// end_pipe ends one direction; a part of what has not arrived goes with it.
static void
end_pipe(link_t *link, int which, bool whole)
{
    pipe_t *pipe = &link->pipes[which];
    if (pipe->ended) {
        return;
    }
    size_t left = whole || pipe->count == 0
                      ? pipe->count
                      : sim_random(&net.random) % (pipe->count + 1);
    pipe_t kept = *pipe;
    kept.first = kept.last = NULL;
    kept.count = 0;
    while (pipe->first != NULL) {
        letter_t *letter = pipe_take(pipe);
        if (left > 0) {
            left--;
            pipe_put(&kept, letter);
        } else {
            letter_free(letter);
        }
    }
    *pipe = kept;
    pipe->ended = true;
    pipe->end_us = later(pipe, link, which);
}

// leave closes one end of a connection.
static void
leave(link_t *link, int end, bool whole)
{
    link->ends[end] = NULL;
    pipe_clear(&link->pipes[end]);
    link->pipes[end].ended = true;
    end_pipe(link, 1 - end, whole);
    if (link->ends[0] == NULL && link->ends[1] == NULL) {
        link->dead = true;
    }
}

static void
sweep(void)
{
    for (link_t **at = &net.links; *at != NULL;) {
        link_t *link = *at;
        if (link->ends[0] == NULL && link->ends[1] == NULL) {
            *at = link->next;
            pipe_clear(&link->pipes[0]);
            pipe_clear(&link->pipes[1]);
            free(link);
        } else {
            at = &link->next;
        }
    }
}

static link_t *
link_new(socket_t *from, const char *endpoint)
{
    link_t *link = mem_new(sizeof *link);
    socket_t *to = NULL;
    int host = 0;
    for (context_t *context = net.contexts; context != NULL;
         context = context->next) {
        for (socket_t *at = context->sockets; at != NULL; at = at->next) {
            if (at->bound && !context->crashed &&
                strcmp(at->endpoint, endpoint) == 0) {
                to = at;
            }
        }
    }
    (void)sscanf(endpoint, "tcp://host-%d:", &host);
    link->ends[0] = from;
    link->ends[1] = to;
    link->hosts[0] = from->context->host;
    link->hosts[1] = host;
    link->next = net.links;
    net.links = link;
    for (int i = 0; i < 2; i++) {
        link->pipes[i].link = link;
        link->pipes[i].to = link->ends[i];
    }
    // A ROUTER names its peers itself.
    pipe_t *pipe = &link->pipes[1];
    pipe->routing_size = 5;
    net.routings++;
    memcpy(pipe->routing + 1, &net.routings, 4);
    if (to == NULL) { // refused
        link->pipes[1].ended = true;
        link->pipes[0].ended = true;
        link->pipes[0].end_us = later(&link->pipes[0], link, 0);
    }
    return link;
}

// ----- sockets

void *
zmq_ctx_new(void)
{
    context_t *self = mem_new(sizeof *self);
    self->magic = CONTEXT_MAGIC;
    self->host = net.host;
    self->next = net.contexts;
    net.contexts = self;
    return self;
}

int
zmq_ctx_set(void *context, int option, int value)
{
    (void)context;
    (void)option;
    (void)value;
    return 0;
}

int
zmq_ctx_term(void *context)
{
    context_t **at = &net.contexts;
    while (*at != NULL && *at != context) {
        at = &(*at)->next;
    }
    if (*at == NULL || (*at)->sockets != NULL) {
        fprintf(stderr, "sim: a context ends with open sockets\n");
        abort();
    }
    *at = (*at)->next;
    free(context);
    return 0;
}

void *
zmq_socket(void *context, int kind)
{
    context_t *owner = context;
    socket_t *self = mem_new(sizeof *self);
    self->context = owner;
    self->kind = kind;
    self->hwm = 1000;
    self->linger = -1;
    self->inside.to = self;
    self->next = owner->sockets;
    owner->sockets = self;
    return self;
}

int
zmq_setsockopt(void *socket, int option, const void *value, size_t size)
{
    socket_t *self = socket;
    int number = 0;
    if (size == sizeof number) {
        memcpy(&number, value, size);
    }
    if (option == ZMQ_ROUTING_ID && size <= ROUTING_MAX) {
        memcpy(self->routing, value, size);
        self->routing_size = size;
    } else if (option == ZMQ_LINGER) {
        self->linger = number;
    } else if (option == ZMQ_SNDHWM) {
        self->hwm = number > 0 ? (size_t)number : SIZE_MAX;
    }
    return 0;
}

static bool
can_send(const socket_t *self)
{
    if (self->link == NULL) {
        return true;
    }
    return !known_end(self->link, 0) && !self->link->dead &&
           self->link->pipes[1].count < self->hwm;
}

int
zmq_getsockopt(void *socket, int option, void *value, size_t *size)
{
    socket_t *self = socket;
    if (option == ZMQ_EVENTS) {
        *(int *)value = can_send(self) ? ZMQ_POLLOUT : 0;
    } else if (option == ZMQ_LAST_ENDPOINT) {
        *size = (size_t)snprintf(value, *size, "%s", self->endpoint) + 1;
    } else {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

static socket_t *
find_inside(const context_t *context, const char *endpoint)
{
    socket_t *at = context->sockets;
    while (at != NULL && !(at->bound && strcmp(at->endpoint, endpoint) == 0)) {
        at = at->next;
    }
    return at;
}

int
zmq_bind(void *socket, const char *endpoint)
{
    socket_t *self = socket;
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
    self->bound = true;
    return 0;
}

int
zmq_connect(void *socket, const char *endpoint)
{
    socket_t *self = socket;
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
    if (strncmp(endpoint, "inproc://", 9) == 0) {
        self->peer = find_inside(self->context, endpoint);
        if (self->peer == NULL) {
            errno = ECONNREFUSED;
            return -1;
        }
        if (self->peer->kind == ZMQ_PAIR) {
            self->peer->peer = self;
        }
    } else if (!self->context->crashed) {
        self->link = link_new(self, endpoint);
    }
    return 0;
}

int
zmq_close(void *socket)
{
    socket_t *self = socket;
    for (link_t *link = net.links; link != NULL; link = link->next) {
        for (int end = 0; end < 2; end++) {
            if (link->ends[end] == self) {
                leave(link, end, self->linger > 0);
            }
        }
    }
    sweep();
    for (socket_t *at = self->context->sockets; at != NULL; at = at->next) {
        if (at->peer == self) {
            at->peer = NULL;
        }
    }
    pipe_clear(&self->inside);
    letter_free(self->sending);
    letter_free(self->reading);
    socket_t **at = &self->context->sockets;
    while (*at != self) {
        at = &(*at)->next;
    }
    *at = self->next;
    free(self);
    return 0;
}

// ----- sending

// address takes the first part of a ROUTER's message: to whom it goes.
static int
address(socket_t *self, const content_t *routing)
{
    self->sending_to = NULL;
    self->sending_in = NULL;
    for (socket_t *at = self->context->sockets; at != NULL; at = at->next) {
        if (at->peer == self && at->routing_size == routing->size &&
            memcmp(at->routing, routing->data, routing->size) == 0) {
            self->sending_in = at;
            return 0;
        }
    }
    for (link_t *link = net.links; link != NULL; link = link->next) {
        const pipe_t *from = &link->pipes[1];
        if (link->ends[1] == self && from->routing_size == routing->size &&
            memcmp(from->routing, routing->data, routing->size) == 0 &&
            !known_end(link, 1)) {
            if (link->pipes[0].count >= self->hwm) {
                errno = EAGAIN;
                return -1;
            }
            self->sending_to = link;
            return 0;
        }
    }
    errno = EHOSTUNREACH;
    return -1;
}

static void
post(socket_t *self, letter_t *letter)
{
    link_t *link = self->kind == ZMQ_ROUTER ? self->sending_to : self->link;
    socket_t *inside = self->kind == ZMQ_ROUTER ? self->sending_in : self->peer;
    if (link != NULL) {
        int which = self->kind == ZMQ_ROUTER ? 0 : 1;
        if (link->pipes[which].ended) {
            letter_free(letter);
            return;
        }
        letter->at_us = later(&link->pipes[which], link, which);
        pipe_put(&link->pipes[which], letter);
    } else if (inside != NULL) {
        if (inside->kind == ZMQ_ROUTER) { // who it comes from
            letter_add(letter, NULL);
            memmove(letter->parts + 1, letter->parts,
                (letter->count - 1) * sizeof(content_t *));
            letter->parts[0] = content_new(self->routing, self->routing_size);
        }
        pipe_put(&inside->inside, letter);
    } else {
        letter_free(letter);
    }
}

static int
send_content(socket_t *self, content_t *content, bool more)
{
    bool first = self->sending == NULL;
    if (first && self->kind != ZMQ_ROUTER &&
        (!can_send(self) || (self->link == NULL && self->peer == NULL))) {
        errno = EAGAIN;
        return -1;
    }
    if (first) {
        if (self->kind == ZMQ_ROUTER && address(self, content) != 0) {
            return -1;
        }
        self->sending = mem_new(sizeof *self->sending);
        if (self->kind == ZMQ_ROUTER) {
            content_drop(content);
            return 0;
        }
    }
    letter_add(self->sending, content);
    if (!more) {
        letter_t *letter = self->sending;
        self->sending = NULL;
        post(self, letter);
    }
    return 0;
}

int
zmq_msg_send(zmq_msg_t *message, void *socket, int flags)
{
    part_t *part = part_of(message);
    int size = (int)zmq_msg_size(message);
    content_t *content =
        part->content != NULL ? part->content : content_new(NULL, 0);
    if (send_content(socket, content, (flags & ZMQ_SNDMORE) != 0) != 0) {
        if (part->content == NULL) {
            content_drop(content);
        }
        return -1;
    }
    *part = (part_t){0};
    return size;
}

int
zmq_send(void *socket, const void *data, size_t size, int flags)
{
    content_t *content = content_new(data, size);
    if (send_content(socket, content, (flags & ZMQ_SNDMORE) != 0) != 0) {
        content_drop(content);
        return -1;
    }
    return (int)size;
}

// ----- receiving

// next_pipe returns a pipe with a letter that has arrived, in turn, or NULL.
static pipe_t *
next_pipe(socket_t *self)
{
    if (ready(&self->inside)) {
        return &self->inside;
    }
    if (self->link != NULL) {
        return ready(&self->link->pipes[0]) ? &self->link->pipes[0] : NULL;
    }
    size_t count = 0;
    for (link_t *link = net.links; link != NULL; link = link->next) {
        count += link->ends[1] == self && ready(&link->pipes[1]);
    }
    size_t wanted = count > 0 ? self->turn++ % count : 0;
    for (link_t *link = net.links; link != NULL; link = link->next) {
        if (link->ends[1] == self && ready(&link->pipes[1]) && wanted-- == 0) {
            return &link->pipes[1];
        }
    }
    return NULL;
}

static bool
has_input(socket_t *self)
{
    size_t turn = self->turn;
    bool any = self->reading != NULL || next_pipe(self) != NULL;
    self->turn = turn;
    return any;
}

static content_t *
next_part(socket_t *self, bool *more)
{
    if (self->reading == NULL) {
        pipe_t *pipe = next_pipe(self);
        if (pipe == NULL) {
            errno = EAGAIN;
            return NULL;
        }
        self->reading = pipe_take(pipe);
        self->read = 0;
        if (self->kind == ZMQ_ROUTER && pipe->link != NULL) {
            *more = true;
            return content_new(pipe->routing, pipe->routing_size);
        }
    }
    letter_t *letter = self->reading;
    content_t *content = letter->parts[self->read];
    letter->parts[self->read++] = NULL;
    *more = self->read < letter->count;
    if (!*more) {
        letter_free(letter);
        self->reading = NULL;
    }
    return content;
}

int
zmq_msg_recv(zmq_msg_t *message, void *socket, int flags)
{
    (void)flags; // whoever waits has polled
    bool more = false;
    content_t *content = next_part(socket, &more);
    if (content == NULL) {
        return -1;
    }
    content_drop(part_of(message)->content);
    *part_of(message) = (part_t){.content = content, .more = more};
    return (int)content->size;
}

int
zmq_msg_get(const zmq_msg_t *message, int property)
{
    (void)message;
    (void)property;
    return -1; // it came through no descriptor
}

int
zmq_recv(void *socket, void *data, size_t size, int flags)
{
    (void)flags;
    bool more = false;
    content_t *content = next_part(socket, &more);
    if (content == NULL) {
        return -1;
    }
    int whole = (int)content->size;
    if (whole > 0) {
        memcpy(
            data, content->data, content->size < size ? content->size : size);
    }
    content_drop(content);
    return whole;
}

static int
poll_once(zmq_pollitem_t *items, int count)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        items[i].revents = 0;
        if (items[i].socket != NULL && has_input(items[i].socket)) {
            items[i].revents = ZMQ_POLLIN;
            found++;
        }
    }
    return found;
}

int
zmq_poll(zmq_pollitem_t *items, int count, long timeout)
{
    int found = poll_once(items, count);
    // One socket alone: a thread that waits for its router.
    if (found == 0 && count == 1 && timeout != 0 && net.pump != NULL) {
        net.pump(((socket_t *)items[0].socket)->context);
        found = poll_once(items, count);
    }
    net.polled_us = found > 0     ? 0
                    : timeout < 0 ? INT64_MAX
                                  : sim_now_us + timeout * 1000;
    return found;
}

int
zmq_errno(void)
{
    return errno;
}

const char *
zmq_strerror(int number)
{
    return strerror(number);
}

// ----- the world's side

void
net_init(uint64_t seed)
{
    memset(&net, 0, sizeof net);
    net.random = seed;
}

void
net_host(int host)
{
    net.host = host;
}

void
net_cut(int from, int to, bool cut)
{
    net.cut[from][to] = cut;
    // What was held up is sent again by TCP, a little later.
    for (link_t *link = net.links; link != NULL && !cut; link = link->next) {
        for (int i = 0; i < 2; i++) {
            pipe_t *pipe = &link->pipes[i];
            if (way_from(link, i) != from || way_to(link, i) != to) {
                continue;
            }
            int64_t at =
                sim_now_us + (int64_t)(sim_random(&net.random) % 300000);
            for (letter_t *letter = pipe->first; letter != NULL;
                 letter = letter->next) {
                letter->at_us = letter->at_us > at ? letter->at_us : at;
                at = letter->at_us;
            }
            if (pipe->ended) {
                pipe->end_us = pipe->end_us > at ? pipe->end_us : at + 1;
            }
            pipe->newest_us = at > pipe->newest_us ? at : pipe->newest_us;
        }
    }
}

void
net_slow(int host, int64_t us)
{
    net.slow_us[host] = us;
}

void
net_crash(void *context)
{
    context_t *self = context;
    self->crashed = true;
    for (link_t *link = net.links; link != NULL; link = link->next) {
        for (int end = 0; end < 2; end++) {
            if (link->ends[end] != NULL && link->ends[end]->context == self) {
                if (link->ends[end]->link == link) {
                    link->ends[end]->link = NULL;
                }
                leave(link, end, false);
            }
        }
    }
    sweep();
}

int64_t
net_due(const void *context)
{
    int64_t next = INT64_MAX;
    for (const link_t *link = net.links; link != NULL; link = link->next) {
        for (int i = 0; i < 2; i++) {
            const pipe_t *pipe = &link->pipes[i];
            if (pipe->first != NULL && link->ends[i] != NULL &&
                link->ends[i]->context == context && !is_cut(link, i) &&
                pipe->first->at_us < next) {
                next = pipe->first->at_us;
            }
        }
    }
    return next;
}

bool
net_inside(const void *context)
{
    const context_t *self = context;
    for (const socket_t *at = self->sockets; at != NULL; at = at->next) {
        if (at->inside.first != NULL &&
            (at->kind == ZMQ_ROUTER || (at->kind == ZMQ_PAIR && !at->bound))) {
            return true;
        }
    }
    return false;
}

int64_t
net_polled(void)
{
    return net.polled_us;
}

void
net_on_wait(net_pump_fn *pump)
{
    net.pump = pump;
}
