// SPDX-License-Identifier: MIT
// test_workers.c - who runs a handler: what code and configuration say.

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "edri/edri.h"
#include "node/work/workers.h"
#include "shop.edri.h"

TestSuite(workers, .timeout = 10);

Test(workers, example)
{
    edri_workers_t workers;
    cr_assert(workers_read("processes:4", &workers));
    cr_expect_eq(workers.kind, EDRI_PROCESSES(4).kind);
    cr_expect_eq(workers_count(workers), 4);
}

static void
expect_same(const char *text, edri_workers_t expected)
{
    edri_workers_t workers = {99, 99};
    cr_expect(workers_read(text, &workers), "%s", text);
    cr_expect_eq(workers.kind, expected.kind, "%s", text);
    cr_expect_eq(workers.count, expected.count, "%s", text);
    cr_expect(workers_fit(workers), "%s", text);
}

Test(workers, every_kind_is_read)
{
    expect_same("method", EDRI_METHOD);
    expect_same("threads:1", EDRI_THREADS(1));
    expect_same("threads:256", EDRI_THREADS(256));
    expect_same("processes:2", EDRI_PROCESSES(2));
    expect_same("fresh", EDRI_FRESH_PROCESS);
    expect_same("fresh:3", (edri_workers_t){WORKERS_FRESH, 3});
    cr_expect_geq(workers_count(EDRI_FRESH_PROCESS), 2);
}

Test(workers, what_is_none_of_them_is_refused)
{
    static const char *const wrong[] = {"", "thread:2", "threads",
        "threads:", "threads:0", "threads:257", "threads:-1", "threads:2x",
        "threads: 2", "method:1", "methods", "processes", "processes:+2",
        "fresh:0", "fresh:99999999999999999999", "Method"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        edri_workers_t workers;
        cr_expect(!workers_read(wrong[i], &workers), "\"%s\"", wrong[i]);
    }
    cr_expect(!workers_fit(EDRI_PROCESSES(0)));
    cr_expect(!workers_fit(EDRI_PROCESSES(257)));
    cr_expect(!workers_fit((edri_workers_t){4, 1}));
}

static edri_err_t
on_order(edri_task_t *task, const Shop__OrderPlaced *order)
{
    (void)task;
    (void)order;
    return EDRI_OK;
}

// expect_start starts a node whose file says that of the manager "stock", which
// its code makes.
static void
expect_start(const char *section, edri_err_t expected, const char *text)
{
    char path[] = "/tmp/edri-test-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    fprintf(file, "managers\n    stock\n%s", section);
    (void)fclose(file);
    char *argv[] = {(char[]){"test"}, (char[]){"--config"}, path, NULL};
    edri_node_t *node = edri_node_new(3, argv);
    edri_manager_t *stock = edri_node_manager(node, "stock");
    (void)shop_order_placed_handle(stock, on_order, EDRI_METHOD);
    cr_expect_eq(edri_node_start(node), expected, "%s: %s", section,
        edri_node_error(node));
    cr_expect_not_null(
        strstr(edri_node_error(node), text), "%s", edri_node_error(node));
    edri_node_destroy(&node);
    (void)unlink(path);
}

Test(workers, the_configuration_changes_what_code_says)
{
    expect_start("        mode = threads:2\n", EDRI_OK, "");
    expect_start("        set\n            mine = 1\n", EDRI_OK, "");
}

Test(workers, wrong_values_name_file_and_line)
{
    expect_start("        mode = threads\n", EDRI_INVAL,
        ":3: managers/stock/mode: method, threads:N, processes:N, fresh or "
        "fresh:N is expected");
    expect_start("        mood = method\n", EDRI_INVAL,
        ":3: managers/stock/mood: unknown setting");
    expect_start("        program = /bin/true\n", EDRI_INVAL,
        ":3: managers/stock/program: handlers in processes are expected");
    expect_start("        mode = threads:2\n        program = /bin/true\n",
        EDRI_INVAL, ":4: managers/stock/program");
}
