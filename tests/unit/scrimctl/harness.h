/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Provides what the files of this test program share: the fake machine, the run of a command line on it, and what was
 * printed. Each file test_NAME.c has one function that runs its tests and returns how many failed.
 */
#pragma once

#include <jansson.h>

#include "fake_vmm.h"
#include "kernel_map.h"
#include "session.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

extern struct fake *fake; /* in shared memory: it outlives a tool that is killed */
extern char *out, *err;   /* of the last run */
extern size_t out_size;
extern struct kernel_files files; /* of the fake OS; at first there are none */

void forget_output(void);

/* Runs a command line: "move --json 0x1000". */
enum exit_code run(const char *line);

/* The same in a process that the fake may kill. */
enum exit_code run_in_child(const char *line);

/* One line "scrimctl: what, why; what to do instead" and nothing else on the error stream. */
void assert_one_complaint(void);
void assert_done(const char *line);
void assert_refused(const char *line, const char *words);
void assert_usage(const char *line);
void assert_printed(const char *words);

/* The value at "a.b.c", where a number is an index. */
json_t *at(json_t *root, const char *path);
json_t *output_json(void);
void assert_text(json_t *root, const char *path, const char *text);
void assert_count(json_t *root, const char *path, json_int_t count);
void assert_near(json_t *root, const char *path, double value);

/* Scrim refuses this operation from now on. */
void refuse(enum scrim_op op, uint32_t status, uint64_t result0);

void assert_all_modes(enum scrim_cpu_mode mode);

int harness_setup(void **state);
int harness_teardown(void **state);

#define TEST(function) cmocka_unit_test_setup_teardown(function, harness_setup, harness_teardown)

int tests_of_words(void);
int tests_of_status(void);
int tests_of_switch(void);
int tests_of_portions(void);
int tests_of_sweep(void);
int tests_of_lend(void);
int tests_of_move(void);
int tests_of_retire(void);
int tests_of_killed(void);
int tests_of_watchers(void);
int tests_of_snapshot(void);
int tests_of_dirty(void);
