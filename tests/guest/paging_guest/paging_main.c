/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paging test guest: the order of its cases, then the verdict. Words of its command line:
 *
 *     backend=none|nested|shadow|vtlb   what Scrim is asked for; none: nothing (the default)
 *     second=only                       a second CPU is started, and only what it takes part in is run
 *     thin=N                            every Nth combination of flags (the default: all)
 *     quirks=none|tcg|bochs             which differences from the manual the machine is known for (the default: tcg)
 */
#include "paging.h"

#include "../kernel/multiboot.h"

#define DEBUG_EXIT_PORT 0xf4u
#define DEBUG_EXIT_OK 0x10u
#define DEBUG_EXIT_BAD 0x11u
#define SCATTER_EVERY 701u
#define SHARE_EVERY 89u
#define SECOND_SELDOM 8u /* how much more seldom with a second CPU, which has to be kicked each time */
#define THIN_AGAIN 7u /* for the passes after the first */

static bool word_is(const char *at, const char *word)
{
	while (*word != '\0' && *at == *word) {
		at++;
		word++;
	}
	return *word == '\0' && (*at == '\0' || *at == ' ');
}

/* What stands behind NAME= in the command line, or NULL. */
static const char *option(const char *line, const char *name)
{
	for (; *line != '\0'; line++) {
		const char *at = line, *wanted = name;

		while (*wanted != '\0' && *at == *wanted) {
			at++;
			wanted++;
		}
		if (*wanted == '\0')
			return at;
	}
	return NULL;
}

static enum drive_backend option_backend(const char *line)
{
	static const char *const names[DRIVE_BACKENDS] = { "none", "nested", "shadow", "vtlb" };
	const char *value = option(line, "backend=");

	for (uint32_t i = 0; value != NULL && i < DRIVE_BACKENDS; i++)
		if (word_is(value, names[i]))
			return (enum drive_backend)i;
	if (value != NULL)
		console_check("backend= is none, nested, shadow or vtlb", false);
	return DRIVE_NONE;
}

static uint32_t option_thin(const char *line)
{
	const char *value = option(line, "thin=");
	uint32_t thin = 0;

	for (; value != NULL && *value >= '0' && *value <= '9'; value++)
		thin = thin * 10 + (uint32_t)(*value - '0');
	return thin == 0 ? 1 : thin;
}

static uint32_t option_quirks(const char *line)
{
	const char *value = option(line, "quirks=");

	if (value == NULL || word_is(value, "tcg"))
		return QUIRKS_TCG;
	return word_is(value, "bochs") ? QUIRKS_BOCHS : 0;
}

static void pass(const char *name, uint32_t thin)
{
	bool second = second_is_there();

	console_print("pass: %s\n", name);
	for (uint32_t mode = MODE_TWO; mode < MODE_COUNT; mode++) {
		if (!mode_is_there((enum mode)mode)) {
			console_print("%s: this machine has not\n", mode_shapes[mode].name);
			continue;
		}
		mode_enter((enum mode)mode);
		if (second) {
			second_run();
			continue;
		}
		tables_run();
		storm_run();
		pointers_run();
		flags_run(thin);
	}
	if (!second)
		switches_run();
	mode_enter(MODE_FLAT);
}

void paging_main(void)
{
	const struct multiboot_info *loader = memory_at(entry_ebx);
	const char *line = (loader->flags & MULTIBOOT_COMMAND_LINE) != 0 ? memory_at(loader->command_line) : "";
	enum drive_backend backend;
	uint32_t thin;
	bool second;

	console_start();
	console_print("paging guest: start\n");
	backend = option_backend(line);
	thin = option_thin(line);
	modes_start(option_quirks(line));
	second = option(line, "second=") != NULL && word_is(option(line, "second="), "only");
	/* A CPU has arrived in its OS once it has loaded CR3 with paging on: until then Scrim guards its start. */
	mode_enter(MODE_FOUR);
	cr3_write(cr3_read());
	mode_enter(MODE_FLAT);
	if (second)
		second_start();
	drive_begin(backend);
	drive_set_disturbance(DISTURB_SCATTER);
	probe_disturb_every(second ? SCATTER_EVERY * SECOND_SELDOM / 2 : SCATTER_EVERY);
	pass("scattered", thin);
	drive_set_disturbance(DISTURB_SHARE);
	probe_disturb_every(second ? SHARE_EVERY * SECOND_SELDOM : SHARE_EVERY);
	pass("shared", thin * THIN_AGAIN);
	probe_disturb_every(0);
	drive_end();
	pass("home", thin * THIN_AGAIN);
	console_check("all cases are as the model says", probe_verdict());
	console_print("paging guest: %s\n", console_all_held() ? "ok" : "FAILURE");
	port_write32(DEBUG_EXIT_PORT, console_all_held() ? DEBUG_EXIT_OK : DEBUG_EXIT_BAD);
}
