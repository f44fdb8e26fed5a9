/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads, under ThreadSanitizer: CPUs that move pages (begin and end under the lock, flush and copy outside of it), beside
 * CPUs that run the OS. These read and write memory plainly, through translations that they keep until they answer a flush;
 * so a copy, a frame used again or a leaf freed too early is a data race, which ThreadSanitizer reports, or wrong contents,
 * which the reader sees. The OS's CPUs write each its own pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "mem/mem_check.h"
#include "mem/p2m.h"
#include "mem/scatter.h"
#include "mem/share.h"
#include "port_by_page.h"

#define PAGES   8192u
#define SPARE   600u
#define WORDS   16u /* of contents that a frame has */
#define MOVERS  3u
#define CPUS    2u
#define ROUNDS  12u
#define KEPT    8u /* translations that a CPU keeps */
#define VALUES  3u /* so few that pages are equal */
#define SLOTS   1024u

struct kept {
	uint64_t page, frame;
	enum mem_access access;
};

/* One of the OS's CPUs. */
struct cpu {
	pthread_t thread;
	uint32_t number;
	uint64_t seed, answered, writes, unshared, waits;
	struct kept kept[KEPT];
};

static uint64_t frame[PAGES + SPARE][WORDS];
static uint64_t wrote[PAGES]; /* the owner's own */
static uint64_t table[PAGES]; /* what the hardware walks: frame << 2 | access */
static uint64_t flushes;      /* asked for so far; CPUs answer by number */
static bool ended;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mem mem;
static struct range_list ram;
static struct mem_moved moved;
static struct cpu cpu[CPUS];
static _Thread_local struct cpu *self; /* NULL: a mover, which holds no translation */

static uint64_t random_below(uint64_t *seed, uint64_t limit)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (*seed >> 11) % limit;
}

/* --- the port --- */

/* What it has in hand is dropped before: this is the answer. */
static void answer(void)
{
	if (!self)
		return;
	memset(self->kept, 0, sizeof(self->kept));
	__atomic_store_n(&self->answered, __atomic_load_n(&flushes, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
}

static void flush(void *context)
{
	uint64_t number = __atomic_add_fetch(&flushes, 1, __ATOMIC_ACQ_REL);

	(void)context;
	for (uint32_t i = 0; i < CPUS; i++)
		while (__atomic_load_n(&cpu[i].answered, __ATOMIC_ACQUIRE) < number && !__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
			answer();
			sched_yield();
		}
}

static void *table_alloc(void *context)
{
	(void)context;
	return calloc(1, PAGE_SIZE);
}

static void table_free(void *context, void *page)
{
	(void)context;
	free(page);
}

static bool map_prepare(void *context, gfn_t page)
{
	(void)context, (void)page;
	return true;
}

static void map_set(void *context, gfn_t page, mfn_t to, enum mem_access access)
{
	(void)context;
	__atomic_store_n(&table[page.n], to.n << 2 | access, __ATOMIC_RELEASE);
}

static void map_release(void *context, gfn_t page) { (void)context, (void)page; }

static void copy_page(void *context, mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	(void)context, (void)offset, (void)bytes;
	memcpy(frame[to.n], frame[from.n], sizeof(frame[to.n]));
}

PORT_BY_PAGE(map_set, copy_page);

static bool map_get(void *context, gfn_t page, mfn_t *to, enum mem_access *access)
{
	uint64_t entry = __atomic_load_n(&table[page.n], __ATOMIC_ACQUIRE);

	(void)context;
	*to = mfn(entry >> 2);
	*access = (enum mem_access)(entry & 3);
	return *access != MEM_ACCESS_NONE;
}

/* Contents that change meanwhile: the one place where a race is meant. */
__attribute__((no_sanitize("thread"))) static uint64_t hash(void *context, mfn_t of)
{
	const volatile uint64_t *word = frame[of.n];

	(void)context;
	return (word[0] + 1) * 0x9e3779b97f4a7c15ull;
}

__attribute__((no_sanitize("thread"))) static bool equal(void *context, mfn_t a, mfn_t b)
{
	const volatile uint64_t *one = frame[a.n], *other = frame[b.n];
	bool same = true;

	(void)context;
	for (uint32_t i = 0; i < WORDS; i++)
		same &= one[i] == other[i];
	return same;
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

/* --- the OS's CPUs --- */

/* Who waits for the lock answers flushes: the holder may be waiting for that. */
static void take_lock(void)
{
	while (pthread_mutex_trylock(&lock) != 0) {
		answer();
		sched_yield();
	}
}

/* Walks the tables; or, to read, asks the engine's map without the lock, as a CPU in an exit does. */
static struct kept translate(uint64_t page, bool write)
{
	struct kept found = { .page = page };

	if (write || random_below(&self->seed, 2)) {
		uint64_t entry = __atomic_load_n(&table[page], __ATOMIC_ACQUIRE);

		found.frame = entry >> 2;
		found.access = (enum mem_access)(entry & 3);
		return found;
	}
	found.frame = mem_translate(&mem, gfn(page), &found.access).n;
	if (found.access == MEM_ACCESS_ALL)
		found.access = MEM_ACCESS_READ;
	return found;
}

static void read_page(uint64_t page, uint64_t at)
{
	for (uint32_t i = 0; i < WORDS; i++)
		if (frame[at][i] != wrote[page]) {
			print_message("page %llu does not hold what was written\n", (unsigned long long)page);
			abort();
		}
}

static void write_page(uint64_t page, uint64_t at)
{
	wrote[page] = random_below(&self->seed, VALUES);
	for (uint32_t i = 0; i < WORDS; i++)
		frame[at][i] = wrote[page];
	self->writes++;
}

static void unshare(uint64_t page)
{
	struct mem_moved by_writes = { 0 };

	memset(self->kept, 0, sizeof(self->kept));
	take_lock();
	self->unshared += mem_unshare_on_write(&mem, gfn(page), &by_writes) == MEM_STEP_DONE;
	pthread_mutex_unlock(&lock);
}

static void access_page(void)
{
	uint64_t page = random_below(&self->seed, PAGES / CPUS) * CPUS + self->number;
	bool write = random_below(&self->seed, 2);
	struct kept *kept = &self->kept[page / CPUS % KEPT];

	if (kept->page != page || kept->access < (write ? MEM_ACCESS_ALL : MEM_ACCESS_READ))
		*kept = translate(page, write);
	if (kept->access == MEM_ACCESS_NONE) {
		self->waits++;
		answer();
		return;
	}
	if (write && kept->access == MEM_ACCESS_READ) {
		unshare(page);
		return;
	}
	read_page(page, kept->frame);
	if (write)
		write_page(page, kept->frame);
}

static void *run_cpu(void *argument)
{
	self = argument;
	while (!__atomic_load_n(&ended, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&flushes, __ATOMIC_ACQUIRE) != self->answered)
			answer();
		access_page();
	}
	return NULL;
}

/* --- the CPUs that move --- */

struct mover {
	pthread_t thread;
	struct mem_batch batch;
	struct mem_scatter scatter;
	bool homewards;
};

static enum mem_step plan(struct mover *mover)
{
	if (mover->homewards)
		return mem_remap_begin(&mem, &mover->batch, 64);
	return mem_scatter_begin(&mem, &mover->scatter, &mover->batch, 64);
}

static void *run_mover(void *argument)
{
	struct mover *mover = argument;
	enum mem_step step;

	do {
		pthread_mutex_lock(&lock);
		step = plan(mover);
		pthread_mutex_unlock(&lock);
		if (step == MEM_STEP_MOVES) {
			flush(NULL);
			mem_batch_copy(&mem, &mover->batch);
			pthread_mutex_lock(&lock);
			mem_batch_end(&mem, &mover->batch, &moved);
			pthread_mutex_unlock(&lock);
		} else {
			sched_yield();
		}
	} while (step != MEM_STEP_DONE && step != MEM_STEP_NO_FRAME);
	return NULL;
}

static struct mover mover[MOVERS];

static void move(uint32_t round, bool homewards)
{
	for (uint32_t i = 0; i < MOVERS; i++) {
		mover[i].homewards = homewards;
		mem_scatter_start(&mover[i].scatter, round * MOVERS + i, gfn(i * (PAGES / MOVERS)), gfn((i + 2) * (PAGES / MOVERS)),
				  SCATTER_ALL / 4);
		assert_int_equal(pthread_create(&mover[i].thread, NULL, run_mover, &mover[i]), 0);
	}
	for (uint32_t i = 0; i < MOVERS; i++)
		assert_int_equal(pthread_join(mover[i].thread, NULL), 0);
}

static uint64_t share_pages(void)
{
	static struct mem_share share;
	static uint64_t slots[SLOTS];
	enum mem_step step;

	memset(slots, 0, sizeof(slots));
	mem_share_start(&share, gfn(0), gfn(PAGES / 8), slots, SLOTS);
	do {
		pthread_mutex_lock(&lock);
		step = mem_share_step(&mem, &share, 64);
		pthread_mutex_unlock(&lock);
	} while (step == MEM_STEP_AGAIN);
	return share.shared;
}

static void check(void)
{
	const struct mem_view view = { .state = SCRIM_REMAPPING, .all_cpus_translate = true };
	uint64_t where;

	pthread_mutex_lock(&lock);
	assert_int_equal(mem_check(&mem, &view, &where), SCRIM_HOLDS);
	pthread_mutex_unlock(&lock);
}

static void start(void)
{
	struct mem_config config = {
		.port = &ops, .ram = &ram, .movable = &ram, .dma_free = &ram, .reserve_first = mfn(PAGES), .reserve_frames = SPARE,
		.storage = calloc(1, mem_storage_bytes(PAGES * PAGE_SIZE, (PAGES + SPARE) * PAGE_SIZE)),
	};

	ram.count = 1;
	ram.entry[0] = (struct range){ 0, PAGES * PAGE_SIZE, RANGE_RAM };
	for (uint64_t page = 0; page < PAGES; page++)
		table[page] = page << 2 | MEM_ACCESS_ALL;
	mem_init(&mem, &config);
	for (uint32_t i = 0; i < CPUS; i++) {
		cpu[i].number = i;
		cpu[i].seed = 20250101 + i;
		assert_int_equal(pthread_create(&cpu[i].thread, NULL, run_cpu, &cpu[i]), 0);
	}
}

/* Pages are spread and shared, then come home. */
static uint64_t run_round(uint32_t round)
{
	uint64_t shared;

	pthread_mutex_lock(&lock);
	assert_int_equal(mem_use_reverse(&mem, (enum mem_reverse)(round % MEM_REVERSE_COUNT)), SCRIM_OK);
	pthread_mutex_unlock(&lock);
	move(round, false);
	shared = share_pages();
	check();
	pthread_mutex_lock(&lock);
	assert_int_equal(mem_remap_start(&mem, (enum mem_remap_mode)(round / 2 % 2), gfn(0), gfn(UINT64_MAX)), SCRIM_OK);
	pthread_mutex_unlock(&lock);
	move(round, true);
	pthread_mutex_lock(&lock);
	mem_remap_stop(&mem);
	assert_int_equal(mem.displaced + mem.saved + mem.read_only + mem.leaf_count, 0);
	pthread_mutex_unlock(&lock);
	check();
	return shared;
}

static void test_threads(void **unused)
{
	uint64_t shared = 0, writes = 0, unshared = 0, waits = 0;

	(void)unused;
	start();
	for (uint32_t round = 0; round < ROUNDS; round++)
		shared += run_round(round);
	__atomic_store_n(&ended, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < CPUS; i++) {
		assert_int_equal(pthread_join(cpu[i].thread, NULL), 0);
		writes += cpu[i].writes;
		unshared += cpu[i].unshared;
		waits += cpu[i].waits;
	}
	for (uint64_t page = 0; page < PAGES; page++)
		read_page(page, page);
	free(mem.config.storage);
	print_message("figure: engine, %u movers and %u CPUs under ThreadSanitizer: %llu pages moved, %llu shared, %llu writes, "
		      "%llu unshared by them, %llu waits\n", MOVERS, CPUS, (unsigned long long)moved.pages,
		      (unsigned long long)shared, (unsigned long long)writes, (unsigned long long)unshared,
		      (unsigned long long)waits);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_threads) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
