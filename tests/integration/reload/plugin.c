// SPDX-License-Identifier: MIT
// plugin.c - a plugin that is reloaded, in several editions.
//
// EDITION is its number.  What else is defined is what is wrong with it: FAILS_TO_START,
// FAILS_IN_THREADS, HANDLES_LESS, HANDLES_MORE, HAS_METHODS_ONLY, FAILS_TO_SET_UP;
// HAS_TEXT: the number of a Line is a text.

#include <edri/edri.h>

#include "reload.edri.h"
#include "test_reload.h"

static const int state = EDITION;

// mine says whether a task is this edition's in all that it has.
static bool
mine(edri_task_t *task)
{
    const int *own = edri_task_worker_state(task);
    return edri_task_state(task) == &state && own != NULL && *own == EDITION;
}

static edri_err_t
on_line(edri_task_t *task, const Reload__Line *line)
{
#ifdef HAS_TEXT
    (void)line;
    seen_line(mine(task) ? EDITION : -1, 0);
#else
    seen_line(mine(task) ? EDITION : -1, line->number);
#endif
    return EDRI_OK;
}

static edri_err_t
on_step(edri_task_t *task, const Reload__Step *step)
{
    seen_step(mine(task) ? EDITION : -1, step->account, step->number);
    return EDRI_OK;
}

static edri_err_t
on_solo(edri_task_t *task, const Reload__Solo *solo)
{
    (void)task;
    seen_solo(EDITION, solo->number, true);
    if (solo->number == 0) {
        wait_for_gate(EDITION);
    }
    seen_solo(EDITION, solo->number, false);
    return EDRI_OK;
}

static void
on_progress(const edri_progress_t *progress, void *arg)
{
    (void)progress;
    seen_progress(EDITION, *(const int *)arg);
}

static void
on_later(const edri_answer_t *answer, const Reload__Answer *reply, void *arg)
{
    Reload__Later later = RELOAD__LATER__INIT;
    Reload__Step step = RELOAD__STEP__INIT;
    edri_port_t *port = arg;
    seen_answer(EDITION, answer->err == EDRI_OK ? (int)reply->edition : -1);
    (void)edri_port_on_progress(port, on_progress, (void *)(uintptr_t)&state);
    if (reply != NULL && reply->edition == 1) { // the first: once more
        later.number = 2;
        seen_err(reload_later_request_async(port, &later, 0, on_later, port));
        step.account = 1000; // by a type and a key of this edition's own
        seen_err(reload_step_emit(port, &step));
    }
}

static edri_err_t
on_which(edri_task_t *task, const Reload__Which *which, Reload__Answer *reply)
{
    edri_port_t *port = edri_task_port(task);
    Reload__Later later = RELOAD__LATER__INIT;
    later.number = 1;
    if (which->asks) {
        seen_err(reload_later_request_async(port, &later, 0, on_later, port));
    }
    reply->edition = EDITION;
    return EDRI_OK;
}

#ifndef HANDLES_LESS
static edri_err_t
on_held(edri_task_t *task, const Reload__Held *held, Reload__Answer *reply)
{
    (void)task;
    (void)held;
    wait_for_gate(EDITION);
    reply->edition = EDITION;
    return EDRI_OK;
}
#endif

#ifdef HANDLES_MORE
static edri_err_t
on_more(edri_task_t *task, const Reload__Later *later, Reload__Answer *reply)
{
    (void)task;
    (void)later;
    (void)reply;
    return EDRI_OK;
}
#endif

static edri_err_t
started(edri_manager_t *manager, edri_port_t *port, void *arg)
{
    (void)port;
    (void)arg;
    seen_turn(EDITION, "started");
#ifdef FAILS_TO_START
    return edri_manager_fail(manager, EDRI_SYSTEM, "no such luck");
#else
    (void)manager;
    return EDRI_OK;
#endif
}

static void
draining(edri_manager_t *manager, edri_port_t *port, void *arg)
{
    (void)manager;
    (void)port;
    (void)arg;
    seen_turn(EDITION, "draining");
}

static void
stopped(edri_manager_t *manager, void *arg)
{
    (void)manager;
    (void)arg;
    seen_turn(EDITION, "stopped");
}

static edri_err_t
begin(edri_manager_t *manager, void *arg, void **worker_p)
{
    static int own = EDITION;
    (void)arg;
    (void)manager;
    *worker_p = &own;
#ifdef FAILS_IN_THREADS
    static _Atomic int count;
    if (++count == 3) { // the method's and one thread's are fine
        return edri_manager_fail(manager, EDRI_SYSTEM, "no third one");
    }
#endif
    seen_worker(1);
    return EDRI_OK;
}

static void
end(void *worker)
{
    seen_worker(*(int *)worker == EDITION ? -1 : 0);
}

static void
destroy(void *arg)
{
    seen_turn(arg == &state ? EDITION : -1, "destroyed");
}

__attribute__((destructor)) static void
unloaded(void)
{
    seen_turn(EDITION, "unloaded");
}

edri_err_t
edri_plugin(edri_manager_t *manager)
{
    edri_workers_t threads = EDRI_THREADS(2 + EDITION % 2);
    static const edri_hooks_t hooks = {started, draining, stopped};
    (void)edri_manager_set_state(manager, (void *)(uintptr_t)&state, destroy);
    (void)edri_manager_worker_state(manager, begin, end);
    (void)edri_manager_hooks(manager, &hooks);
    (void)reload_line_handle(manager, on_line, EDRI_METHOD);
    (void)reload_which_handle(manager, on_which, EDRI_METHOD);
    (void)reload_solo_handle(manager, on_solo, EDRI_THREADS(1));
#ifdef HAS_METHODS_ONLY
    threads = EDRI_METHOD;
#endif
    (void)reload_step_handle(manager, on_step, threads);
#ifndef HANDLES_LESS
    (void)reload_held_handle(manager, on_held, threads);
#endif
#ifdef HANDLES_MORE
    (void)reload_later_handle(manager, on_more, threads);
#endif
#ifdef FAILS_TO_SET_UP
    (void)reload_line_handle(manager, on_line, EDRI_METHOD); // twice
#endif
    return EDRI_OK;
}
