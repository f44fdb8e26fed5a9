/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the OS's memory blocks: pieces of RAM that it can put offline, after which it touches them no more. */
#pragma once

#include "ranges.h"

struct block {
	uint64_t number; /* the OS's */
	struct range range;
	bool online;
	bool removable; /* the OS says that it may try */
	bool movable;   /* holds only what can be moved elsewhere, so that it will succeed */
};

/* Zeroed: the empty list. */
struct block_list {
	struct block *items;
	size_t count;
};

/* Replaced by a fake machine in unit tests. */
struct block_ops {
	/* Fills the empty list, to be freed in every case: 0, or an errno; ENOENT: this kernel has no such blocks. */
	int (*list)(void *context, struct block_list *list);
	/* 0 or an errno; EINTR where a signal came first. Can take seconds: the OS moves what is in the block. */
	int (*set_online)(void *context, uint64_t number, bool online);
};

extern const struct block_ops linux_blocks;

/* False: no memory. */
bool blocks_add(struct block_list *list, struct block block) MUST_CHECK;
void blocks_free(struct block_list *list);
