/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Scrim's own boot options, parsed from the loader's command line. */
#pragma once

#include "base/ranges.h"

struct boot_options {
	uint64_t reserve_bytes;     /* reserve=SIZE[K|M|G]: free frames kept for moves; default 4 MiB, page multiple */
	uint64_t shadow_bytes;      /* shadow=SIZE: of each CPU, for the back-ends shadow and vtlb; default 2 MiB, page multiple */
	uint64_t trace_bytes;       /* trace=SIZE: of each CPU, for the ring of its trace; default 64 KiB, page multiple; 0: no tracing */
	bool map_late;              /* map=late | map=boot (default): when the Identity root is built */
	bool dma_free_all;          /* dma-free=all */
	struct range_list dma_free; /* dma-free=A-B[,A-B...]: hex (0x) or decimal with K, M, G; B excluded; page multiples */
	bool console_serial;        /* console=serial, vga, both (default) or none */
	bool console_screen;
};

/*
 * Returns NULL, or the line to print (unknown option, bad number, overlapping or empty range, ...), made in `line` where
 * it has to name the word. `out` has the defaults where the text is silent.
 */
const char *boot_options_parse(const char *text, struct boot_options *out, char *line, size_t line_size) MUST_CHECK;
