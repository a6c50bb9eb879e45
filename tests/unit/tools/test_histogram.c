// SPDX-License-Identifier: MIT
// test_histogram.c - percentiles, and how exact they are.

#include <criterion/criterion.h>
#include <stdlib.h>

#include "tools/histogram.h"

TestSuite(histogram, .timeout = 30);

#define VALUES 100000

static int
by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

// next makes numbers of all sizes below 2^40, the same ones in every run.
static uint64_t
next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return (*seed >> 24) >> (*seed >> 8) % 40;
}

Test(histogram, example)
{
    static histogram_t histogram;
    for (uint64_t us = 1; us <= 100; us++) {
        histogram_add(&histogram, us);
    }
    cr_expect_eq(histogram_at(&histogram, 0.5), 50);
    cr_expect_eq(histogram_at(&histogram, 0.99), 99);
    cr_expect_eq(histogram_at(&histogram, 1), 100);
}

Test(histogram, of_nothing_says_0)
{
    static histogram_t histogram;
    cr_expect_eq(histogram_at(&histogram, 0.5), 0);
    cr_expect_eq(histogram_at(&histogram, 1), 0);
}

Test(histogram, of_one_value_says_that_one)
{
    static const uint64_t values[] = {0, 1, 255, 256, 257, 12345678,
        (UINT64_C(1) << 40) - 1, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        histogram_t *histogram = calloc(1, sizeof *histogram);
        histogram_add(histogram, values[i]);
        cr_expect_eq(histogram_at(histogram, 0.001), values[i]);
        cr_expect_eq(histogram_at(histogram, 1), values[i]);
        free(histogram);
    }
}

// error_of says by how much of it a value is told too large; the greater one behind it
// keeps 'max' out.
static double
error_of(uint64_t value)
{
    histogram_t *histogram = calloc(1, sizeof *histogram);
    histogram_add(histogram, value);
    histogram_add(histogram, UINT64_MAX);
    uint64_t told = histogram_at(histogram, 0.5);
    free(histogram);
    cr_expect_geq(told, value, "never too small: %lu", value);
    return (double)(told - value) / (double)value;
}

Test(histogram, is_exact_to_1_in_128_at_every_power_of_two)
{
    for (unsigned bits = 1; bits < HISTOGRAM_TOP_BITS; bits++) {
        uint64_t power = UINT64_C(1) << bits;
        cr_expect_leq(error_of(power - 1), 1.0 / 128);
        cr_expect_leq(error_of(power), 1.0 / 128);
        cr_expect_leq(error_of(power + 1), 1.0 / 128);
    }
}

Test(histogram, percentiles_are_those_of_the_sorted_values)
{
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    static uint64_t values[VALUES];
    static histogram_t histogram;
    uint64_t seed = 1;
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = next(&seed);
        histogram_add(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], by_value);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        uint64_t exact = values[(size_t)(shares[i] * VALUES + 0.5) - 1];
        uint64_t told = histogram_at(&histogram, shares[i]);
        cr_expect_geq(told, exact, "%f: %lu %lu", shares[i], told, exact);
        cr_expect_leq((double)(told - exact), (double)exact / 128);
    }
}

Test(histogram, merged_ones_are_one_that_had_all)
{
    static histogram_t parts[3];
    static histogram_t all;
    static histogram_t merged;
    uint64_t seed = 2;
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t value = next(&seed);
        histogram_add(&parts[i % 3], value);
        histogram_add(&all, value);
    }
    for (size_t i = 0; i < 3; i++) {
        histogram_merge(&merged, &parts[i]);
    }
    cr_expect_eq(merged.total, VALUES);
    cr_expect_arr_eq(&merged, &all, sizeof all);
}
