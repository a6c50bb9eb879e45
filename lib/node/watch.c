// SPDX-License-Identifier: MIT
// watch.c - have files become others?

#include "node/watch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"

typedef struct file {
    int directory; // inotify's number for it
    char *name;
} file_t;

struct watch {
    int fd;
    file_t *files;
    size_t count;
};

watch_t *
watch_new(void)
{
    watch_t *self = mem_new(sizeof *self);
    self->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (self->fd < 0) {
        watch_destroy(&self);
    }
    return self;
}

bool
watch_add(watch_t *self, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *directory = slash != NULL
                          ? str_printf("%.*s", (int)(slash - path + 1), path)
                          : str_dup(".");
    int number = inotify_add_watch(
        self->fd, directory, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
    free(directory);
    if (number >= 0) {
        self->files =
            mem_resize(self->files, (self->count + 1) * sizeof *self->files);
        self->files[self->count++] =
            (file_t){number, str_dup(slash != NULL ? slash + 1 : path)};
    }
    return number >= 0;
}

void
watch_destroy(watch_t **self_p)
{
    watch_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    for (size_t i = 0; i < self->count; i++) {
        free(self->files[i].name);
    }
    free(self->files);
    free(self);
}

// is_watched says whether what happened happened to one of the files.
static bool
is_watched(const watch_t *self, const struct inotify_event *event)
{
    bool found = (event->mask & IN_Q_OVERFLOW) != 0;
    for (size_t i = 0; i < self->count && event->len > 0; i++) {
        found = found || (self->files[i].directory == event->wd &&
                             strcmp(self->files[i].name, event->name) == 0);
    }
    return found;
}

int
watch_fd(const watch_t *self)
{
    return self != NULL ? self->fd : -1;
}

bool
watch_changed(watch_t *self)
{
    // As inotify(7) reads them.
    char room[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool changed = false;
    ssize_t size = 0;
    while (self != NULL && (size = read(self->fd, room, sizeof room)) > 0) {
        const struct inotify_event *event = NULL;
        for (char *at = room; at < room + size;
             at += sizeof *event + event->len) {
            event = (const struct inotify_event *)(const void *)at;
            changed = is_watched(self, event) || changed;
        }
    }
    return changed;
}
