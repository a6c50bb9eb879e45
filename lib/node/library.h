// SPDX-License-Identifier: MIT
// node/library.h - the shared object of a plugin.
//
// DESIGN
// The dynamic linker knows what it has loaded by its path: a file that has changed
// is loaded beside the old one only under another name.  So what is loaded anew, or
// may be, is a copy in memory (memfd_create(2)): it is also safe from those who
// write into the file while it runs.  The linker trusts a file's headers; a file
// that is shorter than they say would end the process, and is refused before.

#ifndef NODE_LIBRARY_H
#define NODE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "edri/manager.h"

typedef struct library library_t;

typedef edri_err_t library_plugin_fn(edri_manager_t *manager);

// library_open loads it; 'apart': as a copy, which finds what it needs itself as a
// file in no directory would ($ORIGIN means nothing to it).  A path without '/' is
// looked for where libraries are.  NULL: 'why' says the reason.  Blocks as the disk
// does; it runs the object's constructors.
library_t *library_open(
    const char *path, bool apart, char *why, size_t why_size);

// library_close unloads it; nothing of it may be used any more.
void library_close(library_t **self_p);

// library_plugin is its edri_plugin; library_path the file that it came from, whose
// text lives as long as it.
library_plugin_fn *library_plugin(const library_t *self);
const char *library_path(const library_t *self);

#endif
