/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the plan of who lies where. Places are taken one after another, the least movable first; what has a place, or
 * holds bytes that are still to be read, is busy for all that come later.
 *
 * Wishes that may be given up are tried first and dropped together, in this order: the kernel's wished address stays
 * free of Scrim's own block; and nothing is put where UEFI's boot services were.
 */
#include "boot/placement.h"
#include "boot/efi_map.h"
#include "base/str.h"

#define OWN_ALIGNMENT MIB(2)
#define STARTUP_HIGH KIB(636) /* the EBDA may begin above, whatever the map says */
#define BUSY_MAX 10u

struct planner {
	const struct range_list *memory;
	const struct boot_info *boot;
	const struct guest_image *image;
	uint64_t own_bytes;
	struct range present; /* where Scrim lies now */
	bool avoid_wish, avoid_boot_services;
	struct placement *out;
	uint32_t busy_count;
	struct range busy[BUSY_MAX];
};

/* A place to be found in RAM: [start, start + bytes) within [low, high). */
struct request {
	uint64_t bytes, alignment, low, high;
};

static void planner_take(struct planner *plan, uint64_t start, uint64_t end)
{
	if (start < end)
		plan->busy[plan->busy_count++] = (struct range){ .start = start, .end = end };
}

/* Something busy within [start, end). */
static bool planner_conflict(const struct planner *plan, uint64_t start, uint64_t end, struct range *found)
{
	for (uint32_t i = 0; i < plan->busy_count; i++) {
		if (plan->busy[i].start < end && start < plan->busy[i].end) {
			*found = plan->busy[i];
			return true;
		}
	}
	return plan->avoid_boot_services &&
	       efi_map_find_boot_services(&plan->boot->efi, start, end, &found->start, &found->end);
}

static bool clip(const struct range *entry, const struct request *request, uint64_t *low, uint64_t *high)
{
	*low = entry->start > request->low ? entry->start : request->low;
	*high = entry->end < request->high ? entry->end : request->high;
	return entry->type == RANGE_RAM && *low < *high && *high - *low >= request->bytes;
}

/* The highest place; each conflict sends the candidate below what it met. */
static bool planner_highest(const struct planner *plan, const struct request *request, uint64_t *out)
{
	for (uint32_t i = plan->memory->count; i-- > 0;) {
		uint64_t low, high;

		if (!clip(&plan->memory->entry[i], request, &low, &high))
			continue;
		while (high > low && high - low >= request->bytes) {
			uint64_t start = align_down(high - request->bytes, request->alignment);
			struct range conflict;

			if (start < low)
				break;
			if (!planner_conflict(plan, start, start + request->bytes, &conflict)) {
				*out = start;
				return true;
			}
			high = conflict.start;
		}
	}
	return false;
}

/* The lowest place; each conflict sends the candidate above what it met. */
static bool planner_lowest(const struct planner *plan, const struct request *request, uint64_t *out)
{
	for (uint32_t i = 0; i < plan->memory->count; i++) {
		uint64_t low, high;

		if (!clip(&plan->memory->entry[i], request, &low, &high))
			continue;
		while (low < high && high - low >= request->bytes) {
			uint64_t start = align_up(low, request->alignment);
			struct range conflict;

			if (start > high || high - start < request->bytes)
				break;
			if (!planner_conflict(plan, start, start + request->bytes, &conflict)) {
				*out = start;
				return true;
			}
			low = conflict.end;
		}
	}
	return false;
}

/* Where the kernel would like to lie, or must: the hull of its segments with what Linux needs to start. */
static struct range image_wish(const struct guest_image *image)
{
	struct range hull = { .start = UINT64_MAX, .end = 0 };

	for (uint32_t i = 0; i < image->segment_count; i++) {
		const struct guest_segment *segment = &image->segment[i];

		if (segment->address < hull.start)
			hull.start = segment->address;
		if (segment->address + segment->memory_bytes > hull.end)
			hull.end = segment->address + segment->memory_bytes;
	}
	if (image->kind == GUEST_LINUX)
		hull.end = hull.start + align_up(image->init_bytes, PAGE_SIZE);
	return hull;
}

static void planner_take_modules(struct planner *plan)
{
	planner_take(plan, plan->boot->kernel.start, plan->boot->kernel.end);
	planner_take(plan, plan->boot->initrd.start, plan->boot->initrd.end);
}

/* Takes what only the next step must keep clear of: all bytes that lie there now. Ended by setting busy_count back. */
static void planner_take_present(struct planner *plan)
{
	planner_take(plan, plan->present.start, plan->present.end);
	planner_take_modules(plan);
}

static const char *place_own(struct planner *plan)
{
	const struct request request = { plan->own_bytes, OWN_ALIGNMENT, MIB(1), GIB(4) };
	struct range wish = image_wish(plan->image);
	bool found;

	planner_take_present(plan);
	if (plan->avoid_wish || !plan->image->relocatable)
		planner_take(plan, wish.start, wish.end);
	found = planner_highest(plan, &request, &plan->out->own_start);
	plan->busy_count = 0;
	if (!found)
		return "No RAM below 4 GiB is free for Scrim's own block: give the machine more memory or lower reserve=";
	plan->out->own_end = plan->out->own_start + request.bytes;
	planner_take(plan, plan->out->own_start, plan->out->own_end);
	return NULL;
}

static const char *place_startup(struct planner *plan)
{
	const struct request request = { PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, STARTUP_HIGH };
	struct range wish = image_wish(plan->image);
	uint32_t before = plan->busy_count;
	bool found;

	planner_take_present(plan);
	planner_take(plan, wish.start, wish.end);
	found = planner_highest(plan, &request, &plan->out->startup_page);
	plan->busy_count = before;
	if (!found)
		return "No page of RAM below 636 KiB is free to start CPUs with: boot without Scrim";
	planner_take(plan, plan->out->startup_page, plan->out->startup_page + PAGE_SIZE);
	return NULL;
}

/* For multiboot the pieces must be RAM, not the gaps between them. */
static bool kernel_fits(const struct planner *plan, const struct range *hull)
{
	const struct guest_image *image = plan->image;
	struct range conflict;

	if (hull->end > GIB(4) || planner_conflict(plan, hull->start, hull->end, &conflict))
		return false;
	if (image->kind == GUEST_LINUX)
		return hull->start >= MIB(1) && ranges_contain(plan->memory, hull->start, hull->end, RANGE_RAM);
	for (uint32_t i = 0; i < image->segment_count; i++) {
		uint64_t start = image->segment[i].address;

		if (!ranges_contain(plan->memory, start, start + image->segment[i].memory_bytes, RANGE_RAM))
			return false;
	}
	return true;
}

static const char *const fixed_line =
	"The kernel cannot be moved, and its place is not free RAM: use a relocatable kernel or more memory";

/* Asked first, when nothing has a place yet, so that the line says what is really wrong. */
static const char *check_fixed_kernel(struct planner *plan)
{
	struct range wish = image_wish(plan->image);

	return plan->image->relocatable || kernel_fits(plan, &wish) ? NULL : fixed_line;
}

/*
 * A Linux that is loaded below its wish unpacks itself at the wish all the same (boot.rst, "pref_address"), so other
 * places are sought above it only. The modules are not in the way: the initrd has been moved by then, and the kernel's
 * own bytes are moved as one piece.
 */
static const char *place_kernel(struct planner *plan)
{
	struct range wish = image_wish(plan->image);
	struct request request = { wish.end - wish.start, plan->image->alignment, wish.start, GIB(4) };

	if (request.low < MIB(1))
		request.low = MIB(1);
	if (kernel_fits(plan, &wish))
		plan->out->kernel_start = wish.start;
	else if (!plan->image->relocatable)
		return fixed_line;
	else if (!planner_lowest(plan, &request, &plan->out->kernel_start))
		return "No RAM below 4 GiB is large enough for the kernel to start in: give the machine more memory";
	plan->out->kernel_end = plan->out->kernel_start + request.bytes;
	planner_take(plan, plan->out->kernel_start, plan->out->kernel_end);
	return NULL;
}

static const char *place_initrd(struct planner *plan)
{
	const struct boot_module *module = &plan->boot->initrd;
	uint64_t bytes = module->end - module->start;
	const struct request request = { align_up(bytes, PAGE_SIZE), PAGE_SIZE, MIB(1), plan->image->initrd_max + 1 };
	uint32_t before = plan->busy_count;
	bool found;

	if (bytes == 0)
		return NULL;
	planner_take(plan, plan->boot->kernel.start, plan->boot->kernel.end);
	found = planner_highest(plan, &request, &plan->out->initrd_start);
	plan->busy_count = before;
	if (!found)
		return "No RAM within the kernel's reach is free for the initrd: give the machine more memory";
	plan->out->initrd_end = plan->out->initrd_start + bytes;
	planner_take(plan, plan->out->initrd_start, plan->out->initrd_start + request.bytes);
	return NULL;
}

static const char *place_params(struct planner *plan)
{
	struct request request = { PLACEMENT_PARAMS_BYTES, PAGE_SIZE, MIB(1), GIB(4) };

	planner_take_modules(plan);
	if (!planner_highest(plan, &request, &plan->out->params_start)) {
		request.low = PAGE_SIZE;
		request.high = STARTUP_HIGH;
		if (!planner_highest(plan, &request, &plan->out->params_start))
			return "No RAM below 4 GiB is free for the kernel's boot parameters: give the machine more memory";
	}
	plan->out->params_end = plan->out->params_start + request.bytes;
	planner_take(plan, plan->out->params_start, plan->out->params_end);
	return NULL;
}

/* Several segments cannot be taken out of a file that the first of them would overwrite: it is moved aside before. */
static const char *place_kernel_file(struct planner *plan)
{
	const struct boot_module *module = &plan->boot->kernel;
	const struct request request = { module->end - module->start, PAGE_SIZE, MIB(1), GIB(4) };
	struct placement *out = plan->out;

	out->kernel_file = module->start;
	if (plan->image->segment_count < 2 || module->start >= out->kernel_end || out->kernel_start >= module->end)
		return NULL;
	if (!planner_highest(plan, &request, &out->kernel_file))
		return "No RAM below 4 GiB is free to take the kernel's segments from: give the machine more memory";
	return NULL;
}

static const char *planner_run(struct planner *plan)
{
	static const char *(*const steps[])(struct planner *) = {
		check_fixed_kernel, place_own, place_startup, place_kernel, place_initrd, place_params, place_kernel_file,
	};
	const char *line = NULL;

	plan->busy_count = 0;
	memset(plan->out, 0, sizeof(*plan->out));
	for (uint32_t i = 0; i < ARRAY_SIZE(steps) && line == NULL; i++)
		line = steps[i](plan);
	return line;
}

const char *placement_plan(const struct range_list *memory, const struct boot_info *boot, const struct guest_image *image,
			   uint64_t own_bytes, uint64_t image_start, uint64_t image_end, struct placement *out)
{
	static const struct {
		bool wish, boot_services;
	} avoid[] = { { true, true }, { false, true }, { true, false }, { false, false } };
	struct planner plan = { .memory = memory, .boot = boot, .image = image, .out = out };
	const char *line = NULL;

	if (own_bytes == 0 || own_bytes >= GIB(4))
		return "Scrim's own block would not fit below 4 GiB: lower reserve=";
	plan.own_bytes = align_up(own_bytes, OWN_ALIGNMENT);
	plan.present = (struct range){ .start = image_start, .end = image_end };
	for (uint32_t i = 0; i < ARRAY_SIZE(avoid); i++) {
		plan.avoid_wish = avoid[i].wish;
		plan.avoid_boot_services = avoid[i].boot_services;
		line = planner_run(&plan);
		if (line == NULL)
			break;
	}
	return line;
}
