// SPDX-License-Identifier: MIT
// replay.c - runs a fuzz target over files, without libFuzzer: every file of
// the directories it is given, each also cut short at some places.

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    uint8_t *data = malloc(1 << 20);
    size_t size = fread(data, 1, 1 << 20, file);
    (void)fclose(file);
    // Exact copies, so that a sanitizer sees one byte too many.
    for (size_t cut = 0; cut <= size; cut += cut < 64 ? 1 : size / 50 + 1) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact + 1, data, cut);
        (void)LLVMFuzzerTestOneInput(exact + 1, cut);
        free(exact);
    }
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

int
main(int argc, char **argv)
{
    int files = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *entry = NULL;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            char path[4096];
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (entry->d_name[0] != '.') {
                files += replay(path) == 0;
            }
        }
        if (dir != NULL) {
            (void)closedir(dir);
        }
    }
    printf("replayed %d files\n", files);
    return files > 0 ? 0 : 1;
}
