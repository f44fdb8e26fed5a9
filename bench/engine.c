/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints what the memory engine costs on this host (make bench-engine, and part of make bench):
 *
 * - planning and bookkeeping, in ns, instructions (where the kernel lets them be counted) and bytes a page, for so much
 *   displaced memory: every page of it permuted at random, then brought home in batches of 64, nothing copied. The memory
 *   itself is not there, its tables are. The work is the same for every page; what grows with the size, in ns only, is that
 *   tables touched at random lie in no cache.
 * - hashing and comparing, which is what looking for equal pages costs, beside memcpy of the same pages;
 * - copying, through a homecoming of real pages at random places, every other batch by plain memcpy instead.
 *
 * Search, and counts where pages share, sweep over the map; what one sweep costs grows with it. So both are run for less.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "mem/p2m.h"
#include "mem/scatter.h"
#include "port_by_page.h"

#define BATCH       64u
#define RESERVE     256u
#define COPY_BYTES  MIB(512)
#define COPY_ROUNDS 3
#define HASH_BYTES  MIB(128)

struct bench {
	struct mem mem;
	struct range_list ram;
	struct mem_batch batch;
	struct mem_moved moved;
	uint8_t *memory;      /* NULL: nothing is copied */
	uint64_t tables, tables_max;
	double copy_seconds, plain_seconds;
};

static struct bench bench;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Instructions of this program so far; 0 where they cannot be counted. */
static uint64_t instructions(void)
{
	static int counter = -2;
	uint64_t value = 0;

	if (counter == -2) {
		struct perf_event_attr attribute = {
			.type = PERF_TYPE_HARDWARE, .size = sizeof(attribute), .config = PERF_COUNT_HW_INSTRUCTIONS,
			.exclude_kernel = 1,
		};

		counter = (int)syscall(SYS_perf_event_open, &attribute, 0, -1, -1, 0);
	}
	return counter >= 0 && read(counter, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static void give_up(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

/* --- the port --- */

static void *table_alloc(void *context)
{
	struct bench *b = context;

	if (++b->tables > b->tables_max)
		b->tables_max = b->tables;
	return calloc(1, PAGE_SIZE);
}

static void table_free(void *context, void *page)
{
	((struct bench *)context)->tables--;
	free(page);
}

static bool map_prepare(void *context, gfn_t page)
{
	(void)context, (void)page;
	return true;
}

static void map_set(void *context, gfn_t page, mfn_t frame, enum mem_access access)
{
	(void)context, (void)page, (void)frame, (void)access;
}

static void map_release(void *context, gfn_t page) { (void)context, (void)page; }
static void flush(void *context) { (void)context; }

static void copy_page(void *context, mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	const struct bench *b = context;

	if (b->memory)
		memcpy(b->memory + mfn_address(to) + offset, b->memory + mfn_address(from) + offset, bytes);
}

PORT_BY_PAGE(map_set, copy_page);

static bool map_get(void *context, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	*frame = mem_translate(&((struct bench *)context)->mem, page, access);
	return true;
}

static uint64_t hash(void *context, mfn_t frame)
{
	(void)context;
	return frame.n;
}

static bool equal(void *context, mfn_t a, mfn_t b)
{
	(void)context;
	return a.n == b.n;
}

static const struct mem_port_ops ops = {
	.table_alloc = table_alloc,
	.table_free = table_free,
	.map_prepare = map_prepare,
	.map_set = map_set,
	.map_hide = map_hide,
	.map_show = map_show,
	.map_release = map_release,
	.flush = flush,
	.copy = copy,
	.map_get = map_get,
	.sample = hash,
	.hash = hash,
	.equal = equal,
};

/* --- runs --- */

static void start(struct bench *b, uint64_t bytes, enum mem_reverse reverse)
{
	uint64_t frames_end = bytes + RESERVE * PAGE_SIZE;

	memset(b, 0, sizeof(*b));
	b->ram.count = 1;
	b->ram.entry[0] = (struct range){ 0, bytes, RANGE_RAM };

	struct mem_config config = {
		.port = &ops, .port_context = b, .ram = &b->ram, .movable = &b->ram, .dma_free = &b->ram, .reserve_first = mfn_of_address(bytes),
		.reserve_frames = RESERVE, .storage = calloc(1, mem_storage_bytes(bytes, frames_end)),
	};

	mem_init(&b->mem, &config);
	if (mem_use_reverse(&b->mem, reverse) != SCRIM_OK)
		give_up("the reverse is refused");
}

static void carry_out(struct bench *b)
{
	double begin = now();

	mem_batch_copy(&b->mem, &b->batch);
	b->copy_seconds += now() - begin;
	mem_batch_end(&b->mem, &b->batch, &b->moved);
}

static void scatter_all(struct bench *b, uint64_t bytes)
{
	struct mem_scatter scatter;
	enum mem_step step;

	mem_scatter_start(&scatter, 1, gfn(0), gfn_of_address(bytes), SCATTER_ALL);
	do {
		step = mem_scatter_begin(&b->mem, &scatter, &b->batch, BATCH);
		if (step == MEM_STEP_MOVES)
			carry_out(b);
	} while (step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN);
	if (step != MEM_STEP_DONE)
		give_up("scatter ends early");
}

/* What mem_batch_copy would do, by memcpy alone. */
static void copy_plain(struct bench *b)
{
	double begin = now();

	for (uint32_t i = 0; i < b->batch.count; i++)
		memcpy(b->memory + mfn_address(b->batch.move[i].to), b->memory + mfn_address(b->batch.move[i].from), PAGE_SIZE);
	b->plain_seconds += now() - begin;
}

static void come_home(struct bench *b)
{
	enum mem_step step;

	if (mem_remap_start(&b->mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)) != SCRIM_OK)
		give_up("the homecoming is refused");
	do {
		step = mem_remap_begin(&b->mem, &b->batch, BATCH);
		if (step == MEM_STEP_MOVES)
			carry_out(b);
	} while (step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN);
	if (step != MEM_STEP_DONE || b->mem.displaced > 0)
		give_up("the homecoming ends early");
	mem_remap_stop(&b->mem);
}

static void plan(uint64_t bytes, enum mem_reverse reverse, const char *name)
{
	struct bench *b = &bench;
	double begin, away, home;
	uint64_t displaced, tables, counted;
	char text[32];

	start(b, bytes, reverse);
	begin = now();
	scatter_all(b, bytes);
	away = now() - begin;
	displaced = b->mem.displaced;
	tables = b->tables * PAGE_SIZE;
	counted = instructions();
	begin = now();
	come_home(b);
	home = now() - begin;
	counted = instructions() - counted;
	snprintf(text, sizeof(text), counted > 0 ? "%.1f" : "not counted", (double)counted / (double)displaced);
	printf("%4llu GiB  %-9s %12llu  %13.1f  %13.1f  %17s  %14.2f  %15.3f\n", (unsigned long long)(bytes >> 30), name,
	       (unsigned long long)displaced, away * 1e9 / (double)displaced, home * 1e9 / (double)displaced, text,
	       (double)tables / (double)displaced,
	       (double)mem_storage_bytes(bytes, bytes + RESERVE * PAGE_SIZE) / (double)(bytes / PAGE_SIZE));
	fflush(stdout);
	if (b->tables > 0)
		give_up("tables are left");
	free(b->mem.config.storage);
}

/* Batch by batch in turn, by the engine and by memcpy alone, so that neither finds the other's pages in the caches. */
static double copy_round(uint64_t *pages)
{
	struct bench *b = &bench;
	uint64_t bytes = COPY_BYTES + RESERVE * PAGE_SIZE;
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum mem_step step;
	double begin, engine = 0;

	if (memory == MAP_FAILED)
		give_up("no memory to copy");
	memset(memory, 1, bytes);
	start(b, COPY_BYTES, MEM_REVERSE_BACKMAP);
	scatter_all(b, COPY_BYTES);
	b->memory = memory;
	if (mem_remap_start(&b->mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)) != SCRIM_OK)
		give_up("the homecoming is refused");
	for (uint32_t turn = 0;; turn++) {
		bool plain = turn % 2;

		step = mem_remap_begin(&b->mem, &b->batch, SCRIM_BATCH_MAX);
		if (step == MEM_STEP_AGAIN)
			continue;
		if (step != MEM_STEP_MOVES)
			break;
		begin = now();
		if (plain)
			copy_plain(b);
		else
			mem_batch_copy(&b->mem, &b->batch);
		engine += plain ? 0 : now() - begin;
		pages[plain] += b->batch.count;
		mem_batch_end(&b->mem, &b->batch, &b->moved);
	}
	free(b->mem.config.storage);
	munmap(memory, bytes);
	return engine;
}

static void compare_copies(void)
{
	double best = 0;

	for (int round = 0; round < COPY_ROUNDS; round++) {
		uint64_t pages[2] = { 0 };
		double engine = copy_round(pages) / (double)pages[0], plain = bench.plain_seconds / (double)pages[1];

		printf("copying  %llu MiB at random, page by page: engine %.0f ns a page, memcpy %.0f ns a page: %.1f%% of memcpy\n",
		       (unsigned long long)(COPY_BYTES >> 20), engine * 1e9, plain * 1e9, 100 * plain / engine);
		best = plain / engine > best ? plain / engine : best;
	}
	if (best < 0.9)
		give_up("copying is slower than 90% of memcpy");
}

static double gib_per_second(uint64_t bytes, double seconds)
{
	return (double)bytes / (double)GIB(1) / seconds;
}

/* Page by page through memory that no cache holds: the hash of each, its comparison with an equal one, its copy to another. */
static void compare_hashes(void)
{
	uint8_t *a = malloc(HASH_BYTES), *b = malloc(HASH_BYTES);
	uint64_t sum = 0;
	double begin, hashed, compared, copied;

	if (!a || !b)
		give_up("no memory to hash");
	memset(a, 1, HASH_BYTES);
	memset(b, 1, HASH_BYTES);
	begin = now();
	for (uint64_t at = 0; at < HASH_BYTES; at += PAGE_SIZE)
		sum ^= hash_bytes(a + at, PAGE_SIZE) + at;
	hashed = now() - begin;
	begin = now();
	for (uint64_t at = 0; at < HASH_BYTES; at += PAGE_SIZE)
		sum += hash_pages_equal(a + at, b + at);
	compared = now() - begin;
	begin = now();
	for (uint64_t at = 0; at < HASH_BYTES; at += PAGE_SIZE)
		memcpy(b + at, a + at, PAGE_SIZE);
	copied = now() - begin;
	printf("sharing  %llu MiB, page by page: hash %.1f GiB/s, compare %.1f GiB/s, memcpy %.1f GiB/s (sum %llx)\n",
	       (unsigned long long)(HASH_BYTES >> 20), gib_per_second(HASH_BYTES, hashed), gib_per_second(HASH_BYTES, compared),
	       gib_per_second(HASH_BYTES, copied), (unsigned long long)sum);
	free(a);
	free(b);
}

int main(int argc, char **argv)
{
	uint64_t gib_max = argc > 1 ? strtoull(argv[1], NULL, 0) : 256;

	printf("displaced  reverse          pages  away, ns/page  home, ns/page  home, instr./page  tables, B/page  storage, B/page\n");
	for (uint64_t gib = 1; gib <= gib_max; gib *= 16)
		plan(GIB(gib), MEM_REVERSE_BACKMAP, "back map");
	for (uint64_t gib = 1; gib <= (gib_max < 16 ? gib_max : 16); gib *= 16)
		plan(GIB(gib), MEM_REVERSE_REFCOUNT, "counts");
	plan(GIB(1), MEM_REVERSE_SEARCH, "search");
	compare_hashes();
	compare_copies();
	return 0;
}
