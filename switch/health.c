// SPDX-License-Identifier: MIT
// health.c - edri-switch --health: does a switch answer?

#include <stdio.h>

#include "base/clock.h"
#include "hub.h"

#define WAIT_MS 2000

static bool
say_hello(void *socket)
{
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    control_t *list[] = {&word};
    head_t head = EDRI__WIRE__HEAD__INIT;
    uint8_t packed[256];
    hello.version = 1;
    hello.life = life_new();
    hello.guest = true;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    head.control = list;
    head.n_control = 1;
    size_t size = head_write(&head, packed);
    return zmq_send(socket, packed, size, ZMQ_DONTWAIT) >= 0;
}

static bool
is_welcome(const zmq_msg_t *message)
{
    head_t *head = NULL;
    zmq_msg_t *data = (zmq_msg_t *)(uintptr_t)message;
    bool welcome =
        head_read((slice_t){zmq_msg_data(data), zmq_msg_size(message)}, &head,
            NULL) == EDRI_OK &&
        head->n_control > 0 &&
        head->control[0]->word_case == EDRI__LINK__CONTROL__WORD_WELCOME;
    head_free(&head);
    return welcome;
}

int
health(const char *endpoint)
{
    void *zmq = zmq_ctx_new();
    void *socket = zmq_socket(zmq, ZMQ_DEALER);
    int zero = 0;
    bool healthy = false;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &zero, sizeof zero);
    if (zmq_connect(socket, endpoint) != 0) {
        fprintf(stderr, "edri-switch: --health %s: %s\n", endpoint,
            zmq_strerror(zmq_errno()));
    } else if (say_hello(socket)) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
        zmq_msg_t message;
        (void)zmq_msg_init(&message);
        healthy = zmq_poll(&item, 1, WAIT_MS) > 0 &&
                  zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) >= 0 &&
                  is_welcome(&message);
        (void)zmq_msg_close(&message);
    }
    zmq_close(socket);
    zmq_ctx_term(zmq);
    if (!healthy) {
        fprintf(stderr, "edri-switch: no switch answers at %s\n", endpoint);
    }
    return healthy ? 0 : 1;
}
