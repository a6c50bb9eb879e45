# SPDX-License-Identifier: MIT
"""worker.py - a foreign program that does what site.c does."""

import os
import time

import edri_worker
import duty_pb2

NOT_FOUND = 4
NO_RESPONDER = 13
OVERLOADED = 17


def pattern(size):
    return bytes((i * 7 + size) & 0xFF for i in range(size))


def emit_seen(context, what, number=0, size=0):
    data = pattern(size)
    context.emit(duty_pb2.Seen(what=what, number=number, data=data))


def flood(task):
    try:
        for _ in range(100000):
            task.emit(duty_pb2.Flood(data=bytes(1000)))
    except edri_worker.Failed as failed:
        return "OVERLOADED" if failed.code == OVERLOADED else str(failed)
    return "OK"


def until_unwanted(task):
    emit_seen(task, "begun")
    end = time.monotonic() + 20
    while not task.cancelled() and time.monotonic() < end:
        time.sleep(0.001)
    if task.cancelled():
        emit_seen(task, "unwanted")


def act(task, event):
    what, number = event.what, event.number
    if what == "fail":
        raise edri_worker.Failed(NOT_FOUND, f"no number {number}")
    if what == "kill":
        os.kill(os.getpid(), 9)
    if what == "emit":
        for i in range(number):
            emit_seen(task, "row", i, 10)
        task.flush()
    if what == "emit_large":
        emit_seen(task, "large", number, number)
    if what == "lonely":
        task.emit(duty_pb2.Lonely())
        task.flush()
    if what == "until_unwanted":
        until_unwanted(task)
    if what == "work":
        emit_seen(task, "begun", number)
        time.sleep(number / 1000)
        emit_seen(task, "ended", number)
    if what == "progress":
        for i in range(number + 1):
            task.progress(i, number, "counting")
            time.sleep(0.06 if i < number else 0)


def nobody(task):
    try:
        task.request(duty_pb2.Nobody())
    except edri_worker.Failed as failed:
        return "NO_RESPONDER" if failed.code == NO_RESPONDER else str(failed)
    return "OK"


def on_do(task, request):
    act(task, request)
    done = duty_pb2.Done(
        text=request.what,
        number=request.number,
        data=request.data,
        pid=os.getpid(),
    )
    if request.what == "ask":
        done.number = task.request(duty_pb2.Inner(number=request.number)).number
    if request.what == "nobody":
        done.text = nobody(task)
    if request.what == "flood":
        done.text = flood(task)
    return done


def on_again(task, request):
    act(task, request)
    return duty_pb2.Done(number=task.redelivered, pid=os.getpid())


def on_note(task, note):
    if note.what == "see":
        whole = note.data == pattern(len(note.data))
        emit_seen(task, "noted", note.number, len(note.data) if whole else 0)
    else:
        act(task, note)


def on_try(task, event):
    if task.attempt < 2:
        raise edri_worker.Failed(edri_worker.FAILED, f"attempt {task.attempt}")
    emit_seen(task, "tried" if task.redelivered else "not marked", task.attempt)


def on_shared(task, event):
    emit_seen(task, "marked" if task.redelivered else "shared", event.number)


def on_inner_reply(task, reply):
    emit_seen(task, "observed", reply.number if reply else 0)


def started(context):
    number = context.request(duty_pb2.Inner()).number
    emit_seen(context, "started", number)


def draining(context):
    emit_seen(context, "draining")


edri_worker.run(
    {
        duty_pb2.Do: on_do,
        duty_pb2.Again: on_again,
        duty_pb2.Note: on_note,
        duty_pb2.Try: on_try,
        duty_pb2.Shared: on_shared,
    },
    observers={duty_pb2.Inner: on_inner_reply},
    started=started,
    draining=draining,
)
