# SPDX-License-Identifier: MIT
"""worker.py - a foreign program that handles some of duty.proto."""

import os

import edri_worker
import duty_pb2

NOT_FOUND = 4


def act(event):
    if event.what == "fail":
        raise edri_worker.Failed(NOT_FOUND, f"no number {event.number}")
    if event.what == "kill":
        os.kill(os.getpid(), 9)


def on_do(task, request):
    act(request)
    return duty_pb2.Done(
        text=request.what,
        number=request.number,
        data=request.data,
        pid=os.getpid(),
    )


def on_again(task, request):
    act(request)
    return duty_pb2.Done(number=task.redelivered, pid=os.getpid())


def on_note(task, note):
    act(note)


def on_try(task, event):
    act(event)


def on_shared(task, event):
    pass


edri_worker.run(
    {
        "duty.Do": (duty_pb2.Do, on_do),
        "duty.Again": (duty_pb2.Again, on_again),
        "duty.Note": (duty_pb2.Note, on_note),
        "duty.Try": (duty_pb2.Try, on_try),
        "duty.Shared": (duty_pb2.Shared, on_shared),
    }
)
