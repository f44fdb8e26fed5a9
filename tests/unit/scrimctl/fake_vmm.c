/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake machine: Scrim's state machine written down a second time, from the interface's text alone. */
#include "fake_vmm.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool in_os(const struct fake_cpu *cpu)
{
	return cpu->mode == SCRIM_CPU_STARTING || cpu->mode == SCRIM_CPU_GUARDED || cpu->mode == SCRIM_CPU_NATIVE ||
	       cpu->mode == SCRIM_CPU_TRANSLATING;
}

static uint64_t count_left(const struct fake *fake)
{
	uint64_t left = 0;

	for (unsigned i = 0; i < fake->cpu_count; i++)
		left += in_os(&fake->cpus[i]) && !fake->cpus[i].switched;
	return fake->never_zero ? 1 : left;
}

void fake_reset(struct fake *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->root = true;
	fake->lockdown = "[none] integrity confidentiality\n";
	fake->abi = SCRIM_ABI_VERSION;
	fake->absent_reads = SCRIM_ABSENT;
	fake->state = SCRIM_NATIVE;
	fake->cpu_count = 5;
	fake->columns = 80;
	fake->trace_ring = 8;
	fake_memory_reset(&fake->memory);
	fake_watch_reset(&fake->watch);
	fake->tsc_hz = 2000000000;
	fake->iommu = SCRIM_IOMMU_VTD;
	fake->iommu_faults = 7;
	for (unsigned i = 0; i < fake->cpu_count; i++)
		fake->cpus[i] =
			(struct fake_cpu){ .apic_id = 2 * i, .mode = SCRIM_CPU_NATIVE, .os_number = i, .online = true };
	fake->cpus[4].mode = SCRIM_CPU_WAITING;
	fake->cpus[4].online = false;
	fake->cpus[2].os_number = 1100;
}

enum scrim_state fake_state(const struct fake *fake)
{
	if (fake->state != SCRIM_NATIVE)
		return fake->state;
	for (unsigned i = 0; i < fake->cpu_count; i++)
		if (fake->cpus[i].mode == SCRIM_CPU_GUARDED || fake->cpus[i].mode == SCRIM_CPU_PARKED)
			return SCRIM_GUARDED;
	return SCRIM_NATIVE;
}

void fake_begin(struct fake *fake, enum scrim_state state)
{
	fake->state = state;
	for (unsigned i = 0; i < fake->cpu_count; i++)
		fake->cpus[i].switched = false;
}

void fake_virtualize(struct fake *fake, unsigned displaced)
{
	fake->state = SCRIM_VIRTUALIZED;
	for (unsigned i = 0; i < fake->cpu_count; i++)
		if (in_os(&fake->cpus[i]))
			fake->cpus[i].mode = SCRIM_CPU_TRANSLATING;
	fake_manage_all(&fake->memory);
	for (unsigned i = 0; i < displaced; i++)
		fake->memory.pages[i] = FAKE_DMA_FREE_START + 0x1000ull * i;
	fake->memory.displaced = displaced;
}

static uint64_t info(const struct fake *fake, uint64_t what)
{
	uint64_t translating = 0, cpus = 0;

	for (unsigned i = 0; i < fake->cpu_count; i++) {
		cpus += in_os(&fake->cpus[i]);
		translating += fake->cpus[i].mode == SCRIM_CPU_TRANSLATING;
	}
	switch (what) {
	case SCRIM_INFO_STATE:
		return fake_state(fake);
	case SCRIM_INFO_VENDOR:
		return SCRIM_VENDOR_AMD;
	case SCRIM_INFO_BACKEND:
		return fake->state == SCRIM_NATIVE ? SCRIM_BACKEND_NATIVE : fake->backend;
	case SCRIM_INFO_CPUS:
		return fake->cpu_count;
	case SCRIM_INFO_CPUS_IN_OS:
		return cpus;
	case SCRIM_INFO_CPUS_TRANSLATING:
		return translating;
	case SCRIM_INFO_PAGES_DISPLACED:
		return fake->memory.displaced;
	case SCRIM_INFO_PAGES_MANAGED:
		return fake_pages_of(&fake->memory.managed);
	case SCRIM_INFO_PAGES_SHARED:
	case SCRIM_INFO_FRAMES_SAVED:
		return fake->memory.shared;
	case SCRIM_INFO_FRAMES_FREE:
		return fake->memory.frames_free;
	case SCRIM_INFO_FRAMES_LENT:
		return fake_pages_of(&fake->memory.lent);
	case SCRIM_INFO_FRAMES_RETIRED:
		return fake_pages_of(&fake->memory.retired);
	case SCRIM_INFO_REVERSE:
		return fake->memory.reverse;
	case SCRIM_INFO_PAUSE_US:
		return fake->pause_us;
	case SCRIM_INFO_PAGES_MOVED:
		return fake->requests; /* somebody moves pages meanwhile: one with each request */
	case SCRIM_INFO_BATCHES:
		return fake->batches;
	case SCRIM_INFO_LAST_OP:
		return fake->last_op;
	case SCRIM_INFO_LAST_LONGEST_EXIT_TSC:
		return 5000;
	case SCRIM_INFO_LAST_TSC:
		return 1000000000;
	case SCRIM_INFO_TSC_HZ:
		return fake->tsc_hz;
	case SCRIM_INFO_DMA_FREE:
	case SCRIM_INFO_IOMMU_ON:
		return 1;
	case SCRIM_INFO_IOMMU:
		return fake->iommu;
	case SCRIM_INFO_IOMMU_FAULTS:
		return fake->iommu_faults;
	case SCRIM_INFO_IOMMU_FAULT_SOURCE:
		return 2 << 8 | 0x1f << 3 | 3;
	case SCRIM_INFO_IOMMU_FAULT_ADDRESS:
		return 0x12345000;
	case SCRIM_INFO_WATCH:
		return fake->watch.kind;
	case SCRIM_INFO_WATCH_FRAMES:
		return fake->watch.frames;
	case SCRIM_INFO_IMAGE_COPIES:
		return 77;
	case SCRIM_INFO_IMAGE_WAITED_TSC:
		return info(fake, SCRIM_INFO_TSC_HZ) / 4;
	default:
		return 1000 + what; /* told apart in the output */
	}
}

static uint32_t do_cpu_info(const struct fake *fake, uint64_t cpu, uint64_t what, uint64_t *result)
{
	if (cpu >= fake->cpu_count || what >= SCRIM_CPU_INFO_COUNT)
		return SCRIM_EINVAL;
	switch (what) {
	case SCRIM_CPU_APIC_ID:
		*result = fake->cpus[cpu].apic_id;
		break;
	case SCRIM_CPU_MODE:
		*result = fake->cpus[cpu].mode;
		break;
	case SCRIM_CPU_VMCB:
		*result = 0x123450000ull + 0x1000 * cpu;
		break;
	case SCRIM_CPU_STALLS:
		*result = fake->cpus[cpu].stalls;
		break;
	case SCRIM_CPU_STALL_LONGEST_TSC:
		*result = fake->cpus[cpu].stalls != 0 ? 8000000 : 0;
		break;
	case SCRIM_CPU_TRACE_LOST:
		*result = fake->trace_lost;
		break;
	default:
		*result = 0;
		for (unsigned cause = 0; what == SCRIM_CPU_EXITS_TOTAL && cause < SCRIM_EXIT_COUNT; cause++)
			*result += fake->cpus[cpu].exits[cause];
		break;
	}
	return SCRIM_OK;
}

/* The events of a CPU: number i of them is of kind 1 + i % 4. */
static uint32_t do_trace_read(struct fake *fake, uint64_t cpu, uint64_t result[2])
{
	unsigned *left;

	if (cpu >= fake->cpu_count)
		return SCRIM_EINVAL;
	left = &fake->cpus[cpu].events;
	result[0] = result[1] = 0;
	if (*left == 0)
		return SCRIM_OK;
	result[0] = 2000000000ull * *left;
	result[1] = (uint64_t)(1 + *left % 4) << SCRIM_TRACE_KIND_SHIFT | 1ull << SCRIM_TRACE_NUMBER_SHIFT | 3000;
	--*left;
	return SCRIM_OK;
}

static uint32_t do_trace(struct fake *fake, uint64_t order, uint64_t *ring)
{
	*ring = fake->trace_ring;
	if (fake->trace_ring == 0)
		return SCRIM_ENOTABLE;
	fake->tracing = order == SCRIM_TRACE_START;
	for (unsigned i = 0; fake->tracing && i < fake->cpu_count; i++)
		fake->cpus[i].events = fake->trace_events;
	return SCRIM_OK;
}

static void do_visit(struct fake *fake, uint64_t *left, uint64_t *index)
{
	struct fake_cpu *cpu = &fake->cpus[fake->os_cpu_at];

	cpu->visits++;
	*index = fake->os_cpu_at;
	*left = 0;
	if (cpu->mode == SCRIM_CPU_GUARDED && cpu->guard_over)
		cpu->mode = SCRIM_CPU_NATIVE;
	cpu->backend = fake->backend;
	for (unsigned i = 0; i < fake->cpu_count; i++)
		*left += fake->state == SCRIM_VIRTUALIZED && in_os(&fake->cpus[i]) && fake->cpus[i].backend != fake->backend;
	if (fake->state != SCRIM_COMMENCING && fake->state != SCRIM_CEASING)
		return;
	assert_true(fake->memory.displaced == 0);
	cpu->mode = fake->state == SCRIM_COMMENCING ? SCRIM_CPU_TRANSLATING : SCRIM_CPU_NATIVE;
	cpu->switched = true;
	*left = count_left(fake);
	if (*left == 0) {
		fake->last_op = fake->state == SCRIM_COMMENCING ? SCRIM_OP_VIRTUALIZE : SCRIM_OP_DEVIRTUALIZE;
		fake->state = fake->state == SCRIM_COMMENCING ? SCRIM_VIRTUALIZED : SCRIM_NATIVE;
		if (fake->state == SCRIM_NATIVE)
			fake->memory.managed.count = 0;
	}
}

static uint32_t do_backend(struct fake *fake, uint64_t backend)
{
	if (backend < SCRIM_BACKEND_NESTED || backend > SCRIM_BACKEND_VTLB)
		return SCRIM_EINVAL;
	if (fake->no_shadow && backend != SCRIM_BACKEND_NESTED)
		return SCRIM_ENOTABLE;
	fake->backend = backend;
	return SCRIM_OK;
}

static uint32_t do_virtualize(struct fake *fake, const uint64_t argument[2])
{
	uint64_t portions = argument[0];
	uint32_t status = portions > 1 ? SCRIM_EINVAL : do_backend(fake, argument[1] ? argument[1] : SCRIM_BACKEND_NESTED);

	if (status != SCRIM_OK)
		return status;
	if (fake->state == SCRIM_NATIVE)
		fake_begin(fake, SCRIM_COMMENCING);
	if (portions == 0)
		fake_manage_all(&fake->memory);
	return SCRIM_OK;
}

/* Where everything that was to come home is: to what is left to be managed, or off the map. */
static void settle_home(struct fake *fake, bool home, bool all)
{
	const struct fake_ranges *managed = &fake->memory.managed;

	if (!home)
		fake->state = SCRIM_REMAPPING;
	else if ((all && fake->memory.retired.count == 0) || managed->count == 0)
		fake_begin(fake, SCRIM_CEASING);
	else
		fake->state = SCRIM_VIRTUALIZED;
}

/* end_homecoming() leaves the last portion managed until every CPU has switched off the map. */
static bool is_last(const struct fake *fake)
{
	const struct fake_ranges *managed = &fake->memory.managed;

	return fake->memory.remap_all || (managed->count == 1 && fake_ranges_cover(managed, fake->memory.remapping) &&
					  fake->memory.remapping.start == managed->items[0].start &&
					  fake->memory.remapping.end == managed->items[0].end);
}

static uint32_t do_devirtualize(struct fake *fake, const uint64_t argument[2])
{
	const struct range range = { argument[0] & ~4095ull, argument[1] };
	const struct fake_ranges *managed = &fake->memory.managed;
	bool last = argument[1] == 0 || (managed->count == 1 && range.start == managed->items[0].start &&
					 range.end == managed->items[0].end);
	bool home = false;
	uint32_t status = fake_devirtualize(&fake->memory, argument[0], argument[1], &home);

	if (status == SCRIM_OK)
		settle_home(fake, home, last);
	return status;
}

static uint32_t do_step(struct fake *fake, uint32_t op, uint64_t pages, uint64_t result[2])
{
	bool last = is_last(fake);
	bool home;

	if (op == SCRIM_OP_PAUSED)
		pages = UINT64_MAX;
	else if (pages < 1 || pages > SCRIM_BATCH_MAX)
		return SCRIM_EINVAL;
	fake_step(&fake->memory, pages, &home);
	fake->memory.steps += op == SCRIM_OP_STEP;
	fake->memory.pauses += op == SCRIM_OP_PAUSED;
	settle_home(fake, home, last);
	result[0] = fake->memory.displaced;
	result[1] = fake->state;
	return SCRIM_OK;
}

/* What is served in VIRTUALIZED alone. */
static uint32_t do_virtualized(struct fake *fake, uint32_t op, const uint64_t argument[2], uint64_t result[2])
{
	uint32_t status;

	switch (op) {
	case SCRIM_OP_DEVIRTUALIZE:
		return do_devirtualize(fake, argument);
	case SCRIM_OP_MOVE:
		status = fake_move(&fake->memory, argument[0], &result[0]);
		fake->last_op = status == SCRIM_OK ? SCRIM_OP_MOVE : fake->last_op;
		return status;
	case SCRIM_OP_RETIRE:
		fake->last_op = op;
		return fake_retire(&fake->memory, argument[0], result);
	case SCRIM_OP_BACKEND:
		return do_backend(fake, argument[0]);
	case SCRIM_OP_REVERSE:
		if (argument[0] >= SCRIM_REVERSE_COUNT)
			return SCRIM_EINVAL;
		fake->memory.reverse = argument[0];
		return SCRIM_OK;
	case SCRIM_OP_AIM:
		return fake_aim(&fake->memory, argument[0], argument[1]);
	case SCRIM_OP_SCATTER:
	case SCRIM_OP_SHARE:
		fake->last_op = op;
		return fake_begin_sweep(&fake->memory, (enum scrim_op)op,
					op == SCRIM_OP_SCATTER ? argument[1] : SCRIM_FRACTION_ALL);
	default:
		return fake_sweep_step(&fake->memory, (enum scrim_op)op, argument[0], result);
	}
}

/* The states that each operation is served in, as bits; the others answer SCRIM_ESTATE. */
static unsigned states_of(uint32_t op)
{
	const unsigned homecoming = 1 << SCRIM_REMAPPING | 1 << SCRIM_CEASING;

	switch (op) {
	case SCRIM_OP_VIRTUALIZE:
		return 1 << SCRIM_NATIVE | 1 << SCRIM_COMMENCING;
	case SCRIM_OP_ABORT:
		return homecoming | 1 << SCRIM_COMMENCING;
	case SCRIM_OP_DEVIRTUALIZE:
		return homecoming | 1 << SCRIM_VIRTUALIZED;
	case SCRIM_OP_STEP:
	case SCRIM_OP_PAUSED:
		return 1 << SCRIM_REMAPPING;
	case SCRIM_OP_MANAGE:
		return 1 << SCRIM_COMMENCING | 1 << SCRIM_VIRTUALIZED;
	case SCRIM_OP_LEND:
	case SCRIM_OP_UNLEND:
		return 1 << SCRIM_NATIVE | 1 << SCRIM_VIRTUALIZED;
	default:
		return 1 << SCRIM_VIRTUALIZED;
	}
}

static void do_abort(struct fake *fake)
{
	if (fake->state == SCRIM_COMMENCING)
		fake_begin(fake, SCRIM_CEASING);
	else if (fake->state == SCRIM_CEASING)
		fake_begin(fake, SCRIM_COMMENCING);
	else
		fake->state = SCRIM_VIRTUALIZED;
	fake->memory.remapping = (struct range){ 0, 0 };
}

static uint32_t do_watch(struct fake *fake, const uint64_t argument[2], uint64_t result[2])
{
	uint64_t cpus = 0;

	if (argument[0] != SCRIM_WATCH_NONE && fake->state != SCRIM_VIRTUALIZED) {
		result[0] = fake_state(fake);
		return SCRIM_ESTATE;
	}
	for (unsigned i = 0; i < fake->cpu_count; i++)
		cpus += in_os(&fake->cpus[i]);
	return fake_watch_begin(&fake->watch, argument, cpus, result);
}

static uint32_t do_image_cpu(const struct fake *fake, const uint64_t argument[2], uint64_t result[2])
{
	if (argument[0] >= fake->cpu_count || argument[1] >= SCRIM_REG_COUNT || !in_os(&fake->cpus[argument[0]]))
		return SCRIM_EINVAL;
	result[0] = fake_image_register(argument[0], argument[1]);
	return SCRIM_OK;
}

/* Watches, and what they keep from being served. SCRIM_STATUS_COUNT: the operation is none of these. */
static uint32_t do_watched(struct fake *fake, uint32_t op, const uint64_t argument[2], uint64_t result[2])
{
	uint32_t status;

	switch (op) {
	case SCRIM_OP_WATCH:
		return do_watch(fake, argument, result);
	case SCRIM_OP_IMAGE_READ:
		status = fake_image_read(&fake->watch, argument, result);
		result[0] = status == SCRIM_ESTATE ? fake_state(fake) : result[0];
		return status;
	case SCRIM_OP_IMAGE_CPU:
		return do_image_cpu(fake, argument, result);
	case SCRIM_OP_DIRTY:
		status = fake_dirty(&fake->watch, argument[0], result);
		result[0] = status == SCRIM_ESTATE ? fake_state(fake) : result[0];
		return status;
	case SCRIM_OP_DEVIRTUALIZE:
		fake->watch.kind = SCRIM_WATCH_NONE;
		return SCRIM_STATUS_COUNT;
	default:
		return fake->watch.kind != SCRIM_WATCH_NONE ? SCRIM_EWATCH : SCRIM_STATUS_COUNT;
	}
}

/* The operations that the state table rules. */
static uint32_t do_transition(struct fake *fake, uint32_t op, const uint64_t argument[2], uint64_t result[2])
{
	uint32_t status = do_watched(fake, op, argument, result);

	if (status != SCRIM_STATUS_COUNT)
		return status;
	if ((states_of(op) >> fake->state & 1) == 0) {
		result[0] = fake_state(fake);
		return SCRIM_ESTATE;
	}
	switch (op) {
	case SCRIM_OP_VIRTUALIZE:
		return do_virtualize(fake, argument);
	case SCRIM_OP_ABORT:
		do_abort(fake);
		return SCRIM_OK;
	case SCRIM_OP_STEP:
	case SCRIM_OP_PAUSED:
		return do_step(fake, op, argument[0], result);
	case SCRIM_OP_MANAGE:
		return fake_manage(&fake->memory, argument[0], argument[1]);
	case SCRIM_OP_LEND:
		return fake_lend(&fake->memory, argument[0], argument[1]);
	case SCRIM_OP_UNLEND:
		return fake_unlend(&fake->memory, argument[0], argument[1]);
	default:
		return fake->state == SCRIM_VIRTUALIZED ? do_virtualized(fake, op, argument, result) : SCRIM_OK;
	}
}

static uint32_t serve(struct fake *fake, uint32_t op, const uint64_t argument[2], uint64_t result[2])
{
	switch (op) {
	case SCRIM_OP_VERSION:
		result[0] = fake->abi;
		result[1] = 1 << 16 | 2 << 8 | 3;
		return SCRIM_OK;
	case SCRIM_OP_INFO:
		result[0] = info(fake, argument[0]);
		return argument[0] < SCRIM_INFO_COUNT ? SCRIM_OK : SCRIM_EINVAL;
	case SCRIM_OP_CPU_INFO:
		return do_cpu_info(fake, argument[0], argument[1], &result[0]);
	case SCRIM_OP_CPU_EXITS:
		if (argument[0] >= fake->cpu_count || argument[1] >= SCRIM_EXIT_COUNT)
			return SCRIM_EINVAL;
		result[0] = fake->cpus[argument[0]].exits[argument[1]];
		return SCRIM_OK;
	case SCRIM_OP_RANGE:
		return fake_range(&fake->memory, argument[0], argument[1], result);
	case SCRIM_OP_TRACE:
		return do_trace(fake, argument[0], &result[0]);
	case SCRIM_OP_TRACE_READ:
		return do_trace_read(fake, argument[0], result);
	case SCRIM_OP_CENSUS:
		return fake_census(&fake->memory, argument[0], argument[1], result);
	case SCRIM_OP_MACHINE_CHECK:
		return fake_machine_check(&fake->memory, argument[0], result);
	case SCRIM_OP_VISIT:
		do_visit(fake, &result[0], &result[1]);
		return SCRIM_OK;
	case SCRIM_OP_CHECK:
		result[0] = fake->violation;
		result[1] = 0xabc000;
		return fake->violation == SCRIM_HOLDS ? SCRIM_OK : SCRIM_EINVARIANT;
	default:
		return op < SCRIM_OP_COUNT ? do_transition(fake, op, argument, result) : SCRIM_EBADREQ;
	}
}

static void disturb(struct fake *fake)
{
	fake->requests++;
	if (fake->kill_at != 0 && fake->requests == fake->kill_at)
		_exit(FAKE_KILLED);
	if (fake->signal_at != 0 && fake->requests == fake->signal_at)
		fake->interrupted = SIGINT;
}

/* A request that changes the state comes from a thread that may run anywhere: only visits are bound to a CPU. */
static void check_request(const struct fake *fake, const struct registers *registers)
{
	uint32_t op = registers->eax & 0xffff;

	assert_int_equal(registers->eax & 0xffff0000u, SCRIM_MAGIC);
	assert_int_equal(fake->pinned, op == SCRIM_OP_VISIT);
}

static void answer(struct fake *fake, struct registers *registers)
{
	uint32_t op = registers->eax & 0xffff;
	const uint64_t argument[2] = { (uint64_t)registers->ecx << 32 | registers->ebx,
				       (uint64_t)registers->edi << 32 | registers->esi };
	uint64_t result[2] = { 0, 0 };

	disturb(fake);
	check_request(fake, registers);
	if (fake->absent) {
		registers->eax = fake->absent_reads;
		return;
	}
	fake->cpus[fake->os_cpu_at].exits[SCRIM_EXIT_REQUEST]++;
	if (fake->beaten && op == SCRIM_OP_VIRTUALIZE)
		fake_virtualize(fake, 0);
	if (fake->refuse && op == fake->refuse_op) {
		registers->eax = fake->refuse_status;
		result[0] = fake->refuse_result0;
	} else {
		registers->eax = serve(fake, op, argument, result);
	}
	if (fake->flicker && op == SCRIM_OP_VIRTUALIZE)
		fake->state = SCRIM_NATIVE;
	if (registers->eax != SCRIM_OK && registers->eax != SCRIM_ESTATE && registers->eax != SCRIM_EINVARIANT)
		return;
	registers->ebx = (uint32_t)result[0];
	registers->ecx = (uint32_t)(result[0] >> 32);
	registers->esi = (uint32_t)result[1];
	registers->edi = (uint32_t)(result[1] >> 32);
}

/* With several jobs, requests come from several threads. */
static void fake_in(void *context, struct registers *registers)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	answer(context, registers);
	pthread_mutex_unlock(&lock);
}

static int fake_open(void *context)
{
	return ((struct fake *)context)->open_error;
}
static bool fake_is_root(void *context)
{
	return ((struct fake *)context)->root;
}

static bool fake_lockdown(void *context, char *line, size_t size)
{
	struct fake *fake = context;

	if (fake->lockdown == NULL)
		return false;
	snprintf(line, size, "%s", fake->lockdown);
	return true;
}

const struct port_ops fake_port = {
	.open = fake_open,
	.in = fake_in,
	.is_root = fake_is_root,
	.lockdown = fake_lockdown,
};

static int fake_online(void *context, struct cpu_list *list)
{
	struct fake *fake = context;

	if (fake->online_error != 0)
		return fake->online_error;
	for (unsigned i = 0; i < fake->cpu_count; i++)
		if (fake->cpus[i].online && !cpu_list_add(list, fake->cpus[i].os_number))
			return ENOMEM;
	return 0;
}

static int fake_enter(void *context, unsigned number)
{
	struct fake *fake = context;

	for (unsigned i = 0; i < fake->cpu_count; i++) {
		if (fake->cpus[i].os_number != number || !fake->cpus[i].online)
			continue;
		if ((fake->cpus[i].blocked_states >> fake_state(fake) & 1) != 0)
			return EINVAL;
		fake->os_cpu_at = i;
		fake->pinned = true;
		return 0;
	}
	return EINVAL;
}

static void fake_leave(void *context)
{
	((struct fake *)context)->pinned = false;
}

static long fake_number_of(void *context, uint32_t apic_id)
{
	struct fake *fake = context;

	for (unsigned i = 0; i < fake->cpu_count; i++)
		if (fake->cpus[i].apic_id == apic_id && fake->cpus[i].online)
			return fake->cpus[i].os_number;
	return -1;
}

static void fake_pause_ms(void *context, unsigned milliseconds)
{
	struct fake *fake = context;

	assert_true(milliseconds > 0 && milliseconds < 1000);
	assert_false(fake->pinned);
	if (fake->pauses++ == 0 && fake->online_at_pause != 0)
		fake->cpus[fake->online_at_pause - 1].online = true;
}

const struct cpu_ops fake_cpu_ops = {
	.online = fake_online,
	.enter = fake_enter,
	.leave = fake_leave,
	.number_of = fake_number_of,
	.pause_ms = fake_pause_ms,
};

static int fake_list(void *context, struct block_list *list)
{
	struct fake *fake = context;

	/* As a directory is read: in no order. */
	for (unsigned i = 0; fake->blocks_error == 0 && i < FAKE_BLOCKS; i++) {
		unsigned number = (i * 5 + 3) % FAKE_BLOCKS;
		const struct fake_block *block = &fake->memory.blocks[number];

		if (!blocks_add(list, (struct block){ .number = number,
						      .range = { number * FAKE_BLOCK_BYTES,
								 (number + 1) * FAKE_BLOCK_BYTES },
						      .online = block->online,
						      .removable = block->removable,
						      .movable = block->movable }))
			return ENOMEM;
	}
	return fake->blocks_error;
}

static int fake_set_online(void *context, uint64_t number, bool online)
{
	struct fake *fake = context;
	struct fake_block *block = &fake->memory.blocks[number];
	const struct range range = { number * FAKE_BLOCK_BYTES, (number + 1) * FAKE_BLOCK_BYTES };

	fake->block_changes++;
	if (fake->kill_at_block != 0 && fake->block_changes == fake->kill_at_block)
		_exit(FAKE_KILLED);
	if (fake->signal_at_block != 0 && fake->block_changes == fake->signal_at_block) {
		fake->interrupted = SIGINT;
		return EINTR;
	}
	/* The worst that scrimctl could do: the OS gets back what Scrim keeps pages in. */
	assert_false(online && fake_ranges_cover(&fake->memory.lent, range));
	assert_int_not_equal(block->online, online);
	if (online ? block->stuck : block->busy)
		return EBUSY;
	block->online = online;
	return 0;
}

const struct block_ops fake_block_ops = {
	.list = fake_list,
	.set_online = fake_set_online,
};
