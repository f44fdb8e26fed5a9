/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An image. What can fail without Scrim (the file, the buffer, the lists) comes first. Then WATCH is the instant, and all
 * RAM is read in order, each page once: Scrim lets go of it, so that it costs no frame any more. However this ends, the watch
 * ends, and a map that this run has put under the OS is taken away.
 */
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "image_file.h"
#include "image_reading.h"
#include "text.h"
#include "watching.h"

/* A rate that is only there to make a number of frames imaginable. */
#define ASSUMED_BYTES_PER_SECOND (100u << 20)

/* What writes on a busy machine without waiting (this program, the kernel's interrupts): some 500 pages; and waiting ones have the first half. */
#define PAUSED_FRAMES 1024u

#define PRIORITY_MOST (-20)

struct snapshot {
	struct image_file file;
	struct image_reading reading;
	struct core_plan plan;
	struct watching watching;
	uint64_t pages;
	uint64_t copies;
	double seconds;
	double waited; /* seconds, by all CPUs */
};

static bool complain_interrupted(const struct session *session)
{
	if (*session->interrupted != 0)
		complain(session, "snapshot interrupted, no file is left of it; run it again at any time");
	return false;
}

/* Whole pages of [start, end), less what is lent: those frames are not the OS's now. */
static bool add_range(struct range_list *list, const struct range_list *lent, struct range range)
{
	range.start = (range.start + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	range.end = range.end / PAGE_BYTES * PAGE_BYTES;
	while (range.start < range.end) {
		struct range part = range;

		part.start = ranges_end_of_cover(lent, range.start);
		for (size_t i = 0; i < lent->count; i++)
			if (lent->items[i].start > part.start && lent->items[i].start < part.end)
				part.end = lent->items[i].start;
		if (part.start < part.end && !ranges_add(list, part))
			return false;
		range.start = part.end > part.start ? part.end : part.start;
	}
	return true;
}

static bool plan_ram(const struct session *session, struct snapshot *snapshot)
{
	struct range_list ram = { 0 }, lent = { 0 };
	bool good = ranges_request(session, SCRIM_RANGE_RAM, &ram) && ranges_request(session, SCRIM_RANGE_LENT, &lent);

	for (size_t i = 0; good && i < ram.count; i++) {
		good = add_range(&snapshot->plan.ram, &lent, ram.items[i]);
		if (!good)
			complain(session, "snapshot refused, no memory for the list of RAM; free some and try again");
	}
	for (size_t i = 0; i < snapshot->plan.ram.count; i++)
		snapshot->pages += (snapshot->plan.ram.items[i].end - snapshot->plan.ram.items[i].start) / PAGE_BYTES;
	ranges_free(&ram);
	ranges_free(&lent);
	return good;
}

static const char *advice(const struct snapshot *snapshot, uint64_t frames)
{
	if (snapshot->watching.writes != SCRIM_WRITES_WAIT)
		return "scrimctl lend gives more, with --paused writes wait";
	if (frames < PAUSED_FRAMES)
		return "where it is more, writes wait, but that is too few on a busy machine for what does not wait: scrimctl "
		       "lend gives more";
	return "where it is more, writes wait";
}

/* What the frames at hand allow, before anything becomes read-only. */
static bool announce(const struct session *session, const struct snapshot *snapshot)
{
	const uint64_t per_second = ASSUMED_BYTES_PER_SECOND / PAGE_BYTES;
	char ram[TEXT_BYTES], room[TEXT_BYTES], duration[TEXT_DURATION];
	uint64_t frames;

	if (!request_info(session, SCRIM_INFO_WATCH_FRAMES, &frames))
		return false;
	text_bytes(ram, snapshot->pages * PAGE_BYTES);
	text_bytes(room, frames * PAGE_BYTES);
	text_duration(duration, snapshot->pages * 1000000 / per_second);
	fprintf(session->out,
		"%" PRIu64 " frame(s) at hand: %s of pages may be written before they have been read. Read at 100 MiB/s, "
		"%s take %s: up to %" PRIu64 " page(s) a second; %s\n",
		frames, room, ram, duration, snapshot->pages == 0 ? 0 : frames * per_second / snapshot->pages,
		advice(snapshot, frames));
	fflush(session->out);
	return true;
}

static bool read_vmcoreinfo(const struct session *session, struct snapshot *snapshot, void **note)
{
	struct range place;
	uint64_t bytes;

	if (!kernel_vmcoreinfo(session->files, &place.start, &bytes))
		return true;
	place.end = place.start + bytes;
	if (place.end <= place.start || !ranges_cover(&snapshot->plan.ram, &place))
		return true;
	return image_reading_vmcoreinfo(&snapshot->reading, &place, note, &snapshot->plan.vmcoreinfo_bytes);
}

static bool write_head(const struct session *session, struct snapshot *snapshot)
{
	void *note = NULL, *head = NULL;
	size_t bytes;
	bool good = image_reading_cpus(session, &snapshot->plan) && read_vmcoreinfo(session, snapshot, &note);

	snapshot->plan.vmcoreinfo = note;
	if (good) {
		head = core_header(&snapshot->plan, &bytes);
		if (head == NULL)
			complain(session, "snapshot failed: no memory for the head of the file; free some and try again");
	}
	good = head != NULL && image_file_write(&snapshot->file, head, bytes);
	free(head);
	free(note);
	return good;
}

static bool write_range(const struct session *session, struct snapshot *snapshot, const struct range *range,
			struct progress *progress, uint64_t *left)
{
	uint64_t pages;

	for (uint64_t address = range->start; address < range->end; address += pages * PAGE_BYTES) {
		pages = (range->end - address) / PAGE_BYTES;
		pages = pages < SCRIM_IMAGE_READ_MAX ? pages : SCRIM_IMAGE_READ_MAX;
		if (*session->interrupted != 0 || !image_reading_pages(&snapshot->reading, address, pages, false) ||
		    !image_file_write(&snapshot->file, snapshot->reading.buffer, (size_t)pages * PAGE_BYTES))
			return false;
		*left -= pages;
		progress_show(session, progress, *left);
	}
	return true;
}

static bool write_ram(const struct session *session, struct snapshot *snapshot)
{
	struct progress progress;
	uint64_t left = snapshot->pages;
	bool good = true;

	progress_start(&progress, "reading the image", snapshot->pages);
	for (size_t i = 0; good && i < snapshot->plan.ram.count; i++)
		good = write_range(session, snapshot, &snapshot->plan.ram.items[i], &progress, &left);
	progress_end(session, &progress);
	snapshot->seconds = progress_seconds(&progress);
	return good;
}

static bool read_figures(const struct session *session, struct snapshot *snapshot)
{
	uint64_t ticks, hz;

	if (!request_info(session, SCRIM_INFO_IMAGE_COPIES, &snapshot->copies) ||
	    !request_info(session, SCRIM_INFO_IMAGE_WAITED_TSC, &ticks) || !request_info(session, SCRIM_INFO_TSC_HZ, &hz))
		return false;
	snapshot->waited = hz == 0 ? 0 : (double)ticks / (double)hz;
	return true;
}

/* From the instant to the last page; nothing is read-only behind it. */
static bool watch_and_write(const struct session *session, struct snapshot *snapshot)
{
	bool good = watching_begin(session, &snapshot->watching) && write_head(session, snapshot) &&
		    write_ram(session, snapshot) && read_figures(session, snapshot);

	return watching_end(session, &snapshot->watching) && good;
}

static void report(const struct session *session, const struct snapshot *snapshot)
{
	char ram[TEXT_BYTES], size[TEXT_BYTES];

	fprintf(session->out,
		"image of %s and %zu CPU(s), as of one instant, read in %.1f s; %" PRIu64
		" page(s) were copied because they were written meanwhile; %s written\n",
		text_bytes(ram, snapshot->pages * PAGE_BYTES), snapshot->plan.cpu_count, snapshot->seconds,
		snapshot->copies, text_bytes(size, snapshot->file.bytes));
	if (snapshot->watching.writes == SCRIM_WRITES_WAIT)
		fprintf(session->out, "writes waited for it for %.1f s, of all CPUs together\n", snapshot->waited);
}

static enum exit_code take(const struct session *session, struct snapshot *snapshot)
{
	bool good = watching_enter(session, &snapshot->watching);

	if (!good) {
		image_file_abandon(&snapshot->file);
		return EXIT_REFUSED;
	}
	good = announce(session, snapshot) && watch_and_write(session, snapshot);
	/* The frames are free again before the disk is waited for. */
	if (good)
		good = image_file_finish(&snapshot->file);
	else
		image_file_abandon(&snapshot->file);
	if (good)
		report(session, snapshot);
	else
		complain_interrupted(session);
	return watching_leave(session, &snapshot->watching) && good ? EXIT_DONE : EXIT_REFUSED;
}

enum exit_code snapshot_take(const struct session *session, const struct snapshot_options *options)
{
	struct snapshot snapshot = { .watching = { .verb = "snapshot",
						   .kind = SCRIM_WATCH_IMAGE,
						   .writes = options->paused ? SCRIM_WRITES_WAIT : SCRIM_WRITES_GO_ON } };
	struct session aside = *session;
	enum exit_code code = EXIT_REFUSED;

	/* Programs whose writes wait are busy to the OS, and would have this one wait for its turn. It may be refused, and does without. */
	if (options->paused)
		(void)setpriority(PRIO_PROCESS, 0, PRIORITY_MOST);
	/* The words must not get into the image. */
	aside.out = options->path == NULL ? session->err : session->out;
	if (!image_file_begin(session, options->path, options->compress, &snapshot.file))
		return EXIT_REFUSED;
	if (!image_reading_begin(session, options->paused, &snapshot.reading)) {
		image_file_abandon(&snapshot.file);
		return EXIT_REFUSED;
	}
	kernel_map_read(session->files, &snapshot.plan.kernel);
	if (plan_ram(session, &snapshot))
		code = take(&aside, &snapshot);
	else
		image_file_abandon(&snapshot.file);
	image_reading_end(&snapshot.reading);
	kernel_map_free(&snapshot.plan.kernel);
	ranges_free(&snapshot.plan.ram);
	free(snapshot.plan.cpus);
	return code;
}
