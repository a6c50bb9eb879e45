// SPDX-License-Identifier: MIT
// settings.c - any bytes as a configuration file.

#include <stdlib.h>
#include <unistd.h>

#include "base/settings.h"
#include "node/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sections[] = {"managers", NULL};
    static char path[] = "/tmp/edri-fuzz-XXXXXX";
    static int fd = -1;
    if (fd < 0 && (fd = mkstemp(path)) < 0) {
        abort();
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) {
        abort();
    }
    settings_t *settings = settings_new(node_rows, sections);
    edri_err_t err = settings_read_file(settings, path);
    if ((err == EDRI_OK) != (settings_error(settings)[0] == '\0')) {
        abort();
    }
    const void *cursor = NULL;
    const char *name = NULL;
    while (settings_section_next(settings, "managers", &cursor, &name)) {
        (void)settings_section_text(settings, name);
    }
    settings_destroy(&settings);
    return 0;
}
