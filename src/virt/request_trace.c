/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns nothing: the census of the map, and the trace's beginning, end and events. */
#include "virt/request_trace.h"

#include "mem/census.h"
#include "virt/trace.h"

err_t request_census(struct cpu *self, struct request *request)
{
	uint64_t start = request->argument[0], end = request->argument[1];

	(void)self;
	if ((start | end) & PAGE_MASK)
		return SCRIM_EALIGN;
	if (start >= end || end - start > SCRIM_CENSUS_MAX)
		return SCRIM_EINVAL;
	const struct mem_census census = mem_census(&machine.mem, gfn_of_address(start), gfn_of_address(end));
	request->result[0] = census.displaced | (uint64_t)census.shared << 32;
	request->result[1] = census.in_flight | watch_closed(&machine.watch, gfn_of_address(start), gfn_of_address(end)) << 32;
	return SCRIM_OK;
}

err_t request_trace(struct cpu *self, struct request *request)
{
	(void)self;
	if (request->argument[0] >= SCRIM_TRACE_ORDER_COUNT)
		return SCRIM_EINVAL;
	if (!trace_events())
		return SCRIM_ENOTABLE;
	if (request->argument[0] == SCRIM_TRACE_START)
		trace_start();
	else
		trace_stop();
	request->result[0] = trace_events();
	return SCRIM_OK;
}

err_t request_trace_read(struct cpu *self, struct request *request)
{
	struct trace_event event = { 0 };

	if (request->argument[0] >= machine.cpu_count)
		return SCRIM_EINVAL;
	self->untraced = trace_is_on();
	if (trace_take(&machine.cpu[request->argument[0]], &event)) {
		request->result[0] = event.start_tsc;
		request->result[1] = event.what;
	}
	return SCRIM_OK;
}
