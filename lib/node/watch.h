// SPDX-License-Identifier: MIT
// node/watch.h - have files become others?
//
// The directory is watched, not the file: a new version takes its name
// (rename(2), as linkers and package managers do), or is written in its place.

#ifndef NODE_WATCH_H
#define NODE_WATCH_H

#include <stdbool.h>

typedef struct watch watch_t;

// watch_new watches nothing yet.  NULL when that cannot be done (errno).
watch_t *watch_new(void);

// watch_add watches a file, too.  Returns false when that cannot be done (errno).
bool watch_add(watch_t *self, const char *path);

// watch_destroy frees it and sets *self_p to NULL.  Safe on NULL.
void watch_destroy(watch_t **self_p);

// watch_fd is a descriptor that is readable when watch_changed has to be asked.
int watch_fd(const watch_t *self);

// watch_changed says whether a new version of one has been there since it was asked
// last: complete, as far as can be told.  Never blocks.  False for NULL.
bool watch_changed(watch_t *self);

#endif
