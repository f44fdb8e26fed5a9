/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back-end of NATIVE: nothing is composed, nothing inspected, nothing built. The hardware walks the OS's tables and
 * what they say is a machine address. Since there is no table, no page can be displaced.
 */
#include "xlat/xlat.h"

static bool build(struct xlat *xlat)
{
	xlat->root = 0;
	return true;
}

static void drop(struct xlat *xlat)
{
	xlat->root = 0;
}

static bool prepare(struct xlat *xlat, gfn_t page)
{
	(void)xlat, (void)page;
	return false;
}

static void set(struct xlat *xlat, gfn_t page, mfn_t frame, enum mem_access access)
{
	(void)xlat, (void)page, (void)frame, (void)access;
}

static void set_many(struct xlat *xlat, const struct mem_move *move, uint32_t count)
{
	(void)xlat, (void)move, (void)count;
}

static void release(struct xlat *xlat, gfn_t page)
{
	(void)xlat, (void)page;
}

static bool get(const struct xlat *xlat, gfn_t page, mfn_t *frame, enum mem_access *access)
{
	(void)xlat;
	*frame = gfn_home(page);
	*access = MEM_ACCESS_ALL;
	return true;
}

static bool merge_begin(struct xlat *xlat, uint64_t start, uint64_t end)
{
	(void)xlat, (void)start, (void)end;
	return false;
}

static void merge_end(struct xlat *xlat, uint64_t start, uint64_t end)
{
	(void)xlat, (void)start, (void)end;
}

static void tidy(struct xlat *xlat)
{
	(void)xlat;
}

const struct xlat_ops xlat_native = {
	.id = SCRIM_BACKEND_NATIVE,
	.name = "native",
	.build = build,
	.drop = drop,
	.prepare = prepare,
	.set = set,
	.hide = set_many,
	.show = set_many,
	.release = release,
	.get = get,
	.merge_begin = merge_begin,
	.merge_end = merge_end,
	.tidy = tidy,
};
