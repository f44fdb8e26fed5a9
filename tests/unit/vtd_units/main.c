/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests src/iommu on simulated units: what is refused, taking over, on and off, invalidations in both ways, faults, and units that do not answer. */
#include "sim_unit.h"

#include "iommu/vtd.h"
#include "iommu/vtd_cover.h"
#include "iommu/vtd_format.h"
#include "iommu/vtd_unit.h"

#define RAM_END GIB(8)
#define MAP_ROOT 0x12345000ull

static _Alignas(4096) uint8_t memory[VTD_FIXED_BYTES(SIM_UNITS)], map[PAGE_SIZE];
static struct dma_limits limits;
static const struct dma_ops *ops;
static char line[120];

static struct dmar some_units(uint32_t count)
{
	struct dmar dmar = { .address_bits = 48, .unit_count = count, .covers_all = true };

	for (uint32_t i = 0; i < count; i++)
		dmar.unit[i] = (struct dmar_unit){ SIM_AT + i * SIM_STRIDE, PAGE_SIZE };
	return dmar;
}

static const char *probe(uint32_t count, uint64_t ram_end, uint32_t bits)
{
	const struct dmar dmar = some_units(count);

	return vtd_probe(&dmar, ram_end, bits, &limits, line);
}

static void take(uint32_t count)
{
	memset(memory, 0, sizeof(memory));
	assert_no_line(probe(count, RAM_END, 40));
	ops = vtd_take(memory);
	assert_non_null(ops);
	sim_assert_no_fault();
}

static uint64_t address_of(const void *page)
{
	return (uint64_t)(uintptr_t)page;
}

/* --- refused --- */

static void test_limits(void **unused)
{
	(void)unused;
	sim_start();
	assert_no_line(probe(SIM_UNITS, RAM_END, 40));
	assert_int_equal(limits.units, SIM_UNITS);
	assert_int_equal(limits.address_bits, 40);
	assert_true(limits.has_1g);
	assert_no_line(probe(1, RAM_END, 52));
	assert_int_equal(limits.address_bits, 48);
	sim[1].cap &= ~(CAP_SLLPS_1G | CAP_SAGAW_48);
	assert_no_line(probe(SIM_UNITS, RAM_END, 48));
	assert_int_equal(limits.address_bits, 39);
	assert_false(limits.has_1g);
	assert_no_line(probe(1, RAM_END, 48));
	assert_int_equal(limits.address_bits, 48);
	sim[2].cap = (sim[2].cap & ~(0x3full << 16)) | 35ull << 16;
	assert_no_line(probe(SIM_UNITS, RAM_END, 48));
	assert_int_equal(limits.address_bits, 36);
	assert_line(probe(SIM_UNITS, GIB(64) + PAGE_SIZE, 48), "do not reach all RAM");
	sim[2].cap &= ~CAP_SAGAW_39;
	assert_line(probe(SIM_UNITS, RAM_END, 48), "levels in common");
	sim_assert_no_fault();
}

static void refuse_unit(uint64_t without, const char *part)
{
	sim_start();
	sim[1].cap &= ~without;
	assert_line(probe(SIM_UNITS, RAM_END, 40), part);
	assert_line(line, "the IOMMU at 0xfeda0000 cannot be used");
	assert_no_line(probe(1, RAM_END, 40));
}

static void test_refused(void **unused)
{
	struct dmar dmar = some_units(1);

	(void)unused;
	refuse_unit(CAP_DWD, "drain");
	refuse_unit(CAP_DRD, "drain");
	refuse_unit(CAP_SLLPS_2M, "2 MiB");
	refuse_unit(CAP_SAGAW_39 | CAP_SAGAW_48, "levels");
	refuse_unit(UINT64_MAX, "does not answer");
	sim[0].cap = UINT64_MAX;
	assert_line(probe(1, RAM_END, 40), "does not answer");
	dmar.unit[0].registers = GIB(4);
	assert_line(vtd_probe(&dmar, RAM_END, 40, &limits, line), "above 4 GiB");
}

/* 00.0 host bridge; 00:1c.0 bridge to 1, where 01:00.0 is; 00:1e.0 bridge to 5 with 05:03.1. */
static void test_cover(void **unused)
{
	static const struct sim_function functions[] = { { 0, 0 }, { 0xe0, 1 }, { 0x100, 0 }, { 0xf0, 5 }, { 0x519, 0 } };
	struct dmar dmar = some_units(1);
	uint32_t missing;

	(void)unused;
	sim_start();
	sim_functions = functions;
	sim_function_count = ARRAY_SIZE(functions);
	assert_true(vtd_covers(&dmar, &missing));
	dmar.covers_all = false;
	assert_false(vtd_covers(&dmar, &missing));
	assert_int_equal(missing, 0);
	dmar.scope[dmar.scope_count++] = (struct dmar_scope){ .bus = 0, .hops = 1, .function = { 0 } };
	assert_false(vtd_covers(&dmar, &missing));
	assert_int_equal(missing, 0x100);
	dmar.scope[dmar.scope_count++] = (struct dmar_scope){ .all_below = true, .bus = 0, .hops = 1, .function = { 0xe0 } };
	assert_false(vtd_covers(&dmar, &missing));
	assert_int_equal(missing, 0x519);
	assert_line(vtd_probe(&dmar, RAM_END, 40, &limits, line), "PCI device 5:3.1");
	dmar.scope[dmar.scope_count++] = (struct dmar_scope){ .bus = 0, .hops = 2, .function = { 0xf0, 0x19 } };
	assert_true(vtd_covers(&dmar, &missing));
}

/* --- from firmware --- */

static void test_take(void **unused)
{
	(void)unused;
	sim_start();
	for (uint32_t i = 0; i < SIM_UNITS; i++) {
		sim[i].cap |= CAP_PLMR | CAP_PHMR;
		sim[i].gsts = GCMD_TE | GCMD_IRE | GCMD_QIE | GCMD_SRTP;
		sim[i].iqh = sim[i].iqt = 0x40;
		sim[i].pmen = PMEN_EPM | PMEN_PRS;
		sim[i].fectl = 0;
		sim[i].fsts = FSTS_IQE;
		sim_record(&sim[i], 1, 0x10, 5, GIB(1));
	}
	take(SIM_UNITS);
	for (uint32_t i = 0; i < SIM_UNITS; i++) {
		assert_int_equal(sim[i].gsts & GCMD_STAY, 0);
		assert_int_equal(sim[i].pmen, 0);
		assert_int_equal(sim[i].fectl, FECTL_IM);
		assert_int_equal(sim[i].fsts & (FSTS_PPF | FSTS_QUEUE), 0);
	}
}

static void test_take_deaf(void **unused)
{
	static const uint32_t stays[] = { GCMD_TE, GCMD_IRE, GCMD_QIE };

	(void)unused;
	for (uint32_t i = 0; i < ARRAY_SIZE(stays); i++) {
		sim_start();
		sim[1].gsts = sim[1].deaf = stays[i];
		assert_no_line(probe(SIM_UNITS, RAM_END, 40));
		assert_null(vtd_take(memory));
	}
	sim_start();
	sim[0].gsts = GCMD_QIE;
	sim[0].iqt = 0x10; /* and never gets there */
	assert_no_line(probe(1, RAM_END, 40));
	assert_null(vtd_take(memory));
}

/* --- on and off --- */

static void check_contexts(uint64_t table, uint64_t levels)
{
	const struct vtd_entry *root = (const struct vtd_entry *)(const void *)memory, *context = root + VTD_ENTRIES;

	for (uint32_t i = 0; i < VTD_ENTRIES; i++) {
		assert_int_equal(root[i].low, address_of(context) | 1);
		assert_int_equal(root[i].high, 0);
		assert_int_equal(context[i].low, table | 1);
		assert_int_equal(context[i].high, VTD_DOMAIN << 8 | (levels - 2));
	}
}

static void on_and_off(uint32_t count, uint64_t root, uint64_t table, uint64_t levels)
{
	assert_false(ops->is_translating());
	for (uint32_t i = 0; i < count; i++)
		sim_look(&sim[i]);
	sim_forget_flushes();
	assert_true(ops->start(root));
	assert_true(ops->is_translating());
	check_contexts(table, levels);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(sim[i].gsts, GCMD_TE | GCMD_SRTP | (sim[i].ecap & ECAP_QI ? GCMD_QIE : 0));
		assert_int_equal(sim[i].root, address_of(memory));
		assert_int_equal(sim[i].invalidations, 1);
		assert_true(sim[i].log[0].granularity == 1 && sim[i].log[0].drains);
	}
	sim[count - 1].gsts &= ~GCMD_TE;
	assert_false(ops->is_translating());
	sim[count - 1].gsts |= GCMD_TE;
	ops->stop();
	assert_false(ops->is_translating());
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(sim[i].gsts, GCMD_SRTP);
	sim_assert_no_fault();
}

static void test_on_and_off(void **unused)
{
	(void)unused;
	for (uint32_t kind = 0; kind < 8; kind++) {
		sim_start();
		for (uint32_t i = 0; i < SIM_UNITS; i++) {
			sim[i].ecap = (sim[i].ecap & ~(ECAP_QI | ECAP_C)) | (kind & 1 ? ECAP_QI : 0) | (kind & 2 ? ECAP_C : 0);
			sim[i].cap |= kind & 4 ? CAP_RWBF : 0;
		}
		sim[1].ecap ^= ECAP_QI; /* not all alike */
		take(SIM_UNITS);
		for (uint32_t round = 0; round < 300; round++)
			on_and_off(SIM_UNITS, MAP_ROOT, MAP_ROOT, 4);
	}
}

static void test_three_levels(void **unused)
{
	(void)unused;
	sim_start();
	sim[1].cap &= ~CAP_SAGAW_48;
	take(2);
	set_u64(map, 0x67890000 | 3);
	on_and_off(2, address_of(map), 0x67890000, 3);
}

/* One that does not begin: none translates. */
static void test_start_deaf(void **unused)
{
	static const uint32_t deaf[] = { GCMD_SRTP, GCMD_QIE, GCMD_TE };

	(void)unused;
	for (uint32_t i = 0; i <= ARRAY_SIZE(deaf); i++) {
		sim_start();
		take(SIM_UNITS);
		if (i < ARRAY_SIZE(deaf))
			sim[1].deaf = deaf[i];
		sim[1].deaf_queue = i == ARRAY_SIZE(deaf);
		if (sim[1].deaf_queue)
			sim[1].ecap &= ~ECAP_QI, take(SIM_UNITS);
		assert_false(ops->start(MAP_ROOT));
		for (uint32_t n = 0; n < SIM_UNITS; n++)
			assert_int_equal(sim[n].gsts & GCMD_STAY, 0);
	}
}

/* --- invalidation --- */

static void check_pages(const struct sim_unit *unit, const gfn_t *page, uint32_t count)
{
	bool by_page = unit->cap & CAP_PSI && count > 0;

	assert_int_equal(unit->invalidations, by_page ? count : 1);
	for (uint32_t i = 0; i < unit->invalidations; i++) {
		assert_int_equal(unit->log[i].granularity, by_page ? 3 : 2);
		assert_int_equal(unit->log[i].domain, VTD_DOMAIN);
		assert_true(unit->log[i].drains);
		if (by_page)
			assert_int_equal(unit->log[i].address, gfn_address(page[i]));
	}
}

static void test_invalidate(void **unused)
{
	struct random random = random_start("invalidate");

	(void)unused;
	for (uint32_t kind = 0; kind < 8; kind++) {
		sim_start();
		for (uint32_t i = 0; i < SIM_UNITS; i++) {
			sim[i].ecap = (sim[i].ecap & ~ECAP_QI) | (kind & 1 ? ECAP_QI : 0);
			sim[i].cap = (sim[i].cap & ~CAP_PSI) | (kind & 2 ? CAP_PSI : 0) | (kind & 4 ? CAP_RWBF : 0);
		}
		take(SIM_UNITS);
		assert_true(ops->start(MAP_ROOT));
		for (uint32_t round = 0; round < 400; round++) { /* many times round the queue */
			gfn_t page[DMA_GROUP];
			uint32_t count = (uint32_t)random_below(&random, DMA_GROUP + 1);
			for (uint32_t i = 0; i < count; i++)
				page[i] = gfn(random_below(&random, 1u << 24));
			for (uint32_t i = 0; i < SIM_UNITS; i++) {
				sim_look(&sim[i]);
				sim[i].buffered = kind & 4;
			}
			ops->invalidate(page, count);
			for (uint32_t i = 0; i < SIM_UNITS; i++)
				check_pages(&sim[i], page, count);
			sim_assert_no_fault();
		}
		assert_true(ops->is_translating());
		ops->stop();
	}
}

/* Nothing may go on while a device may hold what it must not. */
static void invalidate_deaf(uint64_t without)
{
	gfn_t page = gfn(7);

	sim_start();
	sim[0].ecap &= ~without;
	take(1);
	assert_true(ops->start(MAP_ROOT));
	sim[0].deaf_queue = true;
	if (setjmp(sim_panicked) == 0) {
		ops->invalidate(&page, 1);
		fail_msg("it went on");
	}
	assert_non_null(strstr(sim_panic_line, "does not end an invalidation"));
}

static void test_invalidate_deaf_queue(void **unused)
{
	(void)unused;
	invalidate_deaf(0);
}

static void test_invalidate_deaf_register(void **unused)
{
	(void)unused;
	invalidate_deaf(ECAP_QI);
}

/* --- lines, faults --- */

static void test_snoop(void **unused)
{
	(void)unused;
	sim_start();
	sim[0].ecap |= ECAP_SC;
	take(2);
	assert_int_equal(ops->format->leaf & VTD_SNOOP, 0);
	sim[1].ecap |= ECAP_SC;
	take(2);
	assert_int_equal(ops->format->leaf, vtd_format.leaf | VTD_SNOOP);
}

static void test_wrote(void **unused)
{
	static _Alignas(4096) uint8_t page[PAGE_SIZE];

	(void)unused;
	sim_start();
	take(1);
	sim_forget_flushes();
	ops->wrote(NULL, page, PAGE_SIZE - 8);
	assert_true(sim_is_flushed(page));
	sim_forget_flushes();
	ops->wrote(NULL, page, 8);
	assert_false(sim_is_flushed(page));
	sim[0].ecap |= ECAP_C;
	take(1);
	ops->wrote(NULL, page, PAGE_SIZE);
	assert_false(sim_is_flushed(page));
}

static void test_faults(void **unused)
{
	struct dma_fault last = { 0 };

	(void)unused;
	sim_start();
	take(2);
	assert_int_equal(ops->take_faults(&last), 0);
	sim_record(&sim[0], 3, 0x0108, 6, 0x12345678000);
	assert_int_equal(ops->take_faults(&last), 1);
	assert_int_equal(last.source, 0x0108);
	assert_int_equal(last.reason, 6);
	assert_int_equal(last.address, 0x12345678000);
	assert_int_equal(ops->take_faults(&last), 0);
	/* The oldest is in record 2; the last in record 0, behind the wrap. */
	sim_record(&sim[1], 2, 0x10, 1, GIB(1));
	sim_record(&sim[1], 3, 0x11, 2, GIB(2));
	sim_record(&sim[1], 0, 0x12, 3, GIB(3));
	sim[1].fsts |= FSTS_PFO;
	assert_int_equal(ops->take_faults(&last), 3);
	assert_int_equal(last.source, 0x12);
	assert_int_equal(last.address, GIB(3));
	assert_int_equal(sim[1].fsts & (FSTS_PFO | FSTS_PPF), 0);
	sim_assert_no_fault();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),	     cmocka_unit_test(test_refused),	     cmocka_unit_test(test_cover),
		cmocka_unit_test(test_take),	     cmocka_unit_test(test_take_deaf),	     cmocka_unit_test(test_on_and_off),
		cmocka_unit_test(test_three_levels), cmocka_unit_test(test_start_deaf),	     cmocka_unit_test(test_invalidate),
		cmocka_unit_test(test_invalidate_deaf_queue), cmocka_unit_test(test_invalidate_deaf_register),
		cmocka_unit_test(test_snoop), cmocka_unit_test(test_wrote),	     cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
