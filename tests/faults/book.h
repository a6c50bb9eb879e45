// SPDX-License-Identifier: MIT
// book.h - what a node of these tests writes down, in memory that it shares
// with the test and that outlives it.

#ifndef FAULTS_BOOK_H
#define FAULTS_BOOK_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

typedef enum kind {
    EVERY,
    SHARED,
    SINGLE,
    SLOW,
    KINDS
} kind_t;

enum {
    BOOK_ENTRIES = 12000000
};

// entry_t is one begin of a handler.
typedef struct entry {
    uint32_t number;
    uint32_t ms; // of the monotonic clock
    uint16_t writer;
    uint8_t kind;
    uint8_t marked;
} entry_t;

typedef struct book {
    // the test's orders
    _Atomic uint32_t rate;    // events per second that are written; 0: none
    _Atomic uint32_t stop;    // write no more
    _Atomic uint32_t slow_us; // that a Slow event takes; 0: it is not handled
    _Atomic uint32_t large;   // some events are large
    _Atomic uint32_t only;    // of this kind, plus 1; 0: of all but Slow
    _Atomic uint32_t dead;    // it was killed: what it had is nobody's business
    // the node's answers
    _Atomic uint32_t ready;
    _Atomic uint32_t stopped; // all is written, all requests have ended
    _Atomic uint32_t emitted;
    _Atomic uint32_t refused; // tries that ended as EDRI_OVERLOADED
    _Atomic uint32_t asked;
    _Atomic uint32_t answered;
    _Atomic uint32_t failed; // requests that ended with an error
    _Atomic uint32_t wrong;  // that ended twice, or with another's answer
    _Atomic uint32_t begun;  // entries
    entry_t entries[BOOK_ENTRIES];
} book_t;

// book_open maps a book's file, made by the test.  NULL: errno says why.
static inline book_t *
book_open(const char *path, int flags)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(book_t)) != 0) {
        return NULL;
    }
    void *map =
        mmap(NULL, sizeof(book_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    return map == MAP_FAILED ? NULL : map;
}

// book_kind is the kind of a number, as writer and test agree.
static inline kind_t
book_kind(const book_t *book, uint32_t number)
{
    static const kind_t kinds[8] = {
        EVERY, SHARED, EVERY, SINGLE, EVERY, SHARED, EVERY, EVERY};
    uint32_t only = atomic_load(&book->only);
    return only != 0 ? (kind_t)(only - 1) : kinds[number % 8];
}

#endif
