// SPDX-License-Identifier: MIT
// echo.c - a plugin whose tunnel sends back what comes, and one of messages.

#include <stdio.h>

#include <edri/edri.h>

#include "tunnel.edri.h"

static edri_err_t
on_bytes(edri_task_t *task, const Pipe__Bytes *args, edri_tunnel_t *tunnel)
{
    edri_bytes_t bytes;
    edri_err_t err = EDRI_OK;
    (void)task;
    (void)args;
    while ((err = pipe_bytes_receive_up(tunnel, -1, &bytes)) == EDRI_OK) {
        err = pipe_bytes_send_down(tunnel, bytes.data, bytes.size, -1);
        edri_bytes_free(&bytes);
        if (err != EDRI_OK) {
            break;
        }
    }
    return err == EDRI_END ? EDRI_OK : err;
}

static edri_err_t
on_talk(edri_task_t *task, const Pipe__Talk *args, edri_tunnel_t *tunnel)
{
    Pipe__Say *said = NULL;
    edri_err_t err = EDRI_OK;
    uint32_t number = 0;
    if (args->room[0] == '\0') {
        return edri_task_fail(task, EDRI_INVAL, "a room is expected");
    }
    while (err == EDRI_OK &&
           (err = pipe_talk_receive_up(tunnel, -1, &said)) == EDRI_OK) {
        Pipe__Heard heard = PIPE__HEARD__INIT;
        heard.text = said->text;
        heard.count = ++number;
        err = pipe_talk_send_down(tunnel, &heard, -1);
        pipe_talk_up_free(&said);
    }
    return err == EDRI_END ? EDRI_OK : err;
}

edri_err_t
edri_plugin(edri_manager_t *manager)
{
    (void)pipe_talk_handle(manager, on_talk, EDRI_THREADS(2));
    return pipe_bytes_handle(manager, on_bytes, EDRI_THREADS(2));
}
