# SPDX-License-Identifier: MIT
"""edri_worker.py - handles events of an EDRI node in Python.

A program that a node starts (managers/NAME/program) and that handles events:

    import edri_worker
    import shop_pb2

    def on_quote(task, quote):
        task.emit(shop_pb2.Seen(symbol=quote.symbol))
        tax = task.request(shop_pb2.Tax(symbol=quote.symbol))
        return shop_pb2.QuoteReply(price=42.5 * tax.rate)   # None: a notification

    edri_worker.run({shop_pb2.Quote: on_quote})

With 'mode = processes:N' it is one of N workers for each type, with
'run = process' it is the whole manager: all its types, one after the other, its
hooks, and the state that it keeps between them.

A handler that raises Failed(code, text) ends its request with that error; any
other exception ends it as FAILED.  See docs/protocol.md, "Workers in other
processes".  Needs python3-zmq and python3-protobuf, and the modules that
protoc --python_out makes of edri/event.proto, wire.proto and link.proto.
"""

import hashlib
import os
import re
import struct
import sys
import time

import zmq
from google.protobuf import descriptor_pb2

from edri import event_pb2, link_pb2, wire_pb2

# Errors (edri/err.h).
CANCELLED = 16
DEADLINE = 15
FAILED = 19
INVAL = 1
OVERLOADED = 17
UNDECODABLE = 18

# Envelope.flags (edri/wire.proto).
REQUEST = 1
REPLY = 2
PRIORITY = 0x70
ATTACHED = 0x80
NODE_ONLY = 0x200
KEYED = 0x800
OBSERVED = 0x1000
LAST = 0x2000
PROGRESS = 0x8000

INLINE_MAX = 24 * 1024
TEXT_MAX = 4096
WINDOW = 64  # frames of events that the node has not taken
PROGRESS_S = 0.05


class Failed(Exception):
    """An event, or a request, has ended with an error: Failed(code, text)."""

    def __init__(self, code, text=""):
        super().__init__(text)
        self.code = code


class _Type:
    """What an event's type says of itself, once."""

    def __init__(self, message):
        descriptor = message.DESCRIPTOR
        options = descriptor.GetOptions().Extensions[event_pb2.event]
        self.name = descriptor.full_name
        self.id = _type_id(self.name)
        self.options = options
        self.is_request = options.kind == event_pb2.REQUEST
        all_or_one = event_pb2.ONE if self.is_request else event_pb2.ALL
        deliver = options.deliver if options.HasField("deliver") else all_or_one
        self.flags = options.kind | deliver << 2 | options.priority << 4
        if not options.shareable:
            self.flags |= NODE_ONLY
        self.timeout_ms = _duration_ms(options.timeout)
        self.key = options.key
        self.file = descriptor.file

    def describe(self):
        """Its file with all that it imports, packed."""
        files = descriptor_pb2.FileDescriptorSet()
        _add_file(files, self.file, set())
        return files.SerializeToString(deterministic=True)


def _type_id(name):
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _add_file(files, file, seen):
    if file.name not in seen:
        seen.add(file.name)
        for other in file.dependencies:
            _add_file(files, other, seen)
        file.CopyToProto(files.file.add())


def _duration_ms(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|d)?", text).groups()
    units = {"ms": 1, None: 1, "s": 1000, "m": 60000, "h": 3600000}
    return int(number) * units.get(unit, 86400000)


def _key(message, name):
    """The hash of a key field's value: FNV-1a."""
    value = getattr(message, name)
    if isinstance(value, str):
        data = value.encode()
    elif isinstance(value, bytes):
        data = value
    else:
        data = struct.pack("<q" if value < 1 << 63 else "<Q", value)
    result = 0xCBF29CE484222325
    for byte in data:
        result = (result ^ byte) * 0x100000001B3 % (1 << 64)
    return result


class Context:
    """What a hook has, and each task: the way to emit and to ask."""

    def __init__(self, worker):
        self._worker = worker
        self._cause = 0
        self._cause_life = 0
        self._until = None  # time.monotonic()

    def emit(self, message, ttl_ms=0):
        """Emits a notification.  Waits while its receivers are full; then
        Failed(OVERLOADED)."""
        kind = self._worker.type_of(message)
        if kind.is_request:
            raise Failed(INVAL, kind.name + " is a request")
        self._worker.send(kind, message, ttl_ms, self)

    def request(self, message, timeout_ms=None):
        """Asks, and returns the reply; Failed when it ends with an error."""
        kind = self._worker.type_of(message)
        if not kind.is_request:
            raise Failed(INVAL, kind.name + " is a notification")
        left = (timeout_ms or kind.timeout_ms) / 1000
        if self._until is not None:
            left = min(left, self._until - time.monotonic())
        if left <= 0:
            raise Failed(DEADLINE, kind.name + ": no time is left")
        return self._worker.ask(kind, message, left, self)


    def flush(self):
        """Waits until what was emitted has left the node, or is in a queue there."""
        self._worker.flush()


class Task(Context):
    """One event in the hands of the handler."""

    def __init__(self, worker, head, envelope, limit_ms):
        super().__init__(worker)
        self.life = getattr(head, "from")
        self.id = envelope.id
        self.redelivered = head.to[0].redelivered
        self.missed = head.to[0].missed
        self.attempt = envelope.attempt + head.to[0].attempt
        self.sender = head.to[0].sender  # the node's name
        self._envelope = envelope
        self._cancelled = False
        self._told = 0.0
        self._cause = envelope.id
        self._cause_life = self.life
        limits = [limit_ms] if limit_ms else []
        if envelope.ttl_ms and envelope.flags & 3 == REQUEST:
            limits.append(envelope.ttl_ms - head.age_ms)
        if limits:
            self._until = time.monotonic() + min(limits) / 1000

    def cancelled(self):
        """Whether nobody waits for the result any more."""
        self._worker.pump(0)
        late = self._until is not None and time.monotonic() >= self._until
        return self._cancelled or late

    def progress(self, done, total=0, text=""):
        """Tells who asked how far it is, if that is wanted."""
        envelope = self._envelope
        wanted = envelope.flags & PROGRESS and envelope.flags & 3 == REQUEST
        now = time.monotonic()
        full = total > 0 and done == total
        if wanted and (full or now - self._told >= PROGRESS_S):
            self._told = now
            said = wire_pb2.Progress(done=done, total=total)
            reply = self._worker.reply_to(self, envelope, PROGRESS, text)
            reply.body = said.SerializeToString()
            self._worker.say(lane=wire_pb2.REPLY_LANE, parts=_batch(reply))


def _batch(envelope, behind=()):
    return [wire_pb2.Batch(events=[envelope]).SerializeToString(), *behind]


def _text(text):
    return text.encode()[:TEXT_MAX].decode(errors="ignore")


class _Worker:
    def __init__(self, endpoint, handlers, observers, started, draining):
        self.socket = zmq.Context().socket(zmq.PAIR)
        self.socket.connect(endpoint)
        self.poller = zmq.Poller()
        self.poller.register(self.socket, zmq.POLLIN)
        self.poller.register(sys.stdin.fileno(), zmq.POLLIN)
        self.handlers = _by_id(handlers)
        self.observers = _by_id(observers)
        self.started = started
        self.draining = draining
        self.types = {}  # by message class
        self.limits = {}  # by type id
        self.offered = set()
        self.closed = set()  # ids of types whose receivers are full
        self.answers = {}  # by request
        self.waiting = []  # tasks and hooks, as they came
        self.task = None  # that runs
        self.last_id = 0
        self.sent = self.taken = self.under_way = 0
        self.sizes = []
        self.window_bytes = 0
        self.emit_wait = 5.0
        self.flushed = True

    # ----- sending

    def say(self, *words, lane=wire_pb2.CONTROL, parts=(), **fields):
        """Sends a head with control words, and what goes behind it."""
        head = wire_pb2.Head(control=words, lane=lane, **fields)
        self.socket.send_multipart([head.SerializeToString(), *parts])

    def next_id(self):
        self.last_id += 1
        return self.last_id

    def reply_to(self, task, asked, flag, text):
        return wire_pb2.Envelope(
            type=asked.type,
            id=self.next_id(),
            flags=REPLY | asked.flags & PRIORITY | flag,
            request=asked.id,
            to=task.life,
            text=_text(text),
        )

    def type_of(self, message):
        kind = self.types.get(type(message))
        if kind is None:
            kind = self.types[type(message)] = _Type(message)
        return kind

    def offer(self, kind):
        """Describes a type before the first event of it."""
        if kind.id in self.offered:
            return
        self.offered.add(kind.id)
        data = kind.describe()
        file = hashlib.sha256(data).digest()
        info = link_pb2.TypeInfo(name=kind.name, type=kind.id, file=file, emits=True)
        self.say(
            link_pb2.Control(
                describe=link_pb2.Describe(file=file, descriptors=data)
            ),
            link_pb2.Control(offer=link_pb2.Offer(types=[info])),
        )

    def has_room(self, kind):
        few = self.sent - self.taken < WINDOW
        return few and self.under_way < self.window_bytes and kind.id not in self.closed

    def send(self, kind, message, ttl_ms, context):
        """Sends an event.  Returns its id."""
        self.offer(kind)
        until = time.monotonic() + self.emit_wait
        while not self.has_room(kind):
            self.pump(until - time.monotonic())
            if time.monotonic() >= until:
                raise Failed(OVERLOADED, kind.name + ": a receiver is full")
        envelope = wire_pb2.Envelope(
            type=kind.id,
            id=self.next_id(),
            flags=kind.flags,
            ttl_ms=ttl_ms,
            cause=context._cause,
            cause_life=context._cause_life,
        )
        if kind.key:
            envelope.flags |= KEYED
            envelope.key = _key(message, kind.key)
        body = message.SerializeToString()
        behind = []
        if len(body) > INLINE_MAX:
            envelope.flags |= ATTACHED
            behind = [body]
        else:
            envelope.body = body
        parts = _batch(envelope, behind)
        self.sent += 1
        self.sizes.append(sum(map(len, parts)))
        self.under_way += self.sizes[-1]
        self.say(lane=wire_pb2.EVENT, parts=parts)
        return envelope.id

    def ask(self, kind, message, left, context):
        until = time.monotonic() + left
        request = self.send(kind, message, max(1, int(left * 1000)), context)
        while request not in self.answers:
            self.pump(until - time.monotonic())
            if request in self.answers:
                break
            late = time.monotonic() >= until
            if late or (self.task is not None and self.task._cancelled):
                self.say(cancels=[request])
                code = DEADLINE if late else CANCELLED
                raise Failed(code, kind.name + " has not been answered")
        envelope, body = self.answers.pop(request)
        if envelope.error:
            raise Failed(envelope.error, envelope.text)
        pool = message.DESCRIPTOR.file.pool
        reply = kind.options.reply
        package = message.DESCRIPTOR.file.package
        name = reply if "." in reply or not package else package + "." + reply
        return _class_of(pool.FindMessageTypeByName(name)).FromString(body)

    def flush(self):
        self.flushed = False
        self.say(link_pb2.Control(flush=link_pb2.Flush()))
        while not self.flushed:
            self.pump(3600)

    # ----- what the node says

    def pump(self, wait):
        """Hears what the node says, waiting so many seconds for the first."""
        ready = dict(self.poller.poll(max(0, int(wait * 1000 + 0.999))))
        if sys.stdin.fileno() in ready:
            sys.exit(0)  # the node has ended, or has enough of us
        while self.socket in ready:
            self.hear(self.socket.recv_multipart())
            if not self.socket.poll(0):
                break

    def hear(self, parts):
        head = wire_pb2.Head.FromString(parts[0])
        while self.taken < head.taken:
            self.taken += 1
            self.under_way -= self.sizes.pop(0)
        for word in head.control:
            if word.HasField("gate"):
                change = self.closed.add if word.gate.closed else self.closed.discard
                change(word.gate.type)
            elif word.HasField("flush"):
                self.flushed = True
            elif word.HasField("drain"):
                self.waiting.append((None, None))
        task = self.task
        if task and task.id in head.cancels and task.life == getattr(head, "from"):
            task._cancelled = True
        if len(parts) < 2:
            if head.control and head.control[0].HasField("welcome"):
                self.waiting.append((head, None))
            return
        if head.lane != wire_pb2.REPLY_LANE:
            self.waiting.append((head, parts))
            return
        behind = iter(parts[2:])
        for envelope in wire_pb2.Batch.FromString(parts[1]).events:
            body = next(behind) if envelope.flags & ATTACHED else envelope.body
            if not envelope.flags & PROGRESS:
                self.answers[envelope.request] = (envelope, body)

    def next(self):
        while not self.waiting:
            self.pump(3600)
        return self.waiting.pop(0)

    # ----- the node's work

    def begin(self):
        """Takes up the work that the node gives."""
        head, _ = self.next()
        whole = False
        for word in head.control[1:]:
            work = word.work
            self.last_id = work.last_id
            self.window_bytes = work.window_bytes
            self.emit_wait = work.emit_wait_ms / 1000
            self.limits[work.type] = work.time_limit_ms
            whole = whole or work.own
            table = self.observers if work.observes else self.handlers
            if work.type_name and work.type not in table:
                what = "an observer" if work.observes else "a handler"
                reason = f"the program has not {what} of {work.type_name}"
                self.say(link_pb2.Control(bye=link_pb2.Bye(reason=reason)))
        if whole and self.started:
            try:
                self.started(Context(self))
            except Exception as error:  # the hook's own
                reason = f"its hook, started, failed: {error}"
                self.say(link_pb2.Control(bye=link_pb2.Bye(reason=reason)))
        self.say(link_pb2.Control(ready=link_pb2.Ready()))

    def handle(self, task, envelope, body):
        """Calls the handler.  Returns error, text and packed reply."""
        observed = envelope.flags & OBSERVED
        table = self.observers if observed else self.handlers
        message, handler = table[envelope.type]
        if observed:
            name = message.DESCRIPTOR.GetOptions().Extensions[event_pb2.event].reply
            package = message.DESCRIPTOR.file.package
            full = name if "." in name or not package else package + "." + name
            pool = message.DESCRIPTOR.file.pool
            message = _class_of(pool.FindMessageTypeByName(full))
        try:
            event = None if envelope.error else message.FromString(body)
        except Exception as error:  # whatever protobuf raises
            return UNDECODABLE, str(error), b""
        try:
            reply = handler(task, event)
            return 0, "", reply.SerializeToString() if reply else b""
        except Failed as failed:
            return failed.code, str(failed), b""
        except Exception as error:  # the handler's own
            return FAILED, f"{type(error).__name__}: {error}", b""

    def do(self, head, parts):
        envelope = wire_pb2.Batch.FromString(parts[1]).events[0]
        body = parts[2] if envelope.flags & ATTACHED else envelope.body
        limit_ms = self.limits.get(envelope.type, 0)
        task = self.task = Task(self, head, envelope, limit_ms)
        error, text, packed = self.handle(task, envelope, body)
        self.task = None
        self.answers.clear()
        reply = self.reply_to(task, envelope, LAST, text)
        reply.error = error
        behind = []
        if len(packed) > INLINE_MAX:
            reply.flags |= ATTACHED
            behind = [packed]
        else:
            reply.body = packed
        self.say(
            link_pb2.Control(ready=link_pb2.Ready()),
            lane=wire_pb2.REPLY_LANE,
            parts=_batch(reply, behind),
        )

    def drain(self):
        if self.draining:
            self.draining(Context(self))
        self.say(link_pb2.Control(drain=link_pb2.Drain()))

    def run(self):
        hello = link_pb2.Hello(version=1, pid=os.getpid())
        self.say(link_pb2.Control(hello=hello))
        self.begin()
        while True:
            head, parts = self.next()
            if head is None:
                self.drain()
            elif parts is not None:
                self.do(head, parts)


def _by_id(table):
    """type id → message class and function."""
    return {
        _type_id(message.DESCRIPTOR.full_name): (message, function)
        for message, function in table.items()
    }


def _class_of(descriptor):
    from google.protobuf import message_factory

    try:
        return message_factory.GetMessageClass(descriptor)
    except AttributeError:  # before protobuf 4.22
        return message_factory.MessageFactory().GetPrototype(descriptor)


def run(handlers, observers=None, started=None, draining=None):
    """Does the node's tasks until it ends.  'handlers' maps message classes to
    functions (task, event) that return the reply, 'observers' maps requests to
    functions (task, reply), reply None after an error.  With 'run = process'
    started(context) is called before the first event, draining(context) when the
    node drains."""
    _Worker(
        os.environ["EDRI_WORKER"], handlers, observers or {}, started, draining
    ).run()
