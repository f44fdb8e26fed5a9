/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owns the simulated machine. CPUs run only inside fake_machine_access, which every port call makes a few times before,
 * in the middle of and after its work: one thread, so a failing run repeats exactly from its seed.
 */
#include "fake_machine.h"

#include "mem/p2m.h"
#include "port_by_page.h"

#include <stdlib.h>
#include <string.h>

static void fault(struct fake_machine *machine, const char *what)
{
	if (!machine->fault)
		machine->fault = what;
}

uint64_t fake_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

uint64_t fake_random_below(uint64_t *seed, uint64_t limit) { return (fake_random(seed) >> 11) % limit; }

/* --- CPUs --- */

static struct fake_entry walk(const struct fake_machine *machine, uint64_t page)
{
	const struct fake_entry *table = machine->table[page / FAKE_CHUNK];
	uint64_t first = page - page % FAKE_CHUNK;

	if (table)
		return table[page % FAKE_CHUNK];
	return (struct fake_entry){ first, first, FAKE_CHUNK, MEM_ACCESS_ALL };
}

/* The table leads the page to this frame, even if it is absent. */
static bool is_frame_of(const struct fake_machine *machine, uint64_t page, uint64_t frame)
{
	struct fake_entry entry = walk(machine, page);

	return entry.frame + (page - entry.page) == frame;
}

static void drain_one(struct fake_machine *machine, uint64_t cpu)
{
	struct fake_store *store = machine->store[cpu], first = store[0];

	memmove(store, store + 1, --machine->stores[cpu] * sizeof(*store));
	if (!is_frame_of(machine, first.page, first.frame))
		fault(machine, "a store ends in a frame that is no longer its page's");
	machine->frame[first.frame][first.word] = machine->wrote[first.page][first.word] = first.value;
}

static void drain(struct fake_machine *machine, uint64_t cpu)
{
	while (machine->stores[cpu] > 0)
		drain_one(machine, cpu);
}

static bool is_buffered(const struct fake_machine *machine, uint64_t cpu, uint64_t page, uint64_t word)
{
	for (uint32_t i = 0; i < machine->stores[cpu]; i++)
		if (machine->store[cpu][i].page == page && machine->store[cpu][i].word == word)
			return true;
	return false;
}

/* Some CPU has yet to write to this frame. */
static bool is_store_due(const struct fake_machine *machine, uint64_t frame)
{
	for (uint32_t cpu = 0; cpu < FAKE_CPUS; cpu++)
		for (uint32_t i = 0; i < machine->stores[cpu]; i++)
			if (machine->store[cpu][i].frame == frame)
				return true;
	return false;
}

static uint64_t new_value(struct fake_machine *machine)
{
	return machine->values ? fake_random_below(&machine->seed, machine->values) : fake_random(&machine->seed);
}

static struct fake_entry *find_cached(struct fake_machine *machine, uint64_t cpu, uint64_t page)
{
	for (uint32_t i = 0; i < FAKE_TLB; i++) {
		struct fake_entry *entry = &machine->tlb[cpu][i];

		if (page - entry->page < entry->pages)
			return entry;
	}
	return NULL;
}

static uint64_t choose_page(struct fake_machine *machine)
{
	uint64_t page;

	if (fake_random_below(&machine->seed, 4))
		return machine->hot[fake_random_below(&machine->seed, FAKE_HOT)];
	do
		page = fake_random_below(&machine->seed, FAKE_PAGES);
	while (!machine->is_ram[page]);
	return page;
}

/* A walk of the tables; or a CPU in an exit asks the engine's map, to read. */
static struct fake_entry translate(struct fake_machine *machine, uint64_t page, bool write)
{
	struct fake_entry found = { .page = page, .pages = 1 };

	if (write || !machine->mem || fake_random_below(&machine->seed, 8))
		return walk(machine, page);
	found.frame = mem_translate(machine->mem, gfn(page), &found.access).n;
	if (found.access == MEM_ACCESS_ALL)
		found.access = MEM_ACCESS_READ;
	return found;
}

static void load(struct fake_machine *machine, uint64_t cpu, uint64_t page, uint64_t frame)
{
	uint64_t word = fake_random_below(&machine->seed, FAKE_WORDS);

	if (!is_buffered(machine, cpu, page, word) && machine->frame[frame][word] != machine->wrote[page][word])
		fault(machine, "a CPU reads other than was written");
}

static void store(struct fake_machine *machine, uint64_t cpu, uint64_t page, uint64_t frame)
{
	if (machine->stores[cpu] == FAKE_STORES)
		drain_one(machine, cpu);
	machine->store[cpu][machine->stores[cpu]++] = (struct fake_store){
		page, frame, fake_random_below(&machine->seed, FAKE_WORDS), new_value(machine)
	};
}

void fake_machine_access(struct fake_machine *machine)
{
	uint64_t cpu = fake_random_below(&machine->seed, FAKE_CPUS);
	uint64_t page = choose_page(machine);
	bool write = fake_random_below(&machine->seed, 2);
	struct fake_entry *entry = find_cached(machine, cpu, page);

	machine->accesses++;
	if (machine->is_offline[page])
		return;
	if (!entry || (write && entry->access != MEM_ACCESS_ALL)) {
		struct fake_entry found = translate(machine, page, write);

		if (found.access == MEM_ACCESS_NONE || (write && found.access != MEM_ACCESS_ALL)) {
			machine->waits++;
			return;
		}
		if (!entry)
			entry = &machine->tlb[cpu][fake_random_below(&machine->seed, FAKE_TLB)];
		*entry = found;
	}
	load(machine, cpu, page, entry->frame + (page - entry->page));
	if (write)
		store(machine, cpu, page, entry->frame + (page - entry->page));
}

static void device_write(struct fake_machine *machine)
{
	uint64_t page = machine->device_page[fake_random_below(&machine->seed, machine->device_pages)];
	uint64_t word = fake_random_below(&machine->seed, FAKE_WORDS);

	if (machine->is_offline[page])
		return;
	if (!is_frame_of(machine, page, page) || walk(machine, page).access != MEM_ACCESS_ALL)
		fault(machine, "a device writes a page that is not at home");
	machine->frame[page][word] = machine->wrote[page][word] = new_value(machine);
}

/* The CPU in an exit reads the map, without the lock, and holds on to the leaves that it has found. */
static void read_map(struct fake_machine *machine)
{
	for (uint64_t chunk = 0; machine->mem && chunk < machine->mem->chunk_count; chunk++) {
		const void *leaf = machine->mem->root[chunk].leaf;

		for (uint32_t i = 0; leaf && i < FAKE_LEAVES; i++)
			machine->read[i] |= machine->leaf[i] == leaf;
	}
}

static void run_cpus(struct fake_machine *machine)
{
	uint64_t what = fake_random(&machine->seed) >> 11;

	read_map(machine);
	for (uint64_t left = what % 3; left > 0; left--)
		fake_machine_access(machine);
	if (what >> 4 & 1 && machine->stores[(what >> 8) % FAKE_CPUS] > 0)
		drain_one(machine, (what >> 8) % FAKE_CPUS);
	if ((what >> 16 & 15) == 0)
		device_write(machine);
}

/*
 * A TLB holds a translation of a page of RAM other than `except` to this frame, writable if `writable`. A large entry
 * also covers pages that are not RAM; the OS does not touch these.
 */
static bool is_cached(const struct fake_machine *machine, uint64_t frame, uint64_t except, bool writable)
{
	const struct fake_entry *tlb = &machine->tlb[0][0];

	for (uint32_t i = 0; i < FAKE_CPUS * FAKE_TLB; i++) {
		uint64_t offset = frame - tlb[i].frame;

		if (offset >= tlb[i].pages || tlb[i].page + offset == except || !machine->is_ram[tlb[i].page + offset] ||
		    machine->is_offline[tlb[i].page + offset])
			continue;
		if (!writable || tlb[i].access == MEM_ACCESS_ALL)
			return true;
	}
	return false;
}

/* --- the port --- */

static bool injected_failure(struct fake_machine *machine)
{
	machine->allocations++;
	if (machine->given_up > 0)
		fault(machine, "a table page is asked for while one that was given up may still be walked");
	return machine->fail_at > 0 && --machine->fail_at == 0;
}

static void **find_leaf(struct fake_machine *machine, const void *page)
{
	for (uint32_t i = 0; i < FAKE_LEAVES; i++)
		if (machine->leaf[i] == page)
			return &machine->leaf[i];
	return NULL;
}

static void *table_alloc(void *context)
{
	struct fake_machine *machine = context;
	void **slot = find_leaf(machine, NULL);

	run_cpus(machine);
	if (injected_failure(machine))
		return NULL;
	if (!slot) {
		fault(machine, "more leaves than chunks");
		return NULL;
	}
	*slot = calloc(1, PAGE_SIZE);
	return *slot;
}

static void table_free(void *context, void *page)
{
	struct fake_machine *machine = context;
	void **slot = page ? find_leaf(machine, page) : NULL;

	run_cpus(machine);
	if (!slot) {
		fault(machine, "a table page is freed that is not out");
		return;
	}
	if (machine->read[slot - machine->leaf])
		fault(machine, "a leaf is freed that a CPU in an exit may be reading");
	free(page);
	*slot = NULL;
}

static bool map_prepare(void *context, gfn_t page)
{
	struct fake_machine *machine = context;
	struct fake_entry **table = &machine->table[page.n / FAKE_CHUNK];
	uint64_t first = page.n - page.n % FAKE_CHUNK;

	run_cpus(machine);
	machine->hot[machine->hot_next++ % FAKE_HOT] = page.n;
	if (injected_failure(machine))
		return false;
	if (!*table) {
		*table = calloc(FAKE_CHUNK, sizeof(**table));
		for (uint64_t i = 0; i < FAKE_CHUNK; i++)
			(*table)[i] = (struct fake_entry){ first + i, first + i, 1, MEM_ACCESS_ALL };
	}
	machine->prepared[page.n] = true;
	run_cpus(machine);
	return true;
}

/* Who reads on may share; who may write is alone. */
static bool is_occupied(const struct fake_machine *machine, uint64_t frame, enum mem_access access)
{
	return access == MEM_ACCESS_READ ? machine->writers[frame] > 0 : machine->holders[frame] > 0;
}

/* Once more in the frame where it is, with the right to write. */
static bool is_right_to_write(const struct fake_entry *entry, uint64_t frame, enum mem_access access)
{
	return entry->access == MEM_ACCESS_READ && entry->frame == frame && access == MEM_ACCESS_ALL;
}

static void check_present(struct fake_machine *machine, uint64_t page, uint64_t frame, enum mem_access access)
{
	if (is_occupied(machine, frame, access))
		fault(machine, "a page is made present in a frame that is occupied");
	if (is_cached(machine, frame, page, access == MEM_ACCESS_READ))
		fault(machine, "a frame is reused that a TLB still holds for another page");
	if (memcmp(machine->frame[frame], machine->wrote[page], sizeof(machine->wrote[page])) != 0)
		fault(machine, "a page is made present in a frame without its contents");
}

static void count_holder(struct fake_machine *machine, const struct fake_entry *entry, uint32_t one)
{
	machine->holders[entry->frame] += entry->access != MEM_ACCESS_NONE ? one : 0;
	machine->writers[entry->frame] += entry->access == MEM_ACCESS_ALL ? one : 0;
}

static void map_set(void *context, gfn_t page, mfn_t frame, enum mem_access access)
{
	struct fake_machine *machine = context;

	run_cpus(machine);
	if (page.n >= FAKE_PAGES || frame.n >= FAKE_PAGES || !machine->is_ram[page.n] || !machine->prepared[page.n] ||
	    machine->is_offline[page.n]) {
		fault(machine, "map_set for a page that was not prepared, or out of RAM");
		return;
	}
	machine->hot[machine->hot_next++ % FAKE_HOT] = page.n;

	struct fake_entry *entry = &machine->table[page.n / FAKE_CHUNK][page.n % FAKE_CHUNK];
	bool was_absent = entry->access == MEM_ACCESS_NONE && machine->absent_at[page.n] != machine->flushes;

	count_holder(machine, entry, (uint32_t)-1);
	if (access != MEM_ACCESS_NONE)
		check_present(machine, page.n, frame.n, access);
	else
		machine->absent_at[page.n] = machine->flushes;
	if (access != MEM_ACCESS_NONE && !was_absent && !is_right_to_write(entry, frame.n, access))
		fault(machine, "a page is made present that was not absent over a flush");
	*entry = (struct fake_entry){ page.n, frame.n, 1, access };
	count_holder(machine, entry, 1);
	run_cpus(machine);
}

static void map_release(void *context, gfn_t page)
{
	struct fake_machine *machine = context;
	uint64_t chunk = page.n / FAKE_CHUNK;

	run_cpus(machine);
	if (!machine->table[chunk]) {
		fault(machine, "map_release of a chunk that is not split");
		return;
	}
	for (uint64_t i = 0; i < FAKE_CHUNK; i++) {
		struct fake_entry *entry = &machine->table[chunk][i];

		if (entry->frame != entry->page || entry->access != MEM_ACCESS_ALL)
			fault(machine, "map_release of a chunk that is not all at home");
	}
	free(machine->table[chunk]);
	machine->table[chunk] = NULL;
	memset(&machine->prepared[chunk * FAKE_CHUNK], 0, FAKE_CHUNK);
	machine->given_up++;
	run_cpus(machine);
}

/* CPU by CPU: those that were flushed load new translations while others still use old ones. */
static void flush(void *context)
{
	struct fake_machine *machine = context;
	uint32_t cpus = machine->flush_broken ? FAKE_CPUS - 1 : FAKE_CPUS;

	for (uint32_t cpu = 0; cpu < cpus; cpu++) {
		run_cpus(machine);
		machine->late += machine->stores[cpu];
		drain(machine, cpu);
		memset(machine->tlb[cpu], 0, sizeof(machine->tlb[cpu]));
	}
	memset(machine->read, 0, sizeof(machine->read));
	run_cpus(machine);
	machine->given_up = 0;
	machine->flushes++;
}

static void copy_page(void *context, mfn_t to, mfn_t from, uint32_t offset, uint32_t bytes)
{
	struct fake_machine *machine = context;
	uint32_t word_bytes = (uint32_t)PAGE_SIZE / FAKE_WORDS;

	run_cpus(machine);
	if (to.n == from.n || to.n >= FAKE_PAGES || from.n >= FAKE_PAGES) {
		fault(machine, "a copy of a frame to itself, or outside the machine");
		return;
	}
	for (uint32_t word = offset / word_bytes; word < (offset + bytes) / word_bytes; word++) {
		if (machine->holders[to.n] > 0 || is_store_due(machine, to.n) || is_cached(machine, to.n, FAKE_PAGES, false))
			fault(machine, "a copy to a frame that a CPU can reach");
		if (machine->writers[from.n] > 0 || is_store_due(machine, from.n) || is_cached(machine, from.n, FAKE_PAGES, true))
			fault(machine, "a copy from a frame that a CPU can write");
		machine->frame[to.n][word] = machine->frame[from.n][word];
		run_cpus(machine);
	}
	machine->copies += offset == 0;
}

PORT_BY_PAGE(map_set, copy_page);

static bool map_get(void *context, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	struct fake_machine *machine = context;
	struct fake_entry entry = walk(machine, page.n);

	*frame = mfn(entry.frame + (page.n - entry.page));
	*access = entry.access;
	return entry.access != MEM_ACCESS_NONE;
}

/* Of one word: pages that differ in the others alone are told apart by their hash. */
static uint64_t sample(void *context, mfn_t frame)
{
	struct fake_machine *machine = context;

	run_cpus(machine);
	return machine->frame[frame.n][1] * 0x9e3779b97f4a7c15ull;
}

static uint64_t hash(void *context, mfn_t frame)
{
	struct fake_machine *machine = context;

	run_cpus(machine);
	return (machine->frame[frame.n][0] + machine->frame[frame.n][1] * 64) * 0x9e3779b97f4a7c15ull;
}

static bool equal(void *context, mfn_t a, mfn_t b)
{
	struct fake_machine *machine = context;

	run_cpus(machine);
	return memcmp(machine->frame[a.n], machine->frame[b.n], sizeof(machine->frame[a.n])) == 0;
}

const struct mem_port_ops fake_machine_ops = {
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
	.sample = sample,
	.hash = hash,
	.equal = equal,
};

/* --- start, look, stop --- */

static void add(struct range_list *list, uint64_t first, uint64_t last, enum range_type type)
{
	list->entry[list->count++] = (struct range){ first * PAGE_SIZE, last * PAGE_SIZE, type };
}

/* Holes within chunks, one over two whole chunks, and a page of RAM that is not whole. */
static void build_ranges(struct fake_machine *machine)
{
	struct range_list *ram = &machine->ram;

	add(ram, 0, 160, RANGE_RAM);
	add(ram, 160, 256, RANGE_RESERVED);
	add(ram, 256, FAKE_RESERVE_FIRST, RANGE_RAM);
	add(ram, FAKE_RESERVE_FIRST, FAKE_RESERVE_FIRST + FAKE_RESERVE_FRAMES, RANGE_RESERVED);
	add(ram, FAKE_RESERVE_FIRST + FAKE_RESERVE_FRAMES, 3000, RANGE_RAM);
	ram->entry[ram->count - 1].end -= PAGE_SIZE / 2;
	add(ram, 4200, 4900, RANGE_RAM);
	add(ram, 4900, FAKE_PAGES, RANGE_ACPI);
	add(&machine->dma_free, 256, 1500, RANGE_RAM);
	add(&machine->dma_free, 2000, 4700, RANGE_RAM);
}

void fake_machine_fill(struct fake_machine *machine, uint64_t values)
{
	for (uint32_t cpu = 0; cpu < FAKE_CPUS; cpu++)
		drain(machine, cpu);
	machine->values = values;
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		for (uint32_t word = 0; word < FAKE_WORDS; word++)
			machine->frame[page][word] = machine->wrote[page][word] = new_value(machine);
}

void fake_machine_start(struct fake_machine *machine, uint64_t seed)
{
	memset(machine, 0, sizeof(*machine));
	machine->seed = seed;
	build_ranges(machine);
	fake_machine_fill(machine, 0);
	for (uint64_t page = 0; page < FAKE_PAGES; page++) {
		uint64_t start = page * PAGE_SIZE, end = start + PAGE_SIZE;

		machine->is_ram[page] = ranges_contain(&machine->ram, start, end, RANGE_RAM);
		machine->holders[page] = machine->writers[page] = machine->is_ram[page];
		if (machine->is_ram[page] && !ranges_contain(&machine->dma_free, start, end, RANGE_RAM))
			machine->device_page[machine->device_pages++] = (uint16_t)page;
	}
	for (uint32_t i = 0; i < FAKE_HOT; i++)
		machine->hot[i] = 256 + i;
}

struct mem_config fake_machine_config(struct fake_machine *machine)
{
	return (struct mem_config){
		.port = &fake_machine_ops,
		.port_context = machine,
		.ram = &machine->ram,
		.movable = &machine->dma_free, .dma_free = &machine->dma_free,
		.reserve_first = mfn(FAKE_RESERVE_FIRST),
		.reserve_frames = FAKE_RESERVE_FRAMES,
		.storage = calloc(1, mem_storage_bytes(4900 * PAGE_SIZE, (FAKE_RESERVE_FIRST + FAKE_RESERVE_FRAMES) * PAGE_SIZE)),
	};
}

/* Taking a page offline needs every CPU: the OS unmaps it everywhere. */
void fake_machine_offline(struct fake_machine *machine, uint64_t first, uint64_t last)
{
	flush(machine);
	for (uint64_t page = first; page < last; page++) {
		machine->is_offline[page] = true;
		machine->holders[page]--;
		machine->writers[page]--;
	}
	flush(machine);
}

void fake_machine_online(struct fake_machine *machine, uint64_t first, uint64_t last)
{
	for (uint64_t page = first; page < last; page++) {
		machine->is_offline[page] = false;
		machine->holders[page]++;
		machine->writers[page]++;
		memcpy(machine->wrote[page], machine->frame[page], sizeof(machine->wrote[page]));
	}
}

void fake_machine_verify_present(struct fake_machine *machine)
{
	for (uint64_t page = 0; page < FAKE_PAGES; page++) {
		struct fake_entry entry = walk(machine, page);
		uint64_t frame = entry.frame + (page - entry.page);

		if (!machine->is_ram[page] || machine->is_offline[page] || entry.access == MEM_ACCESS_NONE)
			continue;
		if (memcmp(machine->frame[frame], machine->wrote[page], sizeof(machine->wrote[page])) != 0)
			fault(machine, "a page does not hold what was written");
	}
}

void fake_machine_verify(struct fake_machine *machine)
{
	if (machine->given_up > 0)
		fault(machine, "a table page was given up and no flush made");
	for (uint64_t page = 0; page < FAKE_PAGES; page++)
		if (machine->is_ram[page] && walk(machine, page).access == MEM_ACCESS_NONE)
			fault(machine, "a page was left absent");
	fake_machine_verify_present(machine);
}

uint64_t fake_bring_home(struct mem *mem, uint32_t limit, struct mem_moved *moved)
{
	static struct mem_batch batch;
	enum mem_step step = MEM_STEP_AGAIN;

	if (limit == 0 || mem->displaced == 0 ||
	    mem_remap_start(mem, MEM_REMAP_DIRECT, gfn(0), gfn(UINT64_MAX)) != SCRIM_OK)
		return mem->displaced;
	if (limit > SCRIM_BATCH_MAX)
		limit = SCRIM_BATCH_MAX;
	while (limit > 0 && (step == MEM_STEP_MOVES || step == MEM_STEP_AGAIN)) {
		step = mem_remap_begin(mem, &batch, limit);
		if (step != MEM_STEP_MOVES)
			continue;
		limit -= batch.count;
		mem->config.port->flush(mem->config.port_context);
		mem_batch_copy(mem, &batch);
		mem_batch_end(mem, &batch, moved);
	}
	mem_remap_stop(mem);
	return mem->displaced;
}

uint32_t fake_machine_leaves(const struct fake_machine *machine)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FAKE_LEAVES; i++)
		count += machine->leaf[i] != NULL;
	return count;
}

uint32_t fake_machine_split_chunks(const struct fake_machine *machine)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FAKE_CHUNKS; i++)
		count += machine->table[i] != NULL;
	return count;
}

void fake_machine_stop(struct fake_machine *machine)
{
	for (uint32_t i = 0; i < FAKE_LEAVES; i++)
		free(machine->leaf[i]);
	for (uint32_t i = 0; i < FAKE_CHUNKS; i++)
		free(machine->table[i]);
	memset(machine->leaf, 0, sizeof(machine->leaf));
	memset(machine->table, 0, sizeof(machine->table));
}
