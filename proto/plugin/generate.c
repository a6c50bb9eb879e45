// SPDX-License-Identifier: MIT
// generate.c - the code that users read and compile.

#include <stdlib.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "edri/type.h"
#include "plugin.h"

// words_t is the identifiers of one event.
typedef struct words {
    char *ours;     // shop_quote
    char *type;     // Shop__Quote
    char *reply;    // Shop__QuoteReply, or NULL
    char *function; // shop__quote
    char *reply_function;
    char *up; // of a tunnel; NULL: bytes
    char *up_function;
    char *down;
    char *down_function;
} words_t;

static words_t
words_of(const event_t *event)
{
    words_t words = {.ours = name_ours(event->name),
        .type = name_type(event->name),
        .function = name_function(event->name)};
    if (event->options.reply[0] != '\0') {
        words.reply = name_type(event->options.reply);
        words.reply_function = name_function(event->options.reply);
    }
    if (event->options.up[0] != '\0') {
        words.up = name_type(event->options.up);
        words.up_function = name_function(event->options.up);
    }
    if (event->options.down[0] != '\0') {
        words.down = name_type(event->options.down);
        words.down_function = name_function(event->options.down);
    }
    return words;
}

static void
words_free(words_t *words)
{
    free(words->ours);
    free(words->type);
    free(words->reply);
    free(words->function);
    free(words->reply_function);
    free(words->up);
    free(words->up_function);
    free(words->down);
    free(words->down_function);
}

// ----- header

// to_whom says in words where an event goes.
static const char *
to_whom(edri_deliver_t deliver)
{
    switch (deliver) {
    case EDRI_ALL:
        return "every manager that demands it";
    case EDRI_GROUP:
        return "one node per manager name";
    case EDRI_ONE:
        break;
    }
    return "one manager in the whole system";
}

static void
declare_notification(text_t *out, const event_t *event, const words_t *w)
{
    text_add(out,
        "// %s: a notification.\n\n"
        "extern const edri_type_t %s_type;\n\n"
        "// %s_emit sends it to %s.\n"
        "// Results and errors as edri_emit (edri/port.h).  The event stays "
        "the "
        "caller's.\n"
        "edri_err_t %s_emit(edri_port_t *port, const %s *event);\n\n",
        event->name, w->ours, w->ours, to_whom(event->options.deliver), w->ours,
        w->type);
    text_add(out,
        "// %s_handler_fn handles one event, borrowed for the call.\n"
        "typedef edri_err_t %s_handler_fn(edri_task_t *task, const %s "
        "*event);\n\n",
        w->ours, w->ours, w->type);
}

static void
declare_request(text_t *out, const event_t *event, const words_t *w)
{
    text_add(out,
        "// %s: a request, answered by %s.\n\n"
        "extern const edri_type_t %s_type;\n\n"
        "// %s_request asks and waits for the reply; results and errors as\n"
        "// edri_request (edri/port.h).  timeout_ms 0: %u ms.  On EDRI_OK "
        "the caller\n// owns *reply_p and frees it with %s_reply_free; "
        "NULL: not wanted.\n"
        "edri_err_t %s_request(edri_port_t *port, const %s *request,\n"
        "    uint32_t timeout_ms, %s **reply_p);\n\n",
        event->name, event->options.reply, w->ours, w->ours,
        event->options.timeout_ms, w->ours, w->ours, w->type, w->reply);
    text_add(out,
        "// %s_reply_free frees a reply and sets *reply_p to NULL; safe on "
        "NULL.\n"
        "void %s_reply_free(%s **reply_p);\n\n"
        "// %s_answer_fn gets one answer; 'reply' is NULL after an error.\n"
        "typedef void %s_answer_fn(\n"
        "    const edri_answer_t *answer, const %s *reply, void *arg);\n\n",
        w->ours, w->ours, w->reply, w->ours, w->ours, w->reply);
    text_add(out,
        "// %s_request_async asks and returns; 'fn' is called once, as\n"
        "// edri_request_async says.  edri_port_last_request then gives its\n"
        "// number, for edri_request_cancel.\n"
        "edri_err_t %s_request_async(edri_port_t *port, const %s *request,\n"
        "    uint32_t timeout_ms, %s_answer_fn *fn, void *arg);\n\n"
        "// %s_request_all asks everybody who handles it and waits for all, "
        "as\n// edri_request_all says.\n"
        "edri_err_t %s_request_all(edri_port_t *port, const %s *request,\n"
        "    uint32_t timeout_ms, %s_answer_fn *fn, void *arg, uint32_t "
        "*asked,\n    uint32_t *answered);\n\n",
        w->ours, w->ours, w->type, w->ours, w->ours, w->ours, w->type, w->ours);
    text_add(out,
        "// %s_handler_fn handles one request, borrowed for the call, and "
        "fills\n// '*reply'; what its fields point at must live until the "
        "handler has\n// returned: see edri_task_alloc.  Any other result "
        "than EDRI_OK is sent as\n// an error instead.\n"
        "typedef edri_err_t %s_handler_fn(\n"
        "    edri_task_t *task, const %s *request, %s *reply);\n\n"
        "// %s_observe gives the manager a copy of every reply; 'reply' is "
        "NULL when\n// the request ended with an error.\n"
        "typedef void %s_observer_fn(edri_task_t *task, const %s *reply);\n"
        "edri_err_t %s_observe(\n"
        "    edri_manager_t *manager, %s_observer_fn *observer);\n\n",
        w->ours, w->ours, w->type, w->reply, w->ours, w->ours, w->reply,
        w->ours, w->ours);
}

// declare_direction declares how one end sends 'up' or 'down', and the other
// receives it.
static void
declare_direction(
    text_t *out, const words_t *w, const char *way, const char *message)
{
    if (message == NULL) {
        text_add(out,
            "// %s_send_%s and %s_receive_%s: bytes as they are, as\n"
            "// edri_tunnel_send_bytes and edri_tunnel_receive_bytes.\n"
            "edri_err_t %s_send_%s(edri_tunnel_t *tunnel, const void *data,\n"
            "    size_t size, int timeout_ms);\n"
            "edri_err_t %s_receive_%s(\n"
            "    edri_tunnel_t *tunnel, int timeout_ms, edri_bytes_t *bytes);"
            "\n\n",
            w->ours, way, w->ours, way, w->ours, way, w->ours, way);
        return;
    }
    text_add(out,
        "// %s_send_%s and %s_receive_%s: as edri_tunnel_send and\n"
        "// edri_tunnel_receive (edri/tunnel.h); what was received is freed "
        "with\n// %s_%s_free, which sets it to NULL and is safe on NULL.\n"
        "edri_err_t %s_send_%s(\n"
        "    edri_tunnel_t *tunnel, const %s *message, int timeout_ms);\n"
        "edri_err_t %s_receive_%s(\n"
        "    edri_tunnel_t *tunnel, int timeout_ms, %s **message_p);\n"
        "void %s_%s_free(%s **message_p);\n\n",
        w->ours, way, w->ours, way, w->ours, way, w->ours, way, message,
        w->ours, way, message, w->ours, way, message);
}

static void
declare_tunnel(text_t *out, const event_t *event, const words_t *w)
{
    text_add(out,
        "// %s: a tunnel; its message is the arguments.\n\n"
        "extern const edri_type_t %s_type;\n\n"
        "// %s_open opens one and waits until it is accepted, as "
        "edri_tunnel_open\n// (edri/tunnel.h).  timeout_ms 0: %u ms.\n"
        "edri_err_t %s_open(edri_port_t *port, const %s *arguments,\n"
        "    uint32_t timeout_ms, edri_tunnel_t **tunnel_p);\n\n"
        "// %s_open_async opens one and returns, as edri_tunnel_open_async.\n"
        "edri_err_t %s_open_async(edri_port_t *port, const %s *arguments,\n"
        "    uint32_t timeout_ms, edri_tunnel_opened_fn *fn, void *arg);\n\n",
        event->name, w->ours, w->ours, event->options.timeout_ms, w->ours,
        w->type, w->ours, w->ours, w->type);
    text_add(out, "// 'up': what the opener sends.\n");
    declare_direction(out, w, "up", w->up);
    text_add(out, "// 'down': what the acceptor sends.\n");
    declare_direction(out, w, "down", w->down);
    text_add(out,
        "// %s_handler_fn gets a tunnel, with the arguments borrowed for the "
        "call; it\n// may send and receive until it is done, or set callbacks "
        "(edri_tunnel_on)\n// and return.  An error before its first use "
        "refuses it.\n"
        "typedef edri_err_t %s_handler_fn(\n"
        "    edri_task_t *task, const %s *arguments, edri_tunnel_t *tunnel);"
        "\n\n",
        w->ours, w->ours, w->type);
}

void
generate_header(
    text_t *out, const file_t *file, const event_t *events, size_t count)
{
    char *base = name_file(file->name);
    char *macro = name_macro(base);
    text_add(out,
        "// Made by protoc-gen-edri from %s: do not edit.\n"
        "// Typed functions for its events.\n\n"
        "#ifndef %s_EDRI_H\n#define %s_EDRI_H\n\n"
        "#include <edri/edri.h>\n\n#include \"%s.pb-c.h\"\n\n"
        "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
        file->name, macro, macro, base);
    for (size_t i = 0; i < count; i++) {
        words_t words = words_of(&events[i]);
        if (events[i].options.kind == EDRI_TUNNEL) {
            declare_tunnel(out, &events[i], &words);
        } else if (words.reply != NULL) {
            declare_request(out, &events[i], &words);
        } else {
            declare_notification(out, &events[i], &words);
        }
        text_add(out,
            "// %s_handle makes the manager handle it, as "
            "edri_manager_handle says.\n"
            "edri_err_t %s_handle(edri_manager_t *manager,\n"
            "    %s_handler_fn *handler, edri_workers_t workers);\n\n",
            words.ours, words.ours, words.ours);
        words_free(&words);
    }
    text_add(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
    free(base);
    free(macro);
}

// ----- source: the descriptors

// is_known_everywhere names the files that every node has: they are left out.
static bool
is_known_everywhere(const char *name)
{
    return streq(name, "google/protobuf/descriptor.proto") ||
           streq(name, "edri/event.proto");
}

static size_t
index_of(const request_t *request, const char *name)
{
    size_t i = 0;
    while (i < request->n_proto_file &&
           !streq(request->proto_file[i]->name, name)) {
        i++;
    }
    return i;
}

// mark marks a file and what it imports.
static void
mark(const request_t *request, size_t at, bool *marked)
{
    if (at == request->n_proto_file || marked[at] ||
        is_known_everywhere(request->proto_file[at]->name)) {
        return;
    }
    marked[at] = true;
    const file_t *file = request->proto_file[at];
    for (size_t i = 0; i < file->n_dependency; i++) {
        mark(request, index_of(request, file->dependency[i]), marked);
    }
}

// pack_set packs the file and its imports, without comments and places.
// protoc gives files after those that they need; the file itself comes last.
static uint8_t *
pack_set(const request_t *request, const file_t *file, size_t *size)
{
    Google__Protobuf__FileDescriptorSet set =
        GOOGLE__PROTOBUF__FILE_DESCRIPTOR_SET__INIT;
    size_t count = request->n_proto_file;
    bool *marked = mem_new(count + 1);
    set.file = mem_new((count + 1) * sizeof *set.file);
    file_t *copies = mem_new((count + 1) * sizeof *copies);
    mark(request, index_of(request, file->name), marked);
    for (size_t i = 0; i < count; i++) {
        if (marked[i]) {
            copies[set.n_file] = *request->proto_file[i];
            copies[set.n_file].source_code_info = NULL;
            set.file[set.n_file] = &copies[set.n_file];
            set.n_file++;
        }
    }
    *size = google__protobuf__file_descriptor_set__get_packed_size(&set);
    uint8_t *bytes = mem_resize(NULL, *size + 1);
    (void)google__protobuf__file_descriptor_set__pack(&set, bytes);
    free(marked);
    free(copies);
    free(set.file);
    return bytes;
}

static void
add_bytes(text_t *out, const uint8_t *bytes, size_t size, const char *indent)
{
    for (size_t i = 0; i < size; i++) {
        text_add(out, "%s0x%02x,", i % 12 == 0 ? indent : " ", bytes[i]);
    }
}

static void
define_file(text_t *out, const request_t *request, const file_t *file)
{
    size_t size = 0;
    uint8_t *bytes = pack_set(request, file, &size);
    uint8_t digest[32];
    sha256(bytes, size, digest);
    text_add(out,
        "// The file's descriptors, as a google.protobuf.FileDescriptorSet.\n"
        "static const uint8_t descriptors[] = {");
    add_bytes(out, bytes, size, "\n    ");
    text_add(out,
        "\n};\n\nstatic const edri_file_t file = {\n    .name = \"%s\",\n"
        "    .data = descriptors,\n    .size = sizeof descriptors,\n"
        "    .sha256 = {",
        file->name);
    add_bytes(out, digest, sizeof digest, "\n        ");
    text_add(out, "\n    },\n};\n\n");
    free(bytes);
}

// ----- source: types and functions

static void
define_type(text_t *out, const event_t *event, const words_t *w)
{
    static const char *const kinds[] = {
        "EDRI_NOTIFICATION", "EDRI_REQUEST", "", "EDRI_TUNNEL"};
    static const char *const delivers[] = {
        "EDRI_ALL", "EDRI_GROUP", "EDRI_ONE"};
    static const char *const overflows[] = {
        "EDRI_BLOCK", "EDRI_DROP_OLDEST", "EDRI_DROP_NEWEST", "EDRI_LATEST"};
    const options_t *o = &event->options;
    text_add(out,
        "// ----- %s\n\nconst edri_type_t %s_type = {\n"
        "    .name = \"%s\",\n    .id = UINT64_C(0x%016llx),\n"
        "    .kind = %s,\n    .deliver = %s,\n    .overflow = %s,\n"
        "    .shareable = %s,\n    .durable = %s,\n    .idempotent = %s,\n"
        "    .priority = %u,\n    .timeout_ms = %u,\n",
        event->name, w->ours, event->name,
        (unsigned long long)edri_type_id(event->name), kinds[o->kind],
        delivers[o->deliver], overflows[o->overflow],
        o->shareable ? "true" : "false", o->durable ? "true" : "false",
        o->idempotent ? "true" : "false", o->priority, o->timeout_ms);
    if (o->retained) {
        text_add(out,
            "    .retained = true,\n    .retain_count = %u,\n"
            "    .retain_ms = %u,\n",
            o->retain_count, o->retain_ms);
    }
    if (o->attempts > 1) {
        text_add(out,
            "    .attempts = %u,\n    .backoff_ms = %u,\n"
            "    .backoff_max_ms = %u,\n",
            o->attempts, o->backoff_ms, o->backoff_max_ms);
    }
    if (o->key[0] != '\0') {
        text_add(out, "    .key = \"%s\",\n", o->key);
    }
    text_add(out, "    .message = &%s__descriptor,\n", w->function);
    if (w->reply != NULL) {
        text_add(out, "    .reply = &%s__descriptor,\n", w->reply_function);
    }
    if (w->up != NULL) {
        text_add(out, "    .up = &%s__descriptor,\n", w->up_function);
    }
    if (w->down != NULL) {
        text_add(out, "    .down = &%s__descriptor,\n", w->down_function);
    }
    text_add(out, "    .file = &file,\n};\n\n");
}

static void
define_notification(text_t *out, const words_t *w)
{
    text_add(out,
        "edri_err_t\n%s_emit(edri_port_t *port, const %s *event)\n{\n"
        "    return edri_emit(\n"
        "        port, &%s_type, event != NULL ? &event->base : NULL, NULL);"
        "\n}\n\n",
        w->ours, w->type, w->ours);
    text_add(out,
        "static edri_err_t\n%s_call(edri_fn_t handler, edri_task_t *task,\n"
        "    const ProtobufCMessage *event, ProtobufCMessage *reply)\n{\n"
        "    (void)reply;\n"
        "    return ((%s_handler_fn *)handler)(task, (const %s *)event);\n"
        "}\n\n",
        w->ours, w->ours, w->type);
}

static void
define_request(text_t *out, const words_t *w)
{
    text_add(out,
        "edri_err_t\n%s_request(edri_port_t *port, const %s *request,\n"
        "    uint32_t timeout_ms, %s **reply_p)\n{\n"
        "    ProtobufCMessage *reply = NULL;\n"
        "    edri_err_t err = edri_request(port, &%s_type,\n"
        "        request != NULL ? &request->base : NULL, timeout_ms,\n"
        "        reply_p != NULL ? &reply : NULL);\n"
        "    if (reply_p != NULL) {\n"
        "        *reply_p = (%s *)reply;\n    }\n    return err;\n}\n\n",
        w->ours, w->type, w->reply, w->ours, w->reply);
    text_add(out,
        "void\n%s_reply_free(%s **reply_p)\n{\n"
        "    if (*reply_p != NULL) {\n"
        "        protobuf_c_message_free_unpacked(&(*reply_p)->base, NULL);\n"
        "        *reply_p = NULL;\n    }\n}\n\n",
        w->ours, w->reply);
    text_add(out,
        "static void\n%s_answer(edri_fn_t user, const edri_answer_t *answer, "
        "void *arg)\n{\n"
        "    ((%s_answer_fn *)user)(answer, (const %s *)answer->reply, "
        "arg);\n}\n\n",
        w->ours, w->ours, w->reply);
    text_add(out,
        "edri_err_t\n%s_request_async(edri_port_t *port, const %s *request,\n"
        "    uint32_t timeout_ms, %s_answer_fn *fn, void *arg)\n{\n"
        "    return edri_request_async(port, &%s_type,\n"
        "        request != NULL ? &request->base : NULL, timeout_ms,\n"
        "        fn != NULL ? %s_answer : NULL, (edri_fn_t)fn, arg);\n}\n\n",
        w->ours, w->type, w->ours, w->ours, w->ours);
    text_add(out,
        "edri_err_t\n%s_request_all(edri_port_t *port, const %s *request,\n"
        "    uint32_t timeout_ms, %s_answer_fn *fn, void *arg, uint32_t "
        "*asked,\n    uint32_t *answered)\n{\n"
        "    return edri_request_all(port, &%s_type,\n"
        "        request != NULL ? &request->base : NULL, timeout_ms,\n"
        "        fn != NULL ? %s_answer : NULL, (edri_fn_t)fn, arg, asked, "
        "answered);\n}\n\n",
        w->ours, w->type, w->ours, w->ours, w->ours);
    text_add(out,
        "static edri_err_t\n%s_call(edri_fn_t handler, edri_task_t *task,\n"
        "    const ProtobufCMessage *request, ProtobufCMessage *reply)\n{\n"
        "    return ((%s_handler_fn *)handler)(\n"
        "        task, (const %s *)request, (%s *)reply);\n}\n\n",
        w->ours, w->ours, w->type, w->reply);
    text_add(out,
        "static void\n%s_see(edri_fn_t observer, edri_task_t *task,\n"
        "    const ProtobufCMessage *reply)\n{\n"
        "    ((%s_observer_fn *)observer)(task, (const %s *)reply);\n}\n\n"
        "edri_err_t\n%s_observe(\n    edri_manager_t *manager, "
        "%s_observer_fn *observer)\n{\n"
        "    return edri_manager_observe(\n"
        "        manager, &%s_type, %s_see, (edri_fn_t)observer);\n}\n\n",
        w->ours, w->ours, w->reply, w->ours, w->ours, w->ours, w->ours);
}

static void
define_direction(
    text_t *out, const words_t *w, const char *way, const char *message)
{
    if (message == NULL) {
        text_add(out,
            "edri_err_t\n%s_send_%s(edri_tunnel_t *tunnel, const void *data,\n"
            "    size_t size, int timeout_ms)\n{\n"
            "    return edri_tunnel_send_bytes(tunnel, data, size, "
            "timeout_ms);\n}\n\n"
            "edri_err_t\n%s_receive_%s(\n"
            "    edri_tunnel_t *tunnel, int timeout_ms, edri_bytes_t *bytes)"
            "\n{\n"
            "    return edri_tunnel_receive_bytes(tunnel, timeout_ms, bytes);"
            "\n}\n\n",
            w->ours, way, w->ours, way);
        return;
    }
    text_add(out,
        "edri_err_t\n%s_send_%s(\n"
        "    edri_tunnel_t *tunnel, const %s *message, int timeout_ms)\n{\n"
        "    return edri_tunnel_send(tunnel,\n"
        "        message != NULL ? &message->base : NULL, timeout_ms);\n}\n\n",
        w->ours, way, message);
    text_add(out,
        "edri_err_t\n%s_receive_%s(\n"
        "    edri_tunnel_t *tunnel, int timeout_ms, %s **message_p)\n{\n"
        "    ProtobufCMessage *message = NULL;\n"
        "    edri_err_t err = edri_tunnel_receive(tunnel, timeout_ms, "
        "&message);\n"
        "    *message_p = (%s *)message;\n    return err;\n}\n\n"
        "void\n%s_%s_free(%s **message_p)\n{\n"
        "    if (*message_p != NULL) {\n"
        "        protobuf_c_message_free_unpacked(&(*message_p)->base, NULL);"
        "\n        *message_p = NULL;\n    }\n}\n\n",
        w->ours, way, message, message, w->ours, way, message);
}

static void
define_tunnel(text_t *out, const words_t *w)
{
    text_add(out,
        "edri_err_t\n%s_open(edri_port_t *port, const %s *arguments,\n"
        "    uint32_t timeout_ms, edri_tunnel_t **tunnel_p)\n{\n"
        "    return edri_tunnel_open(port, &%s_type,\n"
        "        arguments != NULL ? &arguments->base : NULL, timeout_ms,\n"
        "        tunnel_p);\n}\n\n"
        "edri_err_t\n%s_open_async(edri_port_t *port, const %s *arguments,\n"
        "    uint32_t timeout_ms, edri_tunnel_opened_fn *fn, void *arg)\n{\n"
        "    return edri_tunnel_open_async(port, &%s_type,\n"
        "        arguments != NULL ? &arguments->base : NULL, timeout_ms, fn, "
        "arg);\n}\n\n",
        w->ours, w->type, w->ours, w->ours, w->type, w->ours);
    define_direction(out, w, "up", w->up);
    define_direction(out, w, "down", w->down);
    text_add(out,
        "static edri_err_t\n%s_call(edri_fn_t handler, edri_task_t *task,\n"
        "    const ProtobufCMessage *arguments, ProtobufCMessage *reply)\n{\n"
        "    (void)reply;\n"
        "    return ((%s_handler_fn *)handler)(\n"
        "        task, (const %s *)arguments, edri_task_tunnel(task));\n}\n\n",
        w->ours, w->ours, w->type);
}

void
generate_source(text_t *out, const request_t *request, const file_t *file,
    const event_t *events, size_t count)
{
    char *base = name_file(file->name);
    text_add(out,
        "// Made by protoc-gen-edri from %s: do not edit.\n\n"
        "#include \"%s.edri.h\"\n\n",
        file->name, base);
    // Replies may be declared in imported files.
    for (size_t i = 0; i < file->n_dependency; i++) {
        if (!is_known_everywhere(file->dependency[i])) {
            char *import = name_file(file->dependency[i]);
            text_add(out, "#include \"%s.pb-c.h\"\n", import);
            free(import);
        }
    }
    if (count > 0) {
        define_file(out, request, file);
    }
    for (size_t i = 0; i < count; i++) {
        words_t words = words_of(&events[i]);
        define_type(out, &events[i], &words);
        if (events[i].options.kind == EDRI_TUNNEL) {
            define_tunnel(out, &words);
        } else if (words.reply != NULL) {
            define_request(out, &words);
        } else {
            define_notification(out, &words);
        }
        text_add(out,
            "edri_err_t\n%s_handle(edri_manager_t *manager,\n"
            "    %s_handler_fn *handler, edri_workers_t workers)\n{\n"
            "    return edri_manager_handle(\n        manager, &%s_type, "
            "%s_call, (edri_fn_t)handler, workers);\n}\n\n",
            words.ours, words.ours, words.ours, words.ours);
        words_free(&words);
    }
    free(base);
}
