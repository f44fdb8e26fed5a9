/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steps. Each is bounded, so that the OS's scheduler rules between two, and a signal is heeded there. With several
 * jobs, threads of this program step at the same time; which part each of them works on is Scrim's to decide. The first
 * thread alone shows progress and decides how it ended: the others only help, and a refusal that matters comes to the
 * first one too. All of them have the right to the port, which threads inherit (ioperm(2)).
 */
#include "steps.h"

#include <pthread.h>
#include <stdatomic.h>

struct helpers {
	const struct session *session;
	const struct steps *steps;
	atomic_bool stop;
	unsigned count;
	pthread_t threads[STEPS_JOBS_MAX];
};

static void *help(void *argument)
{
	struct helpers *helpers = argument;
	struct reply reply = { .status = SCRIM_OK };

	while (!atomic_load(&helpers->stop) && reply.status == SCRIM_OK) {
		reply = request(helpers->session, helpers->steps->op, helpers->steps->batch, 0);
		if (reply.status == SCRIM_OK && helpers->steps->finished(&reply))
			break;
	}
	return NULL;
}

/* Where no thread can be had, there are fewer: the work gets done all the same. */
static void helpers_start(struct helpers *helpers)
{
	while (helpers->count + 1 < helpers->steps->jobs &&
	       pthread_create(&helpers->threads[helpers->count], NULL, help, helpers) == 0)
		helpers->count++;
}

static void helpers_stop(struct helpers *helpers)
{
	atomic_store(&helpers->stop, true);
	for (unsigned i = 0; i < helpers->count; i++)
		pthread_join(helpers->threads[i], NULL);
}

static enum steps_end step_to_the_end(const struct session *session, struct steps *steps, struct reply *answer)
{
	for (;;) {
		if (*session->interrupted != 0)
			return STEPS_INTERRUPTED;
		*answer = request(session, steps->op, steps->batch, 0);
		if (answer->status == SCRIM_ESTATE)
			return STEPS_ELSEWHERE;
		if (answer->status != SCRIM_OK)
			return STEPS_REFUSED;
		steps->good = *answer;
		progress_show(session, &steps->progress,
			      answer->result0 > steps->floor ? answer->result0 - steps->floor : 0);
		if (steps->finished(answer))
			return STEPS_DONE;
	}
}

enum steps_end steps_run(const struct session *session, struct steps *steps, struct reply *answer)
{
	struct helpers helpers = { .session = session, .steps = steps };
	enum steps_end end;

	helpers_start(&helpers);
	end = step_to_the_end(session, steps, answer);
	helpers_stop(&helpers);
	progress_end(session, &steps->progress);
	return end;
}
