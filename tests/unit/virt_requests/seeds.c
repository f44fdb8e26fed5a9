/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the scripts that are written by hand: script.c says what each byte is. */
#include "seeds.h"

#include "scrim_abi.h"
#include "script.h"

#define EVERYTHING 0xc0 /* a range's length: all that there is */
#define WHOLE_RAM 0xa1  /* the piece of RAM around the address */
#define TWO_MIB 0xa0
#define WITHIN 4        /* turns: others run within it; */
#define BESIDE (SCRIPT_TURNS << 3)    /* ... and what went before is not over: it has had so many turns, in steps of 8 */

static struct {
	uint8_t *bytes;
	size_t used;
} out;

static void put(uint32_t byte)
{
	if (out.used < SEED_BYTES_MAX)
		out.bytes[out.used++] = (uint8_t)byte;
}

static void put_kind(enum script_kind kind, uint32_t turns)
{
	put(kind);
	put(turns);
}

static void put_request(enum scrim_op op, uint32_t cpu)
{
	put_kind(SCRIPT_REQUEST, cpu);
	put(op);
}

/* `length` comes first. */
static void put_range(uint32_t length, uint32_t page)
{
	put(length);
	put(page & 0xff);
	put(page >> 8);
}

static void advance(uint32_t times, uint32_t turns, uint32_t how)
{
	for (uint32_t i = 0; i < times; i++) {
		put_kind(SCRIPT_ADVANCE, turns + (turns & BESIDE ? i % 3 + i % 12 * 8 : 0));
		put(how);
	}
}

static void put_access(enum script_kind kind, uint32_t turns, uint32_t page, uint32_t value)
{
	put_kind(kind, turns);
	put(page & 0xff);
	put(page >> 8);
	put(value);
	if (kind == SCRIPT_WRITE) {
		put(value);
		put(page);
	}
}

static void touch(uint32_t turns)
{
	for (uint32_t i = 0; i < 12; i++) {
		put_access(SCRIPT_WRITE, turns + i % 3, 200 + 97 * i, i);
		put_access(SCRIPT_READ, turns + (i + 1) % 3, 200 + 97 * i, i);
	}
	put_access(SCRIPT_FILL, turns, 300, 0);
}

static void virtualize(uint32_t portions)
{
	put_request(SCRIM_OP_VIRTUALIZE, 0);
	put(portions);
	put(0);
	put_kind(SCRIPT_VISITS, 0);
}

static void aim(uint32_t length, uint32_t page)
{
	put_request(SCRIM_OP_AIM, 0);
	put_range(length, page);
}

static void scatter(uint32_t turns)
{
	put_request(SCRIM_OP_SCATTER, 0);
	put(7);
	put(0); /* every page */
	advance(18, turns, 255);
}

static void share(uint32_t turns)
{
	put_request(SCRIM_OP_SHARE, 0);
	put(0);
	put(0);
	advance(16, turns, 255);
}

static void devirtualize(uint32_t is_portion, uint32_t page, uint32_t mode)
{
	put_request(SCRIM_OP_DEVIRTUALIZE, 1);
	put(is_portion);
	if (is_portion)
		put_range(TWO_MIB, page);
	put(mode);
}

static void home(uint32_t turns, uint32_t how)
{
	advance(14, turns, how);
	put_kind(SCRIPT_VISITS, 0);
}

/* With programs between the steps that read in one portion (make_portion), so that TLBs are full when its last page has come. */
static void home_at_work(uint32_t turns, uint32_t how)
{
	for (uint32_t i = 0; i < 16; i++) {
		advance(1, turns, how);
		for (uint32_t cpu = 0; cpu < 3; cpu++)
			put_access(SCRIPT_READ, cpu, 450 + 37 * (i % 8) + 10 * cpu, i);
	}
	put_kind(SCRIPT_VISITS, 0);
}

static void make_straight(void)
{
	put(0);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(0);
	touch(0);
	devirtualize(0, 0, 0);
	home(0, 200);
}

static void make_shared(void)
{
	put(1);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(0);
	share(0);
	touch(0);
	devirtualize(0, 0, 1);
	touch(0);
	home(0, 200);
}

static void make_portion(void)
{
	put(2);
	virtualize(1);
	put_request(SCRIM_OP_MANAGE, 0);
	put_range(WHOLE_RAM, 400);
	aim(EVERYTHING, 0);
	scatter(0);
	share(0);
	devirtualize(1, 700, 0);
	home_at_work(1, 223);
	touch(0);
	devirtualize(1, 1000, 0);
	home_at_work(1, 255);
	devirtualize(0, 0, 1);
	home(0, 100);
}

static void make_paused(void)
{
	put(3);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(0);
	devirtualize(0, 0, 0);
	advance(3, BESIDE | WITHIN, 40);
	touch(0);
	advance(1, WITHIN, 255);
	touch(0); /* the same pages, and no switch yet: nobody may use what it knew of them */
	home(BESIDE, 255);
}

static void make_lent(void)
{
	put(0x10);
	put_request(SCRIM_OP_LEND, 0);
	put_range(4, 900);
	virtualize(0);
	put_request(SCRIM_OP_LEND, 0);
	put_range(3, 1600);
	aim(EVERYTHING, 0);
	scatter(0);
	put_request(SCRIM_OP_UNLEND, 0);
	put_range(3, 1600);
	put(1);
	put_kind(SCRIPT_KEXEC, 1);
	touch(0);
	home(0, 100);
}

static void make_retired(void)
{
	put(0);
	virtualize(1);
	put_request(SCRIM_OP_MANAGE, 0);
	put_range(WHOLE_RAM, 400);
	aim(EVERYTHING, 0);
	scatter(0);
	for (uint32_t i = 0; i < 20; i++) {
		put_request(SCRIM_OP_RETIRE, 0);
		put(37 * i);
		put(i % 6);
	}
	devirtualize(1, 700, 0);
	home_at_work(1, 223);
	share(0);
	scatter(0);
	devirtualize(0, 0, 0);
	home(0, 200);
}

static void make_beside(void)
{
	put(SCRIPT_RESTLESS);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(BESIDE | WITHIN);
	touch(BESIDE | WITHIN);
	share(BESIDE | WITHIN);
	touch(BESIDE | WITHIN);
	for (uint32_t i = 0; i < 6; i++) {
		advance(2, BESIDE | WITHIN, 50);
		put_request(SCRIM_OP_REVERSE, 1);
		put(i % 3);
		put(0);
	}
	devirtualize(0, 0, 0);
	advance(3, BESIDE | WITHIN, 60);
	advance(2, BESIDE | WITHIN, 255);
	put_request(SCRIM_OP_ABORT, 2);
	put(0);
	put(0);
	devirtualize(0, 0, 1);
	home(BESIDE | WITHIN, 30);
	touch(BESIDE | WITHIN);
	home(BESIDE | WITHIN, 30);
}

static void make_guarded(void)
{
	put(1);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(0);
	put_kind(SCRIPT_OFFLINE, 2);
	touch(0);
	devirtualize(0, 0, 0);
	home_at_work(0, 200);
	put_kind(SCRIPT_START, 0);
	put(0);
	put_kind(SCRIPT_ARRIVE, 0);
	put_kind(SCRIPT_EOI, 1);
	put_kind(SCRIPT_START, 1);
	put(1);
	put_kind(SCRIPT_ARRIVE, 0);
	touch(0);
}

static void make_reverses(void)
{
	put(0);
	virtualize(0);
	aim(EVERYTHING, 0);
	for (uint32_t i = 0; i < 3; i++) {
		put_request(SCRIM_OP_REVERSE, 0);
		put(i);
		put(0);
		scatter(0);
		put_request(SCRIM_OP_MOVE, 0);
		put(200 + i);
		put(3);
		share(0);
	}
	devirtualize(0, 0, 0);
	advance(2, 0, 20);
	put_request(SCRIM_OP_ABORT, 0);
	put(0);
	put(0);
	touch(0);
	devirtualize(0, 0, 1);
	home(0, 200);
}

/* There is no page for tables when those who share are written to: the reverse's books are given up. */
static void make_poor(void)
{
	put(0);
	virtualize(0);
	aim(EVERYTHING, 0);
	put_request(SCRIM_OP_REVERSE, 0);
	put(1);
	put(0);
	share(0);
	put_kind(SCRIPT_TABLES, 0);
	put(0);
	for (uint32_t i = 0; i < 60; i++)
		put_access(SCRIPT_WRITE, i % 3, 400 + 4 * i, i);
	for (uint32_t i = 0; i < 60; i++)
		put_access(SCRIPT_WRITE, i % 3, 1500 + i, i);
	scatter(0);
	devirtualize(0, 0, 0);
	home(0, 200);
}

/* A CPU does not come to a meeting: nothing has moved, and all comes home without one, or with the next. */
static void make_late(void)
{
	put(0);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(0);
	devirtualize(0, 0, 0);
	put_kind(SCRIPT_DEAF, 2);
	advance(1, 0, 255);
	touch(0);
	home(0, 200);
}

static void watch_by(uint32_t kind, uint32_t writes)
{
	put_request(SCRIM_OP_WATCH, 0);
	put(kind);
	put(2 * writes);
}

static void watch(uint32_t kind)
{
	watch_by(kind, SCRIM_WRITES_GO_ON);
}

/* Reads pages of an image; some are to be kept, and read again. */
static void read_image(uint32_t turns, uint32_t count)
{
	for (uint32_t i = 0; i < 40; i++) {
		put_kind(SCRIPT_REQUEST, turns + i % 3);
		put(SCRIM_OP_IMAGE_READ);
		put((190 + 41 * (i / 2)) & 0xff);
		put((190 + 41 * (i / 2)) >> 8);
		put(i % 2 ? count : 5);
		put(0);
	}
}

/* An image that runs out of frames; one with pages displaced and shared, lent frames for its copies, writes before and beside its reader; one given up. */
static void make_image(void)
{
	put(0x30);
	virtualize(0);
	watch(SCRIM_WATCH_IMAGE);
	for (uint32_t i = 0; i < 40; i++)
		put_access(SCRIPT_WRITE, i % 3, 200 + 41 * i, i);
	put_request(SCRIM_OP_IMAGE_READ, 1);
	put(200);
	put(0);
	put(1);
	put(0);
	put_request(SCRIM_OP_LEND, 0);
	put_range(3, 1600);
	aim(EVERYTHING, 0);
	scatter(0);
	share(0);
	watch(SCRIM_WATCH_IMAGE);
	touch(0);
	read_image(0, 0);
	touch(BESIDE | WITHIN);
	read_image(BESIDE | WITHIN, 1);
	watch(SCRIM_WATCH_NONE);
	touch(0);
	watch_by(SCRIM_WATCH_IMAGE, SCRIM_WRITES_WAIT);
	touch(BESIDE | WITHIN);
	put_kind(SCRIPT_OFFLINE, 2);
	devirtualize(0, 0, 0);
	home(0, 200);
	virtualize(0);
	aim(EVERYTHING, 0);
	scatter(0);
}

static void make_noted(void)
{
	put(1);
	virtualize(0);
	/* Of two pages that share, the one at home is written: the other one has to go, and has not been written. */
	aim(2, 308);
	share(0);
	watch(SCRIM_WATCH_DIRTY);
	put_access(SCRIPT_WRITE, 0, 323, 1); /* from here on the right to write is a matter of single pages there */
	put_access(SCRIPT_WRITE, 0, 308, 1);
	put_access(SCRIPT_READ, 1, 313, 1);
	put_access(SCRIPT_WRITE, 2, 312, 1);
	put_request(SCRIM_OP_DIRTY, 0);
	put(308 & 0xff);
	put(308 >> 8);
	put(1);
	watch(SCRIM_WATCH_NONE);
	aim(EVERYTHING, 0);
	scatter(0);
	share(0);
	for (uint32_t round = 0; round < 3; round++) {
		watch(SCRIM_WATCH_DIRTY);
		touch(round == 1 ? BESIDE | WITHIN : 0);
		advance(30, 0, 33 * round + 1);
		watch(SCRIM_WATCH_NONE);
	}
	watch(SCRIM_WATCH_DIRTY);
	put_kind(SCRIPT_KEXEC, 1);
	touch(0);
	home(0, 200);
}

size_t seed_make(uint32_t number, uint8_t *bytes)
{
	static void (*const make[SEEDS])(void) = { make_straight, make_shared, make_portion,	make_paused,
						   make_lent,	  make_beside, make_guarded, make_reverses,
						   make_poor,	  make_late,  make_image,   make_noted,	 make_retired };

	out.bytes = bytes;
	out.used = 0;
	make[number]();
	return out.used;
}
