// SPDX-License-Identifier: MIT
// edri/type.h - event types: what generated code tells the library.
//
// A user seldom needs this file: protoc-gen-edri writes one edri_type_t per
// event into x.edri.c, and typed functions around it into x.edri.h.  Programs
// that work with types they were not compiled with (gateways, the command
// line) get theirs from edri_network_type() and use the functions of
// edri/port.h and edri/manager.h directly.

#ifndef EDRI_TYPE_H
#define EDRI_TYPE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"

// edri_fn_t is any function; generated code casts it back to what it is.
typedef void (*edri_fn_t)(void);

// The values are those of the wire (proto/edri/wire.proto).
typedef enum edri_kind {
    EDRI_NOTIFICATION = 0,
    EDRI_REQUEST = 1,
    EDRI_REPLY = 2,
    EDRI_TUNNEL = 3
} edri_kind_t;

typedef enum edri_deliver {
    EDRI_ALL = 0,   // every manager that demands the type
    EDRI_GROUP = 1, // one node per manager name
    EDRI_ONE = 2    // one manager in the whole system
} edri_deliver_t;

typedef enum edri_overflow {
    EDRI_BLOCK = 0,
    EDRI_DROP_OLDEST = 1,
    EDRI_DROP_NEWEST = 2,
    EDRI_LATEST = 3
} edri_overflow_t;

// edri_file_t is a packed google.protobuf.FileDescriptorSet: the file that
// declares a type, last, and before it everything it imports, each file after
// those it needs itself.
typedef struct edri_file {
    const char *name;    // such as "shop.proto"
    const uint8_t *data; // the packed set
    size_t size;         // in bytes
    uint8_t sha256[32];  // of data: the file's identity in the network
} edri_file_t;

// edri_type_t describes one event type.  Generated code keeps it as a constant
// for the whole life of the program (of the plugin).
typedef struct edri_type {
    const char *name;         // full name, such as "shop.Quote"
    uint64_t id;              // first 8 bytes of SHA-256 of name, big-endian
    edri_kind_t kind;         // NOTIFICATION, REQUEST or TUNNEL
    edri_deliver_t deliver;   // how, when the emitter does not say
    edri_overflow_t overflow; // what happens when the receiver is full
    bool shareable;           // may leave its node
    bool durable;             // on disk before emit returns
    bool idempotent;          // handling it twice does no harm
    uint8_t priority;         // 0 (lowest) to 7
    uint32_t timeout_ms;      // REQUEST: until its reply
    bool retained;            // kept for subscribers that come late
    uint32_t retain_count;    // the newest so many; 0: no limit
    uint32_t retain_ms;       // none older; 0: no limit
    uint32_t attempts;        // REQUEST: how often it is tried; 0 and 1: once
    uint32_t backoff_ms;      // pause before the second, doubled, jittered
    uint32_t backoff_max_ms;  // longest pause
    const char *key;          // name of the key field; NULL: none
    const ProtobufCMessageDescriptor *message;
    const ProtobufCMessageDescriptor *reply; // REQUEST; else NULL
    const ProtobufCMessageDescriptor *up;    // TUNNEL; NULL: bytes
    const ProtobufCMessageDescriptor *down;  // TUNNEL; NULL: bytes
    const edri_file_t *file;                 // where it is declared
} edri_type_t;

// edri_type_id returns the id of a full name: the first 8 bytes of its
// SHA-256 (FIPS 180-4) as a big-endian number.  Any thread.
uint64_t edri_type_id(const char *name);

// edri_type_check says whether a descriptor is usable: a name, a message, the
// right id, reply where kind asks for one, priority at most 7, a file.
// Returns EDRI_OK or EDRI_INVAL.  Any thread.
edri_err_t edri_type_check(const edri_type_t *type) EDRI_MUST_CHECK;

#endif
