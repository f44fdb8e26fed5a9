/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot: what is in the file, and what is left of the machine and the file where it does not come to one. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "harness.h"

#define DIRECT 0xffff888000000000ull
#define TEXT   0xffffffff81000000ull

static const struct range small_ram[] = { { 0x1230800, 0x1250000 }, { 0x40000000, 0x40010800 } };
#define SMALL_PAGES (0x1fu + 0x10u)

static char directory[] = "/tmp/test_snapshot.XXXXXX";
static char path[64], line[128], kcore[64], vmcoreinfo[64];

static int setup(void **state)
{
	harness_setup(state);
	fake->memory.ram = small_ram;
	fake->memory.ram_count = COUNT(small_ram);
	strcpy(directory + sizeof("/tmp/test_snapshot"), "XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/image", directory);
	snprintf(line, sizeof(line), "snapshot -o %s", path);
	snprintf(kcore, sizeof(kcore), "%s/kcore", directory);
	snprintf(vmcoreinfo, sizeof(vmcoreinfo), "%s/vmcoreinfo", directory);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	unlink(kcore);
	unlink(vmcoreinfo);
	/* Nothing else was left there, under whatever name. */
	assert_int_equal(rmdir(directory), 0);
	files = (struct kernel_files){ .kcore = "/nonexistent", .vmcoreinfo = "/nonexistent" };
	return harness_teardown(state);
}

#define SNAPSHOT_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static uint8_t *read_file(const char *name, size_t *size)
{
	FILE *file = fopen(name, "rb");
	uint8_t *data = malloc(1 << 20);

	assert_non_null(file);
	assert_non_null(data);
	*size = fread(data, 1, 1 << 20, file);
	fclose(file);
	return data;
}

/* As Linux has them: a piece without physical memory, the kernel's text, the direct map. */
static void make_kernel_files(void)
{
	const Elf64_Ehdr header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 },
				    .e_phoff = sizeof(header), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 4 };
	const Elf64_Phdr entries[] = {
		{ .p_type = PT_NOTE },
		{ .p_type = PT_LOAD, .p_vaddr = 0xffffc90000000000ull, .p_paddr = UINT64_MAX, .p_memsz = 1ull << 45 },
		{ .p_type = PT_LOAD, .p_vaddr = TEXT, .p_paddr = 0x1240000, .p_memsz = 0x3000 },
		{ .p_type = PT_LOAD, .p_vaddr = DIRECT + 0x1000, .p_paddr = 0x1000, .p_memsz = 0x50000000 },
	};
	FILE *file = fopen(kcore, "wb");

	assert_non_null(file);
	fwrite(&header, sizeof(header), 1, file);
	fwrite(entries, sizeof(entries), 1, file);
	fclose(file);
	file = fopen(vmcoreinfo, "w");
	assert_non_null(file);
	fprintf(file, "0x%llx 1024\n", (unsigned long long)FAKE_NOTE_PAGE);
	fclose(file);
	files = (struct kernel_files){ .kcore = kcore, .vmcoreinfo = vmcoreinfo };
}

static const Elf64_Phdr *phdr(const uint8_t *data, unsigned number)
{
	const Elf64_Ehdr *header = (const void *)data;

	return (const void *)(data + header->e_phoff + number * sizeof(Elf64_Phdr));
}

static void assert_load(const uint8_t *data, size_t size, unsigned number, Elf64_Phdr want)
{
	const Elf64_Phdr *load = phdr(data, number);

	assert_int_equal(load->p_type, PT_LOAD);
	assert_int_equal(load->p_paddr, want.p_paddr);
	assert_int_equal(load->p_vaddr, want.p_vaddr);
	assert_int_equal(load->p_filesz, want.p_filesz);
	assert_int_equal(load->p_memsz, want.p_filesz);
	assert_int_equal(load->p_offset % 4096, 0);
	assert_true(load->p_offset + load->p_filesz <= size);
	for (uint64_t at = 0; at < load->p_filesz; at += 8) {
		uint64_t page = (load->p_paddr + at) / 4096;

		if (page != FAKE_NOTE_PAGE / 4096 || fake->watch.no_note)
			assert_int_equal(*(const uint64_t *)(const void *)(data + load->p_offset + at),
					 fake_image_word(page, (unsigned)(at % 4096 / 8)));
	}
}

/* The note after this one. */
static const uint8_t *assert_note(const uint8_t *note, const char *name, uint32_t type, uint32_t bytes)
{
	const Elf64_Nhdr *header = (const void *)note;

	assert_int_equal(header->n_namesz, strlen(name) + 1);
	assert_string_equal((const char *)note + sizeof(*header), name);
	assert_int_equal(header->n_type, type);
	assert_int_equal(header->n_descsz, bytes);
	return note + sizeof(*header) + (header->n_namesz + 3) / 4 * 4 + (bytes + 3) / 4 * 4;
}

static uint64_t word_at(const uint8_t *data, size_t offset)
{
	uint64_t word;

	memcpy(&word, data + offset, sizeof(word));
	return word;
}

/* Offsets are those of Linux's struct elf_prstatus and of QEMU's QEMUCPUState. */
static const uint8_t *assert_cpu(const uint8_t *note, uint64_t cpu)
{
	const uint8_t *status = note + 20, *next = assert_note(note, "CORE", NT_PRSTATUS, 336), *qemu = next + 20;
	const uint64_t attributes = fake_image_register(cpu, SCRIM_REG_CS + SCRIM_SEG_ATTRIBUTES);

	assert_int_equal(word_at(status, 32) & UINT32_MAX, cpu + 1);
	assert_int_equal(word_at(status, 112), fake_image_register(cpu, SCRIM_REG_R15));
	assert_int_equal(word_at(status, 112 + 10 * 8), fake_image_register(cpu, SCRIM_REG_RAX));
	assert_int_equal(word_at(status, 112 + 16 * 8), fake_image_register(cpu, SCRIM_REG_RIP));
	assert_int_equal(word_at(status, 112 + 19 * 8), fake_image_register(cpu, SCRIM_REG_RSP));
	assert_int_equal(word_at(status, 112 + 22 * 8), fake_image_register(cpu, SCRIM_REG_GS + SCRIM_SEG_BASE));
	next = assert_note(next, "QEMU", 0, 440);
	assert_int_equal(word_at(qemu, 0), 440ull << 32 | 1);
	assert_int_equal(word_at(qemu, 8), fake_image_register(cpu, SCRIM_REG_RAX));
	assert_int_equal(word_at(qemu, 72), fake_image_register(cpu, SCRIM_REG_R8));
	assert_int_equal(word_at(qemu, 136), fake_image_register(cpu, SCRIM_REG_RIP));
	assert_int_equal(word_at(qemu, 152 + 8) & UINT32_MAX, (attributes & 0xff) << 8 | (attributes & 0xf00) << 12);
	assert_int_equal(word_at(qemu, 152 + 16), fake_image_register(cpu, SCRIM_REG_CS + SCRIM_SEG_BASE));
	assert_int_equal(word_at(qemu, 152 + 9 * 24 + 16), fake_image_register(cpu, SCRIM_REG_IDT + SCRIM_SEG_BASE));
	assert_int_equal(word_at(qemu, 392), fake_image_register(cpu, SCRIM_REG_CR0));
	assert_int_equal(word_at(qemu, 392 + 3 * 8), fake_image_register(cpu, SCRIM_REG_CR3));
	assert_int_equal(word_at(qemu, 432), fake_image_register(cpu, SCRIM_REG_KERNEL_GS_BASE));
	return next;
}

static void assert_nothing_watched(enum scrim_state state)
{
	assert_int_equal(fake->watch.kind, SCRIM_WATCH_NONE);
	assert_int_equal(fake->state, state);
}

static void test_image(void **state)
{
	const uint8_t *note;
	uint8_t *data;
	size_t size;

	(void)state;
	make_kernel_files();
	fake->watch.faults = 9;
	assert_done(line);
	assert_printed("1000 frame(s) at hand: 3.9 MiB of pages may be written before they have been read");
	assert_printed("image of 188.0 KiB and 4 CPU(s), as of one instant");
	assert_printed("77 page(s) were copied");
	assert_null(strstr(out, "waited"));
	assert_int_equal(fake->watch.writes, SCRIM_WRITES_GO_ON);
	assert_nothing_watched(SCRIM_NATIVE);
	assert_int_equal(fake->watch.reads, SMALL_PAGES);
	data = read_file(path, &size);
	assert_int_equal(((Elf64_Ehdr *)(void *)data)->e_phnum, 4);
	assert_int_equal(phdr(data, 0)->p_type, PT_NOTE);
	assert_load(data, size, 1, (Elf64_Phdr){ .p_paddr = 0x1231000, .p_vaddr = DIRECT + 0x1231000, .p_filesz = 0x1f000 });
	assert_load(data, size, 2, (Elf64_Phdr){ .p_paddr = 0x40000000, .p_vaddr = DIRECT + 0x40000000, .p_filesz = 0x10000 });
	assert_load(data, size, 3, (Elf64_Phdr){ .p_paddr = 0x1240000, .p_vaddr = TEXT, .p_filesz = 0x3000 });
	assert_int_equal(phdr(data, 3)->p_offset, phdr(data, 1)->p_offset + 0x1240000 - 0x1231000);
	assert_int_equal(phdr(data, 2)->p_offset + phdr(data, 2)->p_filesz, size);
	note = data + phdr(data, 0)->p_offset;
	for (uint64_t cpu = 0; cpu < 4; cpu++)
		note = assert_cpu(note, cpu);
	assert_memory_equal(note + 24, FAKE_NOTE_TEXT, sizeof(FAKE_NOTE_TEXT) - 1);
	note = assert_note(note, "VMCOREINFO", 0, sizeof(FAKE_NOTE_TEXT) - 1);
	assert_ptr_equal(note, data + phdr(data, 0)->p_offset + phdr(data, 0)->p_filesz);
	free(data);
}

/* Without the kernel's files, lent memory left out, in VIRTUALIZED, to a file that is there, compressed. */
static void test_image_plain(void **state)
{
	struct stat found;
	uint8_t *packed, *data = malloc(1 << 20);
	size_t size;

	(void)state;
	assert_non_null(data);
	fake_virtualize(fake, 3);
	fake->watch.no_note = true;
	fake_ranges_add(&fake->memory.lent, (struct range){ 0x1240000, 0x1248000 });
	fclose(fopen(path, "w"));
	strcat(line, " --compress zstd");
	assert_done(line);
	assert_nothing_watched(SCRIM_VIRTUALIZED);
	assert_int_equal(stat(path, &found), 0);
	assert_int_equal(found.st_mode & 0777, 0600);
	packed = read_file(path, &size);
	size = ZSTD_decompress(data, 1 << 20, packed, size);
	assert_false(ZSTD_isError(size));
	assert_int_equal(((Elf64_Ehdr *)(void *)data)->e_phnum, 4);
	assert_load(data, size, 1, (Elf64_Phdr){ .p_paddr = 0x1231000, .p_vaddr = 0x1231000, .p_filesz = 0xf000 });
	assert_load(data, size, 2, (Elf64_Phdr){ .p_paddr = 0x1248000, .p_vaddr = 0x1248000, .p_filesz = 0x8000 });
	assert_load(data, size, 3, (Elf64_Phdr){ .p_paddr = 0x40000000, .p_vaddr = 0x40000000, .p_filesz = 0x10000 });
	free(packed);
	free(data);
}

static void test_image_to_pipe(void **state)
{
	(void)state;
	assert_int_equal(run("snapshot -o -"), EXIT_DONE);
	assert_non_null(strstr(err, "image of 188.0 KiB"));
	assert_memory_equal(out, ELFMAG, SELFMAG);
	assert_load((const uint8_t *)out, out_size, 2,
		    (Elf64_Phdr){ .p_paddr = 0x40000000, .p_vaddr = 0x40000000, .p_filesz = 0x10000 });
}

static void test_paused(void **state)
{
	(void)state;
	strcat(line, " --paused");
	assert_done(line);
	assert_int_equal(fake->watch.writes, SCRIM_WRITES_WAIT);
	assert_printed("where it is more, writes wait, but that is too few on a busy machine");
	assert_printed("writes waited for it for 0.2 s, of all CPUs together");
	assert_nothing_watched(SCRIM_NATIVE);
	fake->watch.frames = 2000;
	assert_done(line);
	assert_printed("where it is more, writes wait\n");
	fake->watch.fail_at = 20;
	assert_refused(line, "what does not wait wrote more pages");
	assert_nothing_watched(SCRIM_NATIVE);
}

static void test_refused(void **state)
{
	(void)state;
	fake->watch.kind = SCRIM_WATCH_DIRTY;
	assert_refused(line, "scrimctl snapshot --cancel");
	assert_int_equal(fake->watch.kind, SCRIM_WATCH_DIRTY);
	fake->watch.kind = SCRIM_WATCH_NONE;
	assert_refused("snapshot -o /nonexistent/image", "no file can be made");
	assert_refused("snapshot -o /dev/null", "no regular file");
	assert_int_equal(fake->watch.begun, 0);
	refuse(SCRIM_OP_WATCH, SCRIM_ECPU, 0);
	assert_int_equal(run(line), EXIT_REFUSED);
	assert_one_complaint();
	assert_nothing_watched(SCRIM_NATIVE);
	fake->refuse = false;
	fake_virtualize(fake, 200);
	assert_done("devirtualize --batch 256");
	fake_begin(fake, SCRIM_CEASING);
	assert_refused(line, "devirtualize is unfinished");
}

static void test_out_of_frames(void **state)
{
	(void)state;
	fake->watch.fail_at = 20;
	assert_refused(line, "take it with --paused, lend memory with scrimctl lend");
	assert_nothing_watched(SCRIM_NATIVE);
	assert_int_not_equal(access(path, F_OK), 0);
	fake->watch.fail_at = 0;
	fake->watch.faults = UINT32_MAX;
	assert_done(line);
	assert_nothing_watched(SCRIM_NATIVE);
}

/* Every refusal of a request in the midst of it. */
static void test_refused_on_the_way(void **state)
{
	static const struct {
		enum scrim_op op;
		uint32_t status;
	} refusals[] = { { SCRIM_OP_IMAGE_READ, SCRIM_EFAULT },
			 { SCRIM_OP_IMAGE_READ, SCRIM_ESTATE },
			 { SCRIM_OP_IMAGE_READ, SCRIM_ENOTRAM },
			 { SCRIM_OP_IMAGE_CPU, SCRIM_EBADREQ } };

	(void)state;
	for (size_t i = 0; i < COUNT(refusals); i++) {
		refuse(refusals[i].op, refusals[i].status, SCRIM_VIRTUALIZED);
		assert_int_equal(run(line), EXIT_REFUSED);
		assert_one_complaint();
		assert_nothing_watched(SCRIM_NATIVE);
		assert_int_not_equal(access(path, F_OK), 0);
	}
	assert_int_equal(fake->watch.begun, COUNT(refusals));
}

static void test_interrupted(void **state)
{
	static const enum scrim_state from[] = { SCRIM_NATIVE, SCRIM_VIRTUALIZED };

	(void)state;
	for (size_t i = 0; i < COUNT(from); i++) {
		for (unsigned at_request = 1;; at_request++) {
			enum exit_code code;

			setup(state);
			if (from[i] == SCRIM_VIRTUALIZED)
				fake_virtualize(fake, 0);
			fake->signal_at = at_request;
			code = run(line);
			assert_nothing_watched(from[i]);
			if (code != EXIT_DONE) {
				assert_one_complaint();
				assert_int_not_equal(access(path, F_OK), 0);
			}
			teardown(state);
			if (fake->interrupted == 0)
				break;
			assert_true(at_request < 1000);
		}
	}
	setup(state);
}

/* Whatever a killed run leaves, --cancel and devirtualize end. */
static void test_killed(void **state)
{
	unsigned requests;

	fake_virtualize(fake, 0);
	assert_int_equal(run("snapshot -o -"), EXIT_DONE);
	requests = fake->requests;
	harness_setup(state);
	fake->memory.ram = small_ram;
	fake->memory.ram_count = COUNT(small_ram);
	fake_virtualize(fake, 0);
	fake->kill_at = requests - 1; /* the last is the watch's end */
	assert_int_equal(run_in_child("snapshot -o -"), FAKE_KILLED);
	assert_int_equal(fake->watch.kind, SCRIM_WATCH_IMAGE);
	fake->kill_at = 0;
	assert_refused("move 0x20000000", "scrimctl snapshot --cancel");
	assert_refused(line, "scrimctl snapshot --cancel");
	assert_done("snapshot --cancel");
	assert_printed("the image is ended, nothing is read-only any more; the state is virtualized");
	assert_nothing_watched(SCRIM_VIRTUALIZED);
	assert_done("snapshot --cancel");
	assert_printed("memory is not watched; nothing was done");
	assert_done("devirtualize");
}

/* In memory, which has files without a name. */
static void test_killed_leaves_no_file(void **state)
{
	char place[] = "/dev/shm/test_snapshot.XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(place));
	snprintf(line, sizeof(line), "snapshot -o %s/image", place);
	fake_virtualize(fake, 0);
	fake->kill_at = 200;
	assert_int_equal(run_in_child(line), FAKE_KILLED);
	assert_int_equal(fake->watch.kind, SCRIM_WATCH_IMAGE);
	assert_int_equal(rmdir(place), 0);
}

static void test_usage(void **state)
{
	(void)state;
	assert_usage("snapshot");
	assert_usage("snapshot image");
	assert_usage("snapshot -o");
	assert_usage("snapshot -o image --compress gzip");
	assert_usage("snapshot --cancel -o image");
	assert_usage("snapshot --cancel --paused");
}

int tests_of_snapshot(void)
{
	const struct CMUnitTest tests[] = {
		SNAPSHOT_TEST(test_image),	  SNAPSHOT_TEST(test_image_plain),
		SNAPSHOT_TEST(test_image_to_pipe), SNAPSHOT_TEST(test_paused),
		SNAPSHOT_TEST(test_refused),
		SNAPSHOT_TEST(test_out_of_frames), SNAPSHOT_TEST(test_refused_on_the_way),
		SNAPSHOT_TEST(test_interrupted),  SNAPSHOT_TEST(test_killed),
		SNAPSHOT_TEST(test_killed_leaves_no_file), SNAPSHOT_TEST(test_usage),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
