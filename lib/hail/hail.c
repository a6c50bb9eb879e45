// SPDX-License-Identifier: MIT
// hail.c - is anybody there, and ready?

#include "hail/hail.h"

#include <stdio.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "wire/frame.h"

static bool
say(void *socket, control_t *word)
{
    head_t head = EDRI__WIRE__HEAD__INIT;
    uint8_t packed[256];
    head.control = &word;
    head.n_control = 1;
    size_t size = head_write(&head, packed);
    return zmq_send(socket, packed, size, ZMQ_DONTWAIT) >= 0;
}

static bool
say_hello(void *socket)
{
    Edri__Link__Hello hello = EDRI__LINK__HELLO__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    hello.version = 1;
    hello.life = life_new();
    hello.guest = true;
    word.word_case = EDRI__LINK__CONTROL__WORD_HELLO;
    word.hello = &hello;
    return say(socket, &word);
}

static void
say_bye(void *socket)
{
    Edri__Link__Bye bye = EDRI__LINK__BYE__INIT;
    control_t word = EDRI__LINK__CONTROL__INIT;
    bye.reason = (char[]){"health check"};
    word.word_case = EDRI__LINK__CONTROL__WORD_BYE;
    word.bye = &bye;
    (void)say(socket, &word);
}

static edri_err_t
read_answer(void *socket, char *why, size_t why_size)
{
    zmq_msg_t message;
    head_t *head = NULL;
    edri_err_t err = EDRI_PROTO;
    (void)zmq_msg_init(&message);
    (void)snprintf(why, why_size, "what answers is no switch and no node");
    if (zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) >= 0 &&
        head_read((slice_t){zmq_msg_data(&message), zmq_msg_size(&message)},
            &head, NULL) == EDRI_OK &&
        head->n_control > 0) {
        const control_t *word = head->control[0];
        if (word->word_case == EDRI__LINK__CONTROL__WORD_WELCOME) {
            why[0] = '\0';
            err = EDRI_OK;
        } else if (word->word_case == EDRI__LINK__CONTROL__WORD_REFUSED) {
            (void)snprintf(why, why_size, "%s", word->refused->text);
            err = (edri_err_t)word->refused->error;
        }
    }
    head_free(&head);
    (void)zmq_msg_close(&message);
    return err;
}

// to_connect makes an endpoint to connect to of one to bind; caller frees it.
static char *
to_connect(const char *endpoint)
{
    static const char *const any[] = {"tcp://*:", "tcp://0.0.0.0:", NULL};
    for (int i = 0; any[i] != NULL; i++) {
        if (strncmp(endpoint, any[i], strlen(any[i])) == 0) {
            return str_printf("tcp://127.0.0.1:%s", endpoint + strlen(any[i]));
        }
    }
    return str_dup(endpoint);
}

edri_err_t
hail(const char *endpoint, int wait_ms, char *why, size_t why_size)
{
    char *address = to_connect(endpoint);
    void *zmq = zmq_ctx_new();
    void *socket = zmq_socket(zmq, ZMQ_DEALER);
    int linger = 100; // for BYE
    edri_err_t err = EDRI_UNREACHABLE;
    (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    (void)snprintf(why, why_size, "nothing answers within %d ms", wait_ms);
    if (zmq_connect(socket, address) != 0) {
        (void)snprintf(why, why_size, "%s", zmq_strerror(zmq_errno()));
        err = EDRI_INVAL;
    } else if (say_hello(socket)) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
        if (zmq_poll(&item, 1, wait_ms) > 0) {
            err = read_answer(socket, why, why_size);
            say_bye(socket);
        } else {
            linger = 0;
            (void)zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        }
    }
    zmq_close(socket);
    zmq_ctx_term(zmq);
    free(address);
    return err;
}
