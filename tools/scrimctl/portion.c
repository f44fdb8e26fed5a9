/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Portions. Scrim validates every request by itself; what is found here is found before the first request changes
 * anything, and can be said more clearly than by one status.
 */
#include "portion.h"

#include <inttypes.h>

#define RANGE_FORMAT        "0x%" PRIx64 "-0x%" PRIx64
#define RANGE_VALUES(range) (range)->start, (range)->end

static bool check_alone(const struct session *session, const char *verb, const struct range_list *ranges)
{
	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->items[i];

		if (range->start % PAGE_BYTES != 0 || range->end % PAGE_BYTES != 0) {
			complain(session,
				 "%s refused, " RANGE_FORMAT " does not start and end with a page; give multiples of "
				 "4096 (0x1000)",
				 verb, RANGE_VALUES(range));
			return false;
		}
		for (size_t j = 0; j < i; j++) {
			if (!range_overlaps(range, &ranges->items[j]))
				continue;
			complain(session,
				 "%s refused, " RANGE_FORMAT " and " RANGE_FORMAT " overlap; name each page once", verb,
				 RANGE_VALUES(&ranges->items[j]), RANGE_VALUES(range));
			return false;
		}
	}
	return true;
}

static bool check_ram(const struct session *session, const char *verb, const struct range *range,
		      const struct range_list *ram, const struct range_list *own)
{
	uint64_t hole = ranges_end_of_cover(ram, range->start);

	if (ranges_overlap(own, range)) {
		complain(session,
			 "%s refused, in " RANGE_FORMAT " lies Scrim's own memory; scrimctl status lists it, and the "
			 "RAM that can be named",
			 verb, RANGE_VALUES(range));
		return false;
	}
	if (hole >= range->end)
		return true;
	complain(session,
		 "%s refused, " RANGE_FORMAT " is not all RAM of the OS's: at 0x%" PRIx64
		 " is a hole, a device or firmware; scrimctl status lists the RAM",
		 verb, RANGE_VALUES(range), hole);
	return false;
}

bool portion_check_ram(const struct session *session, const char *verb, const struct range_list *ranges)
{
	struct range_list ram = { 0 }, own = { 0 };
	bool good = check_alone(session, verb, ranges) && ranges_request(session, SCRIM_RANGE_RAM, &ram) &&
		    ranges_request(session, SCRIM_RANGE_OWN, &own);

	for (size_t i = 0; good && i < ranges->count; i++)
		good = check_ram(session, verb, &ranges->items[i], &ram, &own);
	ranges_free(&ram);
	ranges_free(&own);
	return good;
}

static bool check_managed(const struct session *session, const char *verb, const struct range *range,
			  const struct range_list *managed)
{
	if (ranges_cover(managed, range))
		return true;
	if (ranges_overlap(managed, range))
		complain(session,
			 "%s refused, " RANGE_FORMAT " is managed only in part: the page at 0x%" PRIx64
			 " is home and locked to Identity; scrimctl status lists what is managed",
			 verb, RANGE_VALUES(range), ranges_end_of_cover(managed, range->start));
	else
		complain(session,
			 "%s refused, " RANGE_FORMAT
			 " is not managed: its pages are home and locked to Identity; scrimctl status lists what is "
			 "managed",
			 verb, RANGE_VALUES(range));
	return false;
}

bool portion_check_managed(const struct session *session, const char *verb, const struct range_list *ranges)
{
	struct range_list managed = { 0 };
	bool good = portion_check_ram(session, verb, ranges) && ranges_request(session, SCRIM_RANGE_MANAGED, &managed);

	for (size_t i = 0; good && i < ranges->count; i++)
		good = check_managed(session, verb, &ranges->items[i], &managed);
	ranges_free(&managed);
	return good;
}
