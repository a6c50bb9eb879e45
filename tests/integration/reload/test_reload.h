// SPDX-License-Identifier: MIT
// test_reload.h - what the plugin that is reloaded tells the test.  Any thread.

#ifndef TEST_RELOAD_H
#define TEST_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <edri/err.h>

// An edition has handled a Line, a Step; it has heard from Later.  -1: something
// that it was given was not its own.
void seen_line(int edition, uint32_t number);
void seen_step(int edition, uint32_t account, uint32_t number);
void seen_answer(int edition, int number);

// It has begun a Solo, or ended it; it has heard of the progress of one of its own
// requests.
void seen_solo(int edition, uint32_t number, bool begins);
void seen_progress(int edition, int state);

// seen_err notes what a call returned that must succeed.
void seen_err(edri_err_t err);

// seen_turn notes a turn of an edition's life, seen_worker that a worker's state
// was made (1) or ended (-1).
void seen_turn(int edition, const char *what);
void seen_worker(int more);

// wait_for_gate waits until the test opens it, 10 s at most.
void wait_for_gate(int edition);

#endif
