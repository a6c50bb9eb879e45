// SPDX-License-Identifier: MIT
// faults.c - the last errors that a manager's handlers returned.

#include "node/faults.h"

#include <stdio.h>

#include "base/clock.h"

void
faults_init(faults_t *self)
{
    *self = (faults_t){0};
    (void)pthread_mutex_init(&self->lock, NULL);
}

void
faults_end(faults_t *self)
{
    (void)pthread_mutex_destroy(&self->lock);
}

void
faults_note(
    faults_t *self, const edri_type_t *type, edri_err_t err, const char *text)
{
    int64_t at_us = clock_unix_us();
    pthread_mutex_lock(&self->lock);
    fault_t *fault = &self->ring[self->count++ % FAULTS_MAX];
    (void)snprintf(fault->type, sizeof fault->type, "%s", type->name);
    fault->err = err;
    fault->at_us = at_us;
    (void)snprintf(
        fault->text, sizeof fault->text, "%s", text != NULL ? text : "");
    pthread_mutex_unlock(&self->lock);
}

size_t
faults_copy(faults_t *self, fault_t out[FAULTS_MAX])
{
    pthread_mutex_lock(&self->lock);
    size_t count = self->count < FAULTS_MAX ? self->count : FAULTS_MAX;
    for (size_t i = 0; i < count; i++) {
        out[i] = self->ring[(self->count - 1 - i) % FAULTS_MAX];
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}
