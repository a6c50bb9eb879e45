// SPDX-License-Identifier: MIT
// main.c - protoc-gen-edri: typed code for the events of .proto files.
//
// protoc gives a CodeGeneratorRequest on stdin and takes a
// CodeGeneratorResponse from stdout.  Everything that is wrong with a file is
// reported, each with its line; code is made only when nothing is.

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "plugin.h"

#define INPUT_MAX ((size_t)64 << 20)

// Field numbers of descriptor.proto, for places in SourceCodeInfo.
enum {
    FILE_MESSAGE = 4,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_OPTIONS = 7,
    EVENT_OPTION = 50737
};

// check_t is the walk through one file.
typedef struct check {
    const request_t *request;
    const file_t *file;
    text_t *problems;
    event_t *events;
    size_t count;
    int path[64];
    size_t depth;
} check_t;

// ----- which messages exist

static bool
has_message(message_t *const *messages, size_t count, const char *path)
{
    size_t size = strcspn(path, ".");
    for (size_t i = 0; i < count; i++) {
        const message_t *message = messages[i];
        if (strncmp(message->name, path, size) == 0 &&
            message->name[size] == '\0') {
            return path[size] == '\0' ||
                   has_message(message->nested_type, message->n_nested_type,
                       path + size + 1);
        }
    }
    return false;
}

static bool
file_has(const file_t *file, const char *full_name)
{
    size_t size = file->package != NULL ? strlen(file->package) : 0;
    if (size > 0 && (strncmp(file->package, full_name, size) != 0 ||
                        full_name[size] != '.')) {
        return false;
    }
    return has_message(file->message_type, file->n_message_type,
        full_name + size + (size > 0));
}

static const file_t *
find_file(const request_t *request, const char *name)
{
    for (size_t i = 0; i < request->n_proto_file; i++) {
        if (streq(request->proto_file[i]->name, name)) {
            return request->proto_file[i];
        }
    }
    return NULL;
}

// exists looks in the file and in those it imports directly, as protoc does.
static bool
exists(const char *full_name, const void *arg)
{
    const check_t *self = arg;
    if (file_has(self->file, full_name)) {
        return true;
    }
    for (size_t i = 0; i < self->file->n_dependency; i++) {
        const file_t *import =
            find_file(self->request, self->file->dependency[i]);
        if (import != NULL && file_has(import, full_name)) {
            return true;
        }
    }
    return false;
}

// ----- checking

static void
check_fields(check_t *self, const message_t *message)
{
    for (size_t i = 0; i < message->n_field; i++) {
        const Google__Protobuf__FieldDescriptorProto *field = message->field[i];
        self->path[self->depth] = MESSAGE_FIELD;
        self->path[self->depth + 1] = (int)i;
        if (field->proto3_optional) {
            problem(self->problems, self->file, self->path, self->depth + 2,
                "field %s: proto3 'optional' is not supported by protobuf-c; "
                "use a wrapper such as google.protobuf.Int32Value, or "
                "syntax = \"proto2\"",
                field->name);
        }
        if (streq(field->name, "base")) {
            problem(self->problems, self->file, self->path, self->depth + 2,
                "field base: protobuf-c needs this name for itself; take "
                "another");
        }
    }
}

static void
check_identifier(check_t *self, const char *full_name)
{
    char *ours = name_ours(full_name);
    if (name_is_reserved(ours)) {
        problem(self->problems, self->file, self->path, self->depth,
            "%s: its functions would begin with the C word '%s'; put it "
            "into a package",
            full_name, ours);
    }
    for (size_t i = 0; i < self->count; i++) {
        char *other = name_ours(self->events[i].name);
        if (streq(ours, other)) {
            problem(self->problems, self->file, self->path, self->depth,
                "%s and %s: both would have functions named %s_...; rename "
                "one",
                full_name, self->events[i].name, ours);
        }
        free(other);
    }
    free(ours);
}

// warn_early tells of options that this version takes and does not act upon:
// a type must not seem safer than it is.
static void
warn_early(
    const check_t *self, const Edri__EventOptions *raw, const char *full_name)
{
    const struct {
        const char *name;
        bool set;
    } options[] = {
        {"durable", raw->has_durable && raw->durable},
        {"lost", raw->has_lost},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (options[i].set) {
            text_t text = {0};
            problem(&text, self->file, self->path, self->depth + 2,
                "warning: %s: %s: this version does not act upon it yet",
                full_name, options[i].name);
            fprintf(stderr, "%s\n", text.data);
            free(text.data);
        }
    }
}

static void
check_event(check_t *self, const message_t *message, char *full_name)
{
    edri_err_t err = EDRI_OK;
    Edri__EventOptions *raw = options_find(message, &err);
    self->path[self->depth] = MESSAGE_OPTIONS;
    self->path[self->depth + 1] = EVENT_OPTION;
    if (err != EDRI_OK) {
        problem(self->problems, self->file, self->path, self->depth + 2,
            "%s: option (edri.event) cannot be read; is edri/event.proto "
            "the one of this version?",
            full_name);
    }
    if (raw == NULL) {
        free(full_name);
        return;
    }
    event_t event = {.name = full_name};
    char why[512];
    err = options_read(
        raw, message, full_name, exists, self, &event.options, why, sizeof why);
    if (err == EDRI_OK) {
        warn_early(self, raw, full_name);
    }
    edri__event_options__free_unpacked(raw, NULL);
    if (err != EDRI_OK) {
        problem(self->problems, self->file, self->path, self->depth + 2,
            "%s: %s", full_name, why);
    }
    check_identifier(self, full_name);
    self->events =
        mem_resize(self->events, (self->count + 1) * sizeof *self->events);
    self->events[self->count++] = event;
}

static void
check_message(check_t *self, const char *scope, const message_t *message)
{
    char *full_name =
        str_printf("%s%s%s", scope, scope[0] != '\0' ? "." : "", message->name);
    check_fields(self, message);
    for (size_t i = 0; i < message->n_nested_type && self->depth < 60; i++) {
        self->path[self->depth] = MESSAGE_NESTED;
        self->path[self->depth + 1] = (int)i;
        self->depth += 2;
        check_message(self, full_name, message->nested_type[i]);
        self->depth -= 2;
    }
    check_event(self, message, full_name);
}

static void
check_file(check_t *self)
{
    const char *package =
        self->file->package != NULL ? self->file->package : "";
    for (size_t i = 0; i < self->file->n_message_type; i++) {
        self->path[0] = FILE_MESSAGE;
        self->path[1] = (int)i;
        self->depth = 2;
        check_message(self, package, self->file->message_type[i]);
    }
}

// ----- the answer

typedef Google__Protobuf__Compiler__CodeGeneratorResponse response_t;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File made_t;

static void
add_made(response_t *response, const file_t *file, const char *ending,
    text_t *content)
{
    char *base = name_file(file->name);
    made_t *made = mem_new(sizeof *made);
    google__protobuf__compiler__code_generator_response__file__init(made);
    made->name = str_printf("%s%s", base, ending);
    made->content = content->data;
    free(base);
    response->file = mem_resize(
        response->file, (response->n_file + 1) * sizeof *response->file);
    response->file[response->n_file++] = made;
}

static void
make_file(const request_t *request, const char *name, response_t *response,
    text_t *problems)
{
    check_t check = {.request = request,
        .file = find_file(request, name),
        .problems = problems};
    if (check.file == NULL) {
        text_add(problems, "%s: protoc did not give it", name);
        return;
    }
    check_file(&check);
    if (problems->size == 0) {
        text_t header = {0};
        text_t source = {0};
        generate_header(&header, check.file, check.events, check.count);
        generate_source(
            &source, request, check.file, check.events, check.count);
        add_made(response, check.file, ".edri.h", &header);
        add_made(response, check.file, ".edri.c", &source);
    }
    for (size_t i = 0; i < check.count; i++) {
        free((void *)(uintptr_t)check.events[i].name);
    }
    free(check.events);
}

static uint8_t *
read_input(size_t *size)
{
    uint8_t *data = NULL;
    size_t got = 0;
    *size = 0;
    do {
        data = mem_resize(data, *size + 65536);
        got = fread(data + *size, 1, 65536, stdin);
        *size += got;
    } while (got > 0 && *size < INPUT_MAX);
    return data;
}

int
main(void)
{
    size_t size = 0;
    uint8_t *input = read_input(&size);
    request_t *request =
        google__protobuf__compiler__code_generator_request__unpack(
            NULL, size, input);
    free(input);
    if (request == NULL) {
        fprintf(stderr, "protoc-gen-edri: stdin is no CodeGeneratorRequest; "
                        "call it through protoc --edri_out=DIR\n");
        return 1;
    }
    response_t response =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
    text_t problems = {0};
    // So that protoc lets us say ourselves what to use instead of 'optional'.
    response.has_supported_features = true;
    response.supported_features = 1;
    for (size_t i = 0; i < request->n_file_to_generate; i++) {
        make_file(request, request->file_to_generate[i], &response, &problems);
    }
    response.error = problems.size > 0 ? problems.data : NULL;
    size = google__protobuf__compiler__code_generator_response__get_packed_size(
        &response);
    uint8_t *output = mem_resize(NULL, size);
    (void)google__protobuf__compiler__code_generator_response__pack(
        &response, output);
    bool written =
        fwrite(output, 1, size, stdout) == size && fflush(stdout) == 0;
    free(output);
    for (size_t i = 0; i < response.n_file; i++) {
        free(response.file[i]->name);
        free(response.file[i]->content);
        free(response.file[i]);
    }
    free(response.file);
    free(problems.data);
    google__protobuf__compiler__code_generator_request__free_unpacked(
        request, NULL);
    return written ? 0 : 1;
}
