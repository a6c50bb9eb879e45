// SPDX-License-Identifier: MIT
// node/faults.h - the last errors that a manager's handlers returned.

#ifndef NODE_FAULTS_H
#define NODE_FAULTS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "edri/err.h"
#include "edri/type.h"

#define FAULTS_MAX     4
#define FAULT_TYPE_MAX 128
#define FAULT_TEXT_MAX 200

typedef struct fault {
    char type[FAULT_TYPE_MAX]; // its name, cut off when it is longer
    edri_err_t err;
    int64_t at_us; // wall clock
    char text[FAULT_TEXT_MAX];
} fault_t;

typedef struct faults {
    pthread_mutex_t lock;
    size_t count; // ever
    fault_t ring[FAULTS_MAX];
} faults_t;

void faults_init(faults_t *self);
void faults_end(faults_t *self);

// faults_note enters one; 'text' may be NULL and is copied.  Any thread.
void faults_note(
    faults_t *self, const edri_type_t *type, edri_err_t err, const char *text);

// faults_copy copies the last ones, the newest first, and returns how many.
size_t faults_copy(faults_t *self, fault_t out[FAULTS_MAX]);

#endif
