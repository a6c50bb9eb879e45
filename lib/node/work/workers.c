// SPDX-License-Identifier: MIT
// workers.c - who runs a handler: what code and configuration say.

#include "node/work/workers.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"

bool
workers_fit(edri_workers_t workers)
{
    unsigned least = workers.kind == WORKERS_FRESH ? 0 : 1;
    return workers.kind <= WORKERS_FRESH && workers.count >= least &&
           workers.count <= WORKERS_MAX;
}

// read_count reads ":N".
static bool
read_count(const char *text, uint16_t *count)
{
    char *end = NULL;
    if (text[0] != ':' || text[1] < '0' || text[1] > '9') {
        return false;
    }
    unsigned long number = strtoul(text + 1, &end, 10);
    *count = (uint16_t)number;
    return *end == '\0' && number >= 1 && number <= WORKERS_MAX;
}

bool
workers_read(const char *text, edri_workers_t *workers)
{
    static const struct {
        const char *name;
        edri_workers_t alone; // what the name without a count means
        bool counts;
        bool may_stand_alone;
    } kinds[] = {
        {"method", {WORKERS_METHOD, 1}, false, true},
        {"threads", {WORKERS_THREADS, 0}, true, false},
        {"processes", {WORKERS_PROCESSES, 0}, true, false},
        {"fresh", {WORKERS_FRESH, 0}, true, true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t size = strlen(kinds[i].name);
        if (strncmp(text, kinds[i].name, size) == 0) {
            *workers = kinds[i].alone;
            return text[size] == '\0'
                       ? kinds[i].may_stand_alone
                       : kinds[i].counts &&
                             read_count(text + size, &workers->count);
        }
    }
    return false;
}

unsigned
workers_count(edri_workers_t workers)
{
    if (workers.count > 0) {
        return workers.count;
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 2                   ? 2
           : processors > (long)WORKERS_MAX ? WORKERS_MAX
                                            : (unsigned)processors;
}
