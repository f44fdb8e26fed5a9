/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides what a pretended machine does for many moves at once, put together from what it does for one page. */
#pragma once

#include "mem/mem_port.h"

/* Defines map_hide(), map_show() and copy() of struct mem_port_ops by means of a map_set() and a copy_page(context, to, from, offset, bytes). */
#define PORT_BY_PAGE(map_set, copy_page)                                                                                  \
	static void map_hide(void *context, const struct mem_move *move, uint32_t count)                                  \
	{                                                                                                                 \
		for (uint32_t i = 0; i < count; i++)                                                                      \
			map_set(context, move[i].page, move[i].from, MEM_ACCESS_NONE);                                    \
	}                                                                                                                 \
                                                                                                                          \
	static void map_show(void *context, const struct mem_move *move, uint32_t count)                                  \
	{                                                                                                                 \
		for (uint32_t i = 0; i < count; i++)                                                                      \
			map_set(context, move[i].page, move[i].to, MEM_ACCESS_ALL);                                       \
	}                                                                                                                 \
                                                                                                                          \
	static void copy(void *context, const struct mem_move *move, uint32_t count, uint32_t offset, uint32_t bytes)     \
	{                                                                                                                 \
		for (uint32_t i = 0; i < count; i++)                                                                      \
			copy_page(context, move[i].to, move[i].from, offset, bytes);                                      \
	}                                                                                                                 \
	_Static_assert(true, "ends with a semicolon")
