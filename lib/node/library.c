// SPDX-License-Identifier: MIT
// library.c - the shared object of a plugin.

#include "node/library.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

struct library {
    void *handle;
    library_plugin_fn *plugin;
    char *path;
    char *copy; // the name that the copy was loaded by; NULL: it is the file
    int copy_fd;
};

// note_why prints the reason; returns false.
static bool __attribute__((format(printf, 3, 4)))
note_why(char *why, size_t why_size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why, why_size, format, args);
    va_end(args);
    return false;
}

// is_inside says whether 'size' bytes at 'offset' are in a file of so many.
static bool
is_inside(uint64_t offset, uint64_t size, uint64_t file)
{
    return offset <= file && size <= file - offset;
}

// check_elf looks whether all that the headers name is there (elf(5)).  What is
// of another machine or no shared object is the linker's to say.
static bool
check_elf(int fd, const char *path, char *why, size_t why_size)
{
    struct stat file;
    ElfW(Ehdr) head;
    ElfW(Phdr) part;
    if (fstat(fd, &file) != 0) {
        return note_why(why, why_size, "%s: %s", path, strerror(errno));
    }
    uint64_t size = (uint64_t)file.st_size;
    if (!S_ISREG(file.st_mode) || size < sizeof head ||
        pread(fd, &head, sizeof head, 0) != (ssize_t)sizeof head ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_phentsize != sizeof part) {
        return note_why(why, why_size, "%s: not a shared object", path);
    }
    for (uint64_t i = 0; i < head.e_phnum; i++) {
        uint64_t at = head.e_phoff + i * sizeof part;
        if (!is_inside(at, sizeof part, size) ||
            pread(fd, &part, sizeof part, (off_t)at) != (ssize_t)sizeof part ||
            !is_inside(part.p_offset, part.p_filesz, size)) {
            return note_why(why, why_size,
                "%s: it is cut off: %llu bytes are less than its headers name",
                path, (unsigned long long)size);
        }
    }
    return true;
}

// copy_file makes a copy in memory.  Returns its descriptor, or -1.
static int
copy_file(int from, const char *path)
{
    const char *slash = strrchr(path, '/');
    char name[200]; // the kernel takes 249 bytes
    (void)snprintf(name, sizeof name, "%s", slash != NULL ? slash + 1 : path);
    int fd = memfd_create(name, MFD_CLOEXEC);
    ssize_t count = 0;
    while (fd >= 0 && (count = sendfile(fd, from, NULL, 1 << 20)) > 0) {
    }
    if (fd >= 0 && count < 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

// load_copy loads a copy of the file.  Its descriptor stays open: while a copy is
// loaded no other has its name.
static void
load_copy(library_t *self, int file, char *why, size_t why_size)
{
    self->copy_fd = copy_file(file, self->path);
    if (self->copy_fd < 0) {
        (void)note_why(why, why_size, "%s: %s", self->path, strerror(errno));
        return;
    }
    self->copy = str_printf("/proc/self/fd/%d", self->copy_fd);
    // The copy is what is checked: the file may be written meanwhile.
    if (check_elf(self->copy_fd, self->path, why, why_size)) {
        self->handle = dlopen(self->copy, RTLD_NOW | RTLD_LOCAL);
        if (self->handle == NULL) {
            (void)note_why(why, why_size, "%s: %s", self->path, dlerror());
        }
    }
}

// load_file loads the file where it is; 'file' -1: dlopen looks for it.
static void
load_file(library_t *self, int file, char *why, size_t why_size)
{
    struct link_map *map = NULL;
    if (file >= 0 && !check_elf(file, self->path, why, why_size)) {
        return;
    }
    self->handle = dlopen(self->path, RTLD_NOW | RTLD_LOCAL);
    if (self->handle == NULL) {
        (void)note_why(why, why_size, "%s", dlerror());
    } else if (file < 0 && dlinfo(self->handle, RTLD_DI_LINKMAP, &map) == 0) {
        free(self->path);
        self->path = str_dup(map->l_name);
    }
}

// find_plugin finds its edri_plugin.
static bool
find_plugin(library_t *self, char *why, size_t why_size)
{
    // POSIX lets dlsym give functions; the union keeps ISO C content.
    union {
        void *object;
        library_plugin_fn *function;
    } symbol = {dlsym(self->handle, "edri_plugin")};
    self->plugin = symbol.function;
    return symbol.object != NULL ||
           note_why(
               why, why_size, "%s: it does not define edri_plugin", self->path);
}

library_t *
library_open(const char *path, bool apart, char *why, size_t why_size)
{
    bool plain = strchr(path, '/') == NULL;
    int file = plain ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!plain && file < 0) {
        (void)note_why(why, why_size, "%s: %s", path,
            errno == ENOENT ? "no such file" : strerror(errno));
        return NULL;
    }
    library_t *self = mem_new(sizeof *self);
    *self = (library_t){.path = str_dup(path), .copy_fd = -1};
    if (apart && !plain) {
        load_copy(self, file, why, why_size);
    } else {
        load_file(self, file, why, why_size);
    }
    if (file >= 0) {
        (void)close(file);
    }
    if (self->handle == NULL || !find_plugin(self, why, why_size)) {
        library_close(&self);
    }
    return self;
}

void
library_close(library_t **self_p)
{
    library_t *self = *self_p;
    *self_p = NULL;
    if (self == NULL) {
        return;
    }
    if (self->handle != NULL) {
        (void)dlclose(self->handle);
    }
    // What cannot be unloaded (C++ may mark it so) keeps its name.
    void *still =
        self->copy != NULL ? dlopen(self->copy, RTLD_LAZY | RTLD_NOLOAD) : NULL;
    if (still != NULL) {
        (void)dlclose(still);
    } else if (self->copy_fd >= 0) {
        (void)close(self->copy_fd);
    }
    free(self->path);
    free(self->copy);
    free(self);
}

library_plugin_fn *
library_plugin(const library_t *self)
{
    return self->plugin;
}

const char *
library_path(const library_t *self)
{
    return self->path;
}
