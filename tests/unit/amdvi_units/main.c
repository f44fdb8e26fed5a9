/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests src/iommu's AMD-Vi on simulated units: what no emulator has. Devices find every page where it is at every moment of the taking over, of a
 * start, a move and a stop, whatever the units have cached; events are counted; a unit that does not obey is noticed.
 */
#include "sim.h"

#include "iommu/amdvi_format.h"

static const struct dma_ops *ops;
static struct xlat xlat;
static struct ivrs ivrs;
static struct dma_limits limits;
static struct random chance;
static char line[120];

static void tell(uint8_t flags)
{
	memset(&ivrs, 0, sizeof(ivrs));
	memset(ivrs.behind, 0xff, sizeof(ivrs.behind));
	ivrs.address_bits = 48;
	ivrs.unit_count = SIM_UNITS;
	for (uint32_t i = 0; i < SIM_UNITS; i++)
		ivrs.unit[i] = (struct ivrs_unit){ .registers = SIM_REGISTERS + i * SIM_STRIDE, .function = 2, .capability = 0x40, .type = 0x11, .flags = flags };
}

static const char *probe(void)
{
	return amdvi_probe(&ivrs, GIB(4), 40, &limits, line);
}

static void begin(struct sim_config config)
{
	chance = random_start("moves");
	sim_reset(&config);
	tell(config.past_cache ? 0 : IVRS_COHERENT);
	assert_no_line(probe());
}

static void take(void)
{
	ops = amdvi_take(sim_memory);
	assert_non_null(ops);
	for (uint32_t i = 0; i < SIM_UNITS; i++)
		assert_true(sim_is_off(i));
	assert_false(ops->is_translating());
	sim_run(1000);
}

static void build(void)
{
	xlat = (struct xlat){ .ops = &xlat_nested, .format = &amdvi_format, .port = sim_port, .address_bits = 36, .has_1g = true };
	assert_true(xlat.ops->build(&xlat));
}

static void start(void)
{
	build();
	assert_true(ops->start(xlat.root));
	assert_true(ops->is_translating());
	uint64_t translated = sim_translated, accesses = sim_accesses;
	sim_run(2000);
	assert_int_equal(sim_translated - translated, sim_accesses - accesses);
}

static void stop(void)
{
	uint64_t translated;

	sim_run(500);
	ops->stop();
	assert_false(ops->is_translating());
	for (uint32_t i = 0; i < SIM_UNITS; i++)
		assert_true(sim_is_off(i));
	xlat.ops->drop(&xlat);
	assert_int_equal(sim_tables_out(), 0);
	translated = sim_translated;
	sim_run(2000);
	assert_int_equal(sim_translated, translated);
}

static void move(struct sim_hot *hot, uint64_t to)
{
	gfn_t page = gfn_of_address(hot->page);

	hot->old_frame = hot->frame;
	hot->frame = to;
	assert_true(xlat.ops->prepare(&xlat, page));
	sim_run(4);
	xlat.ops->set(&xlat, page, mfn_of_address(to), MEM_ACCESS_ALL);
	sim_run(4);
	ops->invalidate(&page, 1);
	hot->old_frame = hot->frame; /* drained */
	for (uint32_t i = 0; i < SIM_UNITS; i++)
		sim_check_caches(i);
	sim_run(16);
}

static void go_round(void)
{
	start();
	for (uint32_t i = 0; i < 64; i++)
		move(&sim_hot[random_below(&chance, SIM_HOT)], GIB(5) + random_below(&chance, 1 << 18) * PAGE_SIZE);
	for (uint32_t i = 0; i < SIM_HOT; i++)
		move(&sim_hot[i], sim_hot[i].page);
	stop();
}

static void test_rounds(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 4; i++) {
		begin((struct sim_config){ .has_all = i & 1, .past_cache = i & 2 });
		take();
		for (uint32_t round = 0; round < (i & 1 ? 8 : 2); round++)
			go_round();
	}
}

/* What firmware left on, it left with caches: nothing of them is used once Scrim has the unit. */
static void test_left_on(void **unused)
{
	(void)unused;
	for (uint32_t i = 0; i < 2; i++) {
		begin((struct sim_config){ .has_all = i });
		sim_leave_on(0);
		sim_leave_on(1);
		take();
		go_round();
	}
}

/* --- events --- */

static void test_events(void **unused)
{
	struct dma_fault last = { 0 };

	(void)unused;
	for (uint32_t late = 0; late < 2; late++) {
		begin((struct sim_config){ .has_all = true, .late = late });
		take();
		start();
		assert_int_equal(ops->take_faults(&last), 0);
		for (uint32_t i = 0; i < 600; i++) {
			uint64_t faults = 0, address = 0x123456789 + i * PAGE_SIZE;
			assert_true(sim_log(i % 2, i % 3 ? 0x00a1 : 0x4100, 1 + i % 8, address));
			for (uint32_t wait = 0; wait < 1000 && !faults; wait++)
				faults += ops->take_faults(&last);
			assert_int_equal(faults, 1);
			assert_int_equal(last.source, i % 3 ? 0x00a1 : 0x4100);
			assert_int_equal(last.reason, 1 + i % 8);
			assert_int_equal(last.address, address & ~PAGE_MASK);
			assert_int_equal(ops->take_faults(&last), 0);
		}
		stop();
	}
}

/* A full log is begun anew, while the unit translates and after. What was lost counts as one. */
static void test_overflow(void **unused)
{
	struct dma_fault last = { 0 };

	(void)unused;
	begin((struct sim_config){ .has_all = true });
	take();
	for (uint32_t round = 0; round < 3; round++) {
		start();
		for (uint32_t again = 0; again < 2; again++) {
			uint32_t logged = 0;
			while (sim_log(1, 8, 2, logged * PAGE_SIZE))
				logged++;
			assert_int_equal(logged, 255);
			if (round == 2)
				stop();
			assert_int_equal(ops->take_faults(&last), logged + 1);
			assert_int_equal(last.address, (logged - 1) * PAGE_SIZE);
			assert_int_equal(ops->take_faults(&last), 0);
			if (round == 2)
				start();
		}
		stop();
	}
}

/* --- what does not obey --- */

static void call_stop(void) { ops->stop(); }
static void call_invalidate(void) { ops->invalidate(NULL, 0); }

static void test_taking_fails(void **unused)
{
	static const enum sim_fault faults[] = { SIM_DEAF, SIM_STUBBORN, SIM_STUCK, SIM_MISREADS };

	(void)unused;
	for (uint32_t i = 0; i < 2 * ARRAY_SIZE(faults); i++) {
		begin((struct sim_config){ .has_all = i & 1 });
		if (faults[i / 2] == SIM_STUBBORN)
			sim_leave_on(i & 1);
		sim_set_fault(i & 1, faults[i / 2]);
		assert_null(amdvi_take(sim_memory));
		assert_true(sim_is_off(!(i & 1)));
		assert_true(sim_is_off(i & 1) == (faults[i / 2] != SIM_STUBBORN));
	}
}

/* Translation does not begin, or is given up: nothing of the tables is walked then. */
static void test_start_fails(void **unused)
{
	static const enum sim_fault faults[] = { SIM_DEAF, SIM_STUCK, SIM_MISREADS };

	(void)unused;
	for (uint32_t i = 0; i < 2 * ARRAY_SIZE(faults); i++) {
		begin((struct sim_config){ .has_all = true });
		take();
		go_round();
		sim_set_fault(i & 1, faults[i / 2]);
		build();
		assert_false(ops->start(xlat.root));
		assert_false(ops->is_translating());
		xlat.ops->drop(&xlat);
		sim_run(2000);
		assert_true(sim_is_off(0) && sim_is_off(1));
	}
}

static void test_going_on_fails(void **unused)
{
	static const enum sim_fault faults[] = { SIM_STUBBORN, SIM_STUCK, SIM_MISREADS };

	(void)unused;
	for (uint32_t i = 0; i < 2 * ARRAY_SIZE(faults); i++) {
		begin((struct sim_config){ .has_all = true });
		take();
		start();
		sim_set_fault(1, faults[i / 2]);
		if (faults[i / 2] == SIM_STUBBORN || i & 1)
			assert_true(sim_panics(call_stop));
		else
			assert_true(sim_panics(call_invalidate));
	}
}

/* --- the probe --- */

static void test_probe(void **unused)
{
	(void)unused;
	begin((struct sim_config){ .has_all = true });
	assert_int_equal(limits.units, SIM_UNITS);
	assert_int_equal(limits.address_bits, 40);
	assert_true(limits.has_1g);
	ivrs.address_bits = 32;
	assert_no_line(probe());
	assert_int_equal(limits.address_bits, 32);
	ivrs.address_bits = 31;
	assert_line(probe(), "do not reach all RAM");
	ivrs.address_bits = 64;
	assert_no_line(probe());
	for (uint32_t word = 0; word < 8; word++)
		if (word != 3) {
			sim_set_capability(0x0800000f | word << 16, 0);
			assert_line(probe(), "its PCI function is no IOMMU");
		}
	sim_set_capability(0x08030005, 0);
	assert_line(probe(), "the IOMMU at 0xfd200000 cannot be used: its PCI function is no IOMMU");
	sim_set_capability(0x0803000f, 3u << 10);
	assert_line(probe(), "no tables of four levels");
	sim_set_capability(0x0003000f, 3u << 10);
	assert_no_line(probe());
	ivrs.unit[1].capability = 0x140;
	assert_line(probe(), "the IOMMU at 0xfd280000 cannot be used: its PCI function is no IOMMU");
	ivrs.unit[1].segment = 1;
	assert_no_line(probe());
	ivrs.unit[1].registers = GIB(4);
	assert_line(probe(), "above 4 GiB");
}

/* Bridges and the units themselves need no unit; what else is not behind one is told of. */
static void test_cover(void **unused)
{
	(void)unused;
	begin((struct sim_config){ 0 });
	memset(ivrs.behind, 0, sizeof(ivrs.behind));
	assert_no_line(probe());
	sim_set_function(0x00c0, 0x0601);
	assert_line(probe(), "the PCI device 0:18.0");
	ivrs.behind[0xc0 / 64] |= 1ull << 0xc0 % 64;
	sim_set_function(0x4105, 0x0200);
	assert_no_line(probe()); /* a device without a function 0 is none */
	sim_set_function(0x4100, 0x0604);
	assert_line(probe(), "the PCI device 41:0.5");
	ivrs.behind[0x4105 / 64] |= 1ull << 0x4105 % 64;
	sim_set_function(0xfff8, 0x0108);
	assert_line(probe(), "the PCI device ff:1f.0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds),	     cmocka_unit_test(test_left_on),	 cmocka_unit_test(test_events),
		cmocka_unit_test(test_overflow),     cmocka_unit_test(test_taking_fails), cmocka_unit_test(test_start_fails),
		cmocka_unit_test(test_going_on_fails), cmocka_unit_test(test_probe),	 cmocka_unit_test(test_cover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
