// SPDX-License-Identifier: MIT
// reader.c - reads all regular files below a directory and emits each line.
//
//     wordcount-reader DIRECTORY PASSES

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <edri/edri.h>

#include "wordcount.edri.h"

// What nftw's callback needs; it takes no argument.
static edri_port_t *port;
static uint64_t lines;

static int
emit_file(
    const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)place;
    FILE *file =
        kind == FTW_F && S_ISREG(info->st_mode) ? fopen(path, "rb") : NULL;
    if (file == NULL) {
        if (kind == FTW_F && S_ISREG(info->st_mode)) {
            fprintf(stderr, "reader: %s: cannot be read, left out\n", path);
        }
        return 0;
    }
    char *text = NULL;
    size_t room = 0;
    ssize_t size = 0;
    edri_err_t err = EDRI_OK;
    while (err == EDRI_OK && (size = getline(&text, &room, file)) > 0) {
        Wordcount__Line line = WORDCOUNT__LINE__INIT;
        line.text.data = (uint8_t *)text;
        line.text.len = (size_t)size;
        err = wordcount_line_emit(port, &line);
        lines++;
    }
    free(text);
    fclose(file);
    if (err != EDRI_OK) {
        fprintf(stderr, "reader: %s\n", edri_port_error(port));
    }
    return err != EDRI_OK;
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

int
main(int argc, char **argv)
{
    edri_node_t *node = edri_node_new(argc, argv);
    char **args = NULL;
    int code = 1;
    if (edri_node_args(node, &args) != 3) {
        fprintf(stderr, "usage: wordcount-reader DIRECTORY PASSES\n");
        edri_node_destroy(&node);
        return 2;
    }
    if (edri_node_start(node) != EDRI_OK) {
        fprintf(stderr, "reader: %s\n", edri_node_error(node));
        edri_node_destroy(&node);
        return 1;
    }
    port = edri_node_port(node);
    int passes = atoi(args[2]);
    double start = now();
    int failed = 0;
    for (int pass = 0; pass < passes && failed == 0; pass++) {
        failed = nftw(args[1], emit_file, 16, FTW_PHYS);
    }
    Wordcount__ReadingDone done = WORDCOUNT__READING_DONE__INIT;
    done.lines = lines;
    done.seconds = now() - start;
    if (failed == 0 && wordcount_reading_done_emit(port, &done) == EDRI_OK &&
        edri_port_flush(port, 60000) == EDRI_OK) {
        code = 0;
    }
    edri_port_destroy(&port);
    if (edri_node_stop(node, 60000) != EDRI_OK) {
        code = 1;
    }
    edri_node_destroy(&node);
    return code;
}
