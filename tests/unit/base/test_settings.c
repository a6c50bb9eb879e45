// SPDX-License-Identifier: MIT
// test_settings.c - values from file, environment and flags, and what is
// wrong with them.

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/settings.h"

TestSuite(settings, .timeout = 30);

static const setting_row_t rows[] = {
    {"node.name", SETTING_TEXT, "", 0, 8, "", "The name."},
    {"node.limit", SETTING_BYTES, "1M", 1024, 1 << 30, "bytes", "The limit."},
    {"node.wait", SETTING_DURATION, "2s", 1, 3600000, "ms", "The wait."},
    {"node.count", SETTING_INT, "3", 1, 64, "", "The count."},
    {"node.open", SETTING_BOOL, "no", 0, 1, "", "Whether it is open."},
    {"log.level", SETTING_CHOICE, "warn", 0, 0, "debug|warn|none", "Level."},
    {NULL, SETTING_TEXT, NULL, 0, 0, NULL, NULL},
};
static const char *const sections[] = {"managers", NULL};

// argv and environ are not const.
#define TEXT(text) ((char *)(uintptr_t)(text))

static char path[64];

static settings_t *
with_file(const char *text)
{
    strcpy(path, "/tmp/edri-settings-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    return settings_new(rows, sections);
}

static void
without_file(settings_t **settings)
{
    settings_destroy(settings);
    (void)unlink(path);
}

Test(settings, example)
{
    settings_t *settings = with_file("node\n"
                                     "    name = one  # a comment\n"
                                     "    limit = 64K\n"
                                     "    open = yes\n"
                                     "managers\n"
                                     "    counter\n"
                                     "        plugin = \"a b.so\"\n");
    cr_expect_eq(settings_int(settings, "node.limit"), 1 << 20);
    cr_assert_eq(settings_read_file(settings, path), EDRI_OK, "%s",
        settings_error(settings));
    cr_expect_str_eq(settings_text(settings, "node.name"), "one");
    cr_expect_eq(settings_int(settings, "node.limit"), 64 << 10);
    cr_expect(settings_bool(settings, "node.open"));
    cr_expect_eq(settings_int(settings, "node.wait"), 2000);

    const void *cursor = NULL;
    const char *name = NULL;
    cr_assert(settings_section_next(settings, "managers", &cursor, &name));
    cr_expect_str_eq(name, "counter");
    cr_expect_not(settings_section_next(settings, "managers", &cursor, &name));
    cr_expect_str_eq(
        settings_section_text(settings, "managers/counter/plugin"), "a b.so");
    cr_expect_null(settings_section_text(settings, "managers/counter/none"));
    char *where = settings_section_where(settings, "managers/counter/plugin");
    char *expected = str_printf("%s:7", path);
    cr_expect_str_eq(where, expected);
    free(where);
    free(expected);
    without_file(&settings);
    cr_expect_null(settings);
}

Test(settings, later_sources_win)
{
    settings_t *settings = with_file("node\n    count = 4\n    wait = 1m\n");
    char *argv[] = {TEXT("prog"), TEXT("--config"), path, TEXT("--set"),
        TEXT("node.count=6"), TEXT("own"), TEXT("--set=node.name=f"), NULL};
    int argc = 7;
    (void)setenv("EDRI_NODE_COUNT", "5", 1);
    (void)setenv("EDRI_NODE_LIMIT", "2M", 1);
    cr_assert_eq(settings_read_args(settings, &argc, argv), EDRI_OK, "%s",
        settings_error(settings));
    cr_expect_eq(settings_int(settings, "node.count"), 6, "flag");
    cr_expect_eq(settings_int(settings, "node.limit"), 2 << 20, "environment");
    cr_expect_eq(settings_int(settings, "node.wait"), 60000, "file");
    cr_expect_str_eq(settings_text(settings, "node.name"), "f");
    cr_assert_eq(argc, 2);
    cr_expect_str_eq(argv[1], "own");
    cr_expect_null(argv[2]);
    without_file(&settings);
}

// Each wrong file: what is said must name the line and what would be right.
Test(settings, a_wrong_file_is_told_with_its_line)
{
    static const struct {
        const char *text, *where, *what;
    } cases[] = {
        {"node\n    nmae = x\n", ":2", "node.name"},
        {"nod\n    name = x\n", ":1", "nod"},
        {"node\n    name = much-too-long\n", ":2", "8"},
        {"node\n    limit = 1\n", ":2", "1024"},
        {"node\n    limit = 9Q\n", ":2", "9Q"},
        {"node\n    limit = 99999999999G\n", ":2", "limit"},
        {"\n\nnode\n    wait = soon\n", ":4", "soon"},
        {"node\n    wait = -2s\n", ":2", "-2s"},
        {"node\n    count = 65\n", ":2", "64"},
        {"node\n    count = 3x\n", ":2", "3x"},
        {"node\n    open = maybe\n", ":2", "maybe"},
        {"log\n    level = loud\n", ":2", "debug"},
        {"node\n   name = x\n", ":2", "4"},
        {"node\n\tname = x\n", ":2", "tab"},
        {"node\n    name = a\n    name = b\n", ":3", "node.name"},
        {"node\n    name = \"open\n", ":2", "quote"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        settings_t *settings = with_file(cases[i].text);
        edri_err_t err = settings_read_file(settings, path);
        const char *error = settings_error(settings);
        cr_expect_eq(err == EDRI_INVAL || err == EDRI_NOT_FOUND, true,
            "case %zu was taken", i);
        char *at = str_printf("%s%s", path, cases[i].where);
        cr_expect(strstr(error, at) != NULL && strstr(error, cases[i].what),
            "case %zu: %s", i, error);
        free(at);
        without_file(&settings);
    }
}

Test(settings, a_missing_file_is_told)
{
    settings_t *settings = settings_new(rows, NULL);
    cr_expect_neq(settings_read_file(settings, "/no/such/file"), EDRI_OK);
    cr_expect_not_null(strstr(settings_error(settings), "/no/such/file"));
    cr_expect_neq(settings_read_file(settings, "/tmp"), EDRI_OK);
    settings_destroy(&settings);
}

Test(settings, wrong_variables_and_flags_are_told)
{
    settings_t *settings = settings_new(rows, NULL);
    char *wrong[] = {TEXT("EDRI_NODE_NMAE=x"), NULL};
    cr_expect_neq(settings_read_env(settings, wrong), EDRI_OK);
    cr_expect_not_null(strstr(settings_error(settings), "EDRI_NODE_NMAE"));
    cr_expect_not_null(strstr(settings_error(settings), "node.name"));
    char *section[] = {TEXT("EDRI_NDOE_NAME=x"), NULL};
    cr_expect_neq(settings_read_env(settings, section), EDRI_OK);
    cr_expect_not_null(strstr(settings_error(settings), "node.name"));
    char *switches[] = {TEXT("EDRI_SWITCH_BIND=x"), NULL};
    cr_expect_eq(settings_read_env(settings, switches), EDRI_OK);
    char *range[] = {TEXT("EDRI_NODE_COUNT=99"), NULL};
    cr_expect_neq(settings_read_env(settings, range), EDRI_OK);
    cr_expect_not_null(strstr(settings_error(settings), "EDRI_NODE_COUNT"));
    char *other[] = {TEXT("PATH=/bin"), TEXT("EDRI_CONFIG=x"), NULL};
    cr_expect_eq(settings_read_env(settings, other), EDRI_OK);

    static const char *const flags[][2] = {{"--set", "node.count"},
        {"--set", "nothing.here=1"}, {"--set", "node.count=0"}, {"--set", NULL},
        {"--config", NULL}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        char *argv[] = {
            TEXT("prog"), TEXT(flags[i][0]), TEXT(flags[i][1]), NULL};
        int argc = flags[i][1] != NULL ? 3 : 2;
        cr_expect_neq(
            settings_read_args(settings, &argc, argv), EDRI_OK, "%zu", i);
        cr_expect_not_null(strstr(settings_error(settings), flags[i][0] + 2),
            "%s", settings_error(settings));
    }
    settings_destroy(&settings);
}
