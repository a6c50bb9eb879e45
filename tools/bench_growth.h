// SPDX-License-Identifier: MIT
// bench_growth.h - edri bench growth: what its files share.

#ifndef TOOLS_BENCH_GROWTH_H
#define TOOLS_BENCH_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <edri/edri.h>

// figure_t names what is measured at a point; not every axis has all.
typedef enum figure {
    EVENT_NS,    // one event, emitted and handled by everybody who demands it
    CPU_NS,      // processor time of an event, without the switch's
    DELIVERY_NS, // the same, divided by how many that are
    MB_PER_S,    // bytes of bodies, in 10^6
    FIRST_NS,    // the first event of a type, when its route is looked up
    REGISTER_S,  // until all types are known to the node, before its start
    START_S,     // the start of the node that demands
    TYPE_BYTES,  // memory that this node takes for a type
    CONFIRMED_S, // until all nodes are confirmed
    RESUMED_S,   // the same after the switch has come back
    FIGURES
} figure_t;

// point_t is one point of an axis.
typedef struct point {
    uint64_t at;    // how many types, subscribers, bytes or nodes
    bool hub;       // from one node to another, through a switch; else in one
    uint64_t count; // events to measure; 0: as many as take long enough
} point_t;

// growth_types, growth_subscribers and growth_payload measure a point once, in a
// process that does nothing else; figures[] has zeros.
void growth_types(const point_t *point, double figures[FIGURES]);
void growth_subscribers(const point_t *point, double figures[FIGURES]);
void growth_payload(const point_t *point, double figures[FIGURES]);

// made_type_t is an event type that is made at run time: the fields are those of
// edri.bench.Ping, the name is its own.
typedef struct made_type {
    edri_type_t type;
    ProtobufCMessageDescriptor message;
    char name[40];
} made_type_t;

// made_types_t holds several, and the files that declare them, 100 each.
typedef struct made_types {
    made_type_t *items;
    size_t count;
    edri_file_t *files;
} made_types_t;

made_types_t made_types_new(size_t count);
void made_types_end(made_types_t *self);

// bench_growth runs one axis; the arguments end with NULL.  Returns false when they
// are wrong.
bool bench_growth(char **arguments);

#endif
