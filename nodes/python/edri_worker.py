# SPDX-License-Identifier: MIT
"""edri_worker.py - handles events of an EDRI node in Python.

A program that a node starts (managers/NAME/program) and that handles one type:

    import edri_worker
    import shop_pb2

    def on_quote(task, quote):
        return shop_pb2.QuoteReply(price=42.5)   # None for a notification

    edri_worker.run({"shop.Quote": (shop_pb2.Quote, on_quote)})

A handler that raises Failed(code, text) ends its request with that error; any
other exception ends it as FAILED.  See docs/protocol.md, "Workers in other
processes".  Needs python3-zmq and python3-protobuf, and the modules that
protoc --python_out makes of edri/wire.proto and edri/link.proto.
"""

import os
import sys

import zmq

from edri import link_pb2, wire_pb2

FAILED = 19
UNDECODABLE = 18
REPLY = 2
PRIORITY = 0x70
ATTACHED = 0x80
LAST = 0x2000
INLINE_MAX = 8 * 1024
TEXT_MAX = 4096


class Failed(Exception):
    """How a handler ends its event with an error: Failed(code, text)."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code


class Task:
    """One event in the hands of the handler."""

    def __init__(self, head, envelope):
        self.life = getattr(head, "from")
        self.id = envelope.id
        self.redelivered = head.to[0].redelivered
        self.missed = head.to[0].missed
        self.attempt = envelope.attempt + head.to[0].attempt
        self.sender = head.to[0].sender  # the node's name


class _Worker:
    def __init__(self, endpoint, handlers):
        self.socket = zmq.Context().socket(zmq.PAIR)
        self.socket.connect(endpoint)
        self.handlers = handlers
        self.last_id = 0
        self.message = None  # the class of the events, and their handler
        self.handler = None

    def say(self, *words, parts=()):
        """Sends a head with control words, and what goes behind it."""
        head = wire_pb2.Head(control=words)
        if parts:
            head.lane = wire_pb2.REPLY_LANE
        self.socket.send_multipart([head.SerializeToString(), *parts])

    def ready(self):
        return link_pb2.Control(ready=link_pb2.Ready())

    def begin(self, head):
        """Takes up the work that the node gives."""
        work = head.control[1].work
        self.last_id = work.last_id
        if work.type_name not in self.handlers:
            reason = "the program has no handler of " + work.type_name
            self.say(link_pb2.Control(bye=link_pb2.Bye(reason=reason)))
            return
        self.message, self.handler = self.handlers[work.type_name]
        self.say(self.ready())

    def handle(self, head, envelope, body):
        """Calls the handler.  Returns error, text and packed reply."""
        try:
            event = self.message.FromString(body)
        except Exception as error:  # whatever protobuf raises
            return UNDECODABLE, str(error), b""
        try:
            reply = self.handler(Task(head, envelope), event)
            return 0, "", reply.SerializeToString() if reply else b""
        except Failed as failed:
            return failed.code, str(failed), b""
        except Exception as error:  # the handler's own
            return FAILED, f"{type(error).__name__}: {error}", b""

    def task(self, head, parts):
        envelope = wire_pb2.Batch.FromString(parts[1]).events[0]
        attached = envelope.flags & ATTACHED
        body = parts[2] if attached else envelope.body
        error, text, packed = self.handle(head, envelope, body)
        self.last_id += 1
        reply = wire_pb2.Envelope(
            type=envelope.type,
            id=self.last_id,
            flags=REPLY | envelope.flags & PRIORITY | LAST,
            request=envelope.id,
            to=getattr(head, "from"),
            error=error,
            text=text.encode()[:TEXT_MAX].decode(errors="ignore"),
        )
        behind = []
        if len(packed) > INLINE_MAX:
            reply.flags |= ATTACHED
            behind = [packed]
        else:
            reply.body = packed
        batch = wire_pb2.Batch(events=[reply]).SerializeToString()
        self.say(self.ready(), parts=[batch, *behind])

    def run(self):
        self.say(
            link_pb2.Control(hello=link_pb2.Hello(version=1, pid=os.getpid()))
        )
        poller = zmq.Poller()
        poller.register(self.socket, zmq.POLLIN)
        poller.register(sys.stdin.fileno(), zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if sys.stdin.fileno() in ready:
                return  # the node has ended, or has enough of us
            parts = self.socket.recv_multipart()
            head = wire_pb2.Head.FromString(parts[0])
            if len(parts) > 1:
                self.task(head, parts)
            elif len(head.control) == 2 and head.control[1].HasField("work"):
                self.begin(head)


def run(handlers):
    """Does the node's tasks until it ends.  'handlers' maps a type's full name
    to its message class and the function that handles it."""
    _Worker(os.environ["EDRI_WORKER"], handlers).run()
