/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Visits. The list of online CPUs is read anew in each round, because CPUs come and go; the rounds are bounded, so a
 * CPU that cannot be reached ends as an answer and never as a loop. Whatever happens, the thread gets its affinity
 * back.
 */
#include "visit.h"

#include <inttypes.h>
#include <string.h>

#include "explain.h"
#include "names.h"
#include "request.h"

#define ROUNDS         8
#define ROUND_PAUSE_MS 50

struct round {
	struct cpu_list reached; /* by Scrim's index */
	uint64_t left;           /* CPUs that have not switched, by the last visit; UINT64_MAX: no visit */
	int blocked_error;       /* of the first CPU of the OS that could not be entered, or 0 */
};

static void visit_one(const struct session *session, struct round *round, unsigned cpu)
{
	int error = session->cpus->enter(session->context, cpu);
	struct reply reply;

	if (error != 0) {
		if (round->blocked_error == 0)
			round->blocked_error = error;
		return;
	}
	reply = request(session, SCRIM_OP_VISIT, 0, 0);
	if (reply.status != SCRIM_OK)
		return;
	round->left = reply.result0;
	/* An index too large to note makes the CPU look unvisited, which is the safe way round. */
	if (reply.result1 < CPU_LIST_LIMIT && !cpu_list_add(&round->reached, (unsigned)reply.result1))
		return;
}

static enum visit_outcome visit_round(const struct session *session, bool until_switched, bool heed_signals,
				      struct round *round, char why[VISIT_WHY])
{
	struct cpu_list online = { 0 };
	int error = session->cpus->online(session->context, &online);
	enum visit_outcome outcome = VISIT_DONE;

	round->left = UINT64_MAX;
	round->blocked_error = 0;
	if (error != 0) {
		snprintf(why, VISIT_WHY,
			 "the OS's list of online CPUs cannot be read (%s); mount sysfs on /sys and try again",
			 strerror(error));
		return VISIT_STUCK;
	}
	for (unsigned cpu = cpu_list_next(&online, 0); cpu < CPU_LIST_LIMIT; cpu = cpu_list_next(&online, cpu + 1)) {
		if (heed_signals && *session->interrupted != 0) {
			outcome = VISIT_INTERRUPTED;
			break;
		}
		visit_one(session, round, cpu);
		if (until_switched && round->left == 0)
			break;
	}
	session->cpus->leave(session->context);
	cpu_list_free(&online);
	return outcome;
}

static bool cpu_in_os(uint64_t mode)
{
	return mode == SCRIM_CPU_STARTING || mode == SCRIM_CPU_GUARDED || mode == SCRIM_CPU_NATIVE ||
	       mode == SCRIM_CPU_TRANSLATING;
}

/* First CPU in the OS that the round did not reach: its APIC id. False: there is none. */
static bool find_unreached(const struct session *session, const struct round *round, uint32_t *apic_id)
{
	struct reply count = request(session, SCRIM_OP_INFO, SCRIM_INFO_CPUS, 0);

	for (unsigned cpu = 0; count.status == SCRIM_OK && cpu < count.result0; cpu++) {
		struct reply mode = request(session, SCRIM_OP_CPU_INFO, cpu, SCRIM_CPU_MODE);

		if (mode.status != SCRIM_OK || !cpu_in_os(mode.result0) || cpu_list_has(&round->reached, cpu))
			continue;
		*apic_id = (uint32_t)request(session, SCRIM_OP_CPU_INFO, cpu, SCRIM_CPU_APIC_ID).result0;
		return true;
	}
	return false;
}

static void describe_unreached(const struct session *session, const struct round *round, uint32_t apic_id,
			       char why[VISIT_WHY])
{
	long number = session->cpus->number_of(session->context, apic_id);

	if (number < 0)
		snprintf(why, VISIT_WHY,
			 "the CPU with APIC id %" PRIu32
			 " cannot be visited, because the OS does not list it as online; bring "
			 "it online by /sys/devices/system/cpu/cpu*/online and try again",
			 apic_id);
	else if (round->blocked_error != 0)
		snprintf(why, VISIT_WHY,
			 "the CPU with APIC id %" PRIu32
			 " (cpu%ld) cannot be visited (sched_setaffinity: %s); run scrimctl "
			 "where no cpuset keeps it from that CPU, or take cpu%ld offline, and try again",
			 apic_id, number, strerror(round->blocked_error), number);
	else
		snprintf(why, VISIT_WHY,
			 "the CPU with APIC id %" PRIu32
			 " (cpu%ld) was not reached; do not take CPUs offline meanwhile, and "
			 "try again",
			 apic_id, number);
}

static void describe_left(const struct round *round, char why[VISIT_WHY])
{
	if (round->left == UINT64_MAX)
		snprintf(why, VISIT_WHY,
			 "no CPU could be visited (sched_setaffinity: %s); run scrimctl where no cpuset limits it",
			 strerror(round->blocked_error));
	else
		snprintf(why, VISIT_WHY,
			 "%" PRIu64
			 " CPU(s) have not switched, though every online CPU was visited; see the modes of CPUs in "
			 "scrimctl status and try again",
			 round->left);
}

void visit_settle(const struct session *session)
{
	struct round round = { 0 };
	char why[VISIT_WHY];

	/* Best effort: what cannot be settled stays guarded, and is reported so. */
	visit_round(session, false, true, &round, why);
	cpu_list_free(&round.reached);
}

enum visit_outcome visit_try(const struct session *session, char why[VISIT_WHY])
{
	enum visit_outcome outcome = VISIT_STUCK;
	uint32_t apic_id = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct round round = { 0 };
		bool again;

		if (i > 0)
			session->cpus->pause_ms(session->context, ROUND_PAUSE_MS);
		outcome = visit_round(session, false, true, &round, why);
		again = outcome == VISIT_DONE && find_unreached(session, &round, &apic_id);
		if (again)
			describe_unreached(session, &round, apic_id, why);
		cpu_list_free(&round.reached);
		if (!again)
			return outcome;
	}
	return VISIT_STUCK;
}

enum visit_outcome visit_switch(const struct session *session, bool heed_signals, char why[VISIT_WHY])
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct round round = { 0 };
		enum visit_outcome outcome;
		uint32_t apic_id = 0;

		if (i > 0)
			session->cpus->pause_ms(session->context, ROUND_PAUSE_MS);
		outcome = visit_round(session, true, heed_signals, &round, why);
		if (outcome == VISIT_DONE && round.left != 0) {
			if (find_unreached(session, &round, &apic_id))
				describe_unreached(session, &round, apic_id, why);
			else
				describe_left(&round, why);
		}
		cpu_list_free(&round.reached);
		if (outcome != VISIT_DONE || round.left == 0)
			return outcome;
	}
	return VISIT_STUCK;
}
