/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers as people read them, and the progress line. */
#include "text.h"

#include <inttypes.h>
#include <time.h>

#define BAR_CELLS     24
#define REDRAW_US     100000u
#define US_PER_SECOND 1000000u

const char *text_bytes(char *text, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text, TEXT_BYTES, "%u B", (unsigned)bytes);
		return text;
	}
	for (; value >= 1023.95; unit++)
		value /= 1024;
	snprintf(text, TEXT_BYTES, "%.1f %s", value, units[unit]);
	return text;
}

const char *text_duration(char *text, uint64_t us)
{
	if (us >= US_PER_SECOND / 10)
		snprintf(text, TEXT_DURATION, "%.1f s", (double)us / US_PER_SECOND);
	else if (us >= 1000)
		snprintf(text, TEXT_DURATION, "%.1f ms", (double)us / 1000);
	else
		snprintf(text, TEXT_DURATION, "%" PRIu64 " us", us);
	return text;
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * US_PER_SECOND + (uint64_t)now.tv_nsec / 1000;
}

void progress_start(struct progress *progress, const char *doing, uint64_t total)
{
	*progress = (struct progress){ .doing = doing, .total = total, .start_us = now_us() };
}

double progress_seconds(const struct progress *progress)
{
	return (double)(now_us() - progress->start_us) / US_PER_SECOND;
}

void progress_show(const struct session *session, struct progress *progress, uint64_t left)
{
	uint64_t now = now_us();
	uint64_t done = left < progress->total ? progress->total - left : 0;
	double seconds = progress_seconds(progress);
	double rate = seconds > 0 ? (double)done / seconds : 0;
	uint64_t wait = rate > 0 ? (uint64_t)((double)left / rate) : 0;
	char bar[BAR_CELLS + 1];

	if (!session->show_progress || progress->total == 0)
		return;
	if (progress->line_open && left != 0 && now - progress->shown_us < REDRAW_US)
		return;
	for (uint64_t cell = 0; cell < BAR_CELLS; cell++)
		bar[cell] = (double)cell * (double)progress->total < (double)done * BAR_CELLS ? '#' : '.';
	bar[BAR_CELLS] = '\0';
	/* The blanks at the end cover what a longer line left. */
	fprintf(session->err, "\r%s [%s] %" PRIu64 "/%" PRIu64 "  %.0f pages/s  %" PRIu64 ":%02" PRIu64 " left    ",
		progress->doing, bar, done, progress->total, rate, wait / 60, wait % 60);
	fflush(session->err);
	progress->line_open = true;
	progress->shown_us = now;
}

void progress_end(const struct session *session, struct progress *progress)
{
	if (progress->line_open)
		fputc('\n', session->err);
	progress->line_open = false;
}
