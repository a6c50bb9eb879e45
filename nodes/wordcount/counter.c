// SPDX-License-Identifier: MIT
// counter.c - counts the words of the lines it gets, and tells them.
//
// A word is a run of ASCII letters, in lower case.  Both handlers are methods:
// they run in the manager's thread, one at a time, so the table needs no lock.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <edri/edri.h>

#include "wordcount.edri.h"

typedef struct entry {
    struct entry *next;
    uint64_t count;
    char text[];
} entry_t;

typedef struct table {
    entry_t *buckets[1 << 16];
    size_t words;
    uint64_t lines;
    char name[256];
} table_t;

static entry_t *
find(table_t *table, const char *text, size_t size)
{
    uint32_t hash = 2166136261u; // FNV-1a
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    }
    entry_t **at = &table->buckets[(hash ^ hash >> 16) & 0xffff];
    while (*at != NULL &&
           (strncmp((*at)->text, text, size) != 0 || (*at)->text[size] != 0)) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = calloc(1, sizeof **at + size + 1);
        if (*at == NULL) {
            abort();
        }
        memcpy((*at)->text, text, size);
        table->words++;
    }
    return *at;
}

static edri_err_t
on_line(edri_task_t *task, const Wordcount__Line *line)
{
    table_t *table = edri_task_state(task);
    char word[4096];
    size_t size = 0;
    for (size_t i = 0; i <= line->text.len; i++) {
        int c = i < line->text.len ? line->text.data[i] : ' ';
        if (c < 128 && isalpha(c) && size < sizeof word) {
            word[size++] = (char)tolower(c);
        } else if (size > 0) {
            find(table, word, size)->count++;
            size = 0;
        }
    }
    table->lines++;
    return EDRI_OK;
}

static edri_err_t
on_counts(edri_task_t *task, const Wordcount__Counts *request,
    Wordcount__CountsReply *reply)
{
    table_t *table = edri_task_state(task);
    reply->node = table->name;
    reply->lines = table->lines;
    if (!request->words) {
        return EDRI_OK;
    }
    // What the reply points at lives as long as the task.
    Wordcount__Word *words =
        edri_task_alloc(task, table->words * sizeof *words);
    reply->words = edri_task_alloc(task, table->words * sizeof(void *));
    for (size_t i = 0; i < sizeof table->buckets / sizeof(void *); i++) {
        for (entry_t *entry = table->buckets[i]; entry != NULL;
             entry = entry->next) {
            Wordcount__Word *word = &words[reply->n_words];
            wordcount__word__init(word);
            word->text = entry->text;
            word->count = entry->count;
            reply->words[reply->n_words++] = word;
        }
    }
    return EDRI_OK;
}

static void
destroy_table(void *state)
{
    table_t *table = state;
    for (size_t i = 0; i < sizeof table->buckets / sizeof(void *); i++) {
        while (table->buckets[i] != NULL) {
            entry_t *next = table->buckets[i]->next;
            free(table->buckets[i]);
            table->buckets[i] = next;
        }
    }
    free(table);
}

edri_err_t
edri_plugin(edri_manager_t *manager)
{
    table_t *table = calloc(1, sizeof *table);
    if (table == NULL) {
        abort();
    }
    snprintf(table->name, sizeof table->name, "%s",
        edri_node_name(edri_manager_node(manager)));
    edri_manager_set_state(manager, table, destroy_table);
    edri_err_t err = wordcount_line_handle(manager, on_line, EDRI_METHOD);
    if (err == EDRI_OK) {
        err = wordcount_counts_handle(manager, on_counts, EDRI_METHOD);
    }
    return err;
}
