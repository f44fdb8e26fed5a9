/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of memory blocks. */
#include "blocks.h"

#include <stdlib.h>

bool blocks_add(struct block_list *list, struct block block)
{
	struct block *items = realloc(list->items, (list->count + 1) * sizeof(*items));

	if (items == NULL)
		return false;
	items[list->count++] = block;
	list->items = items;
	return true;
}

void blocks_free(struct block_list *list)
{
	free(list->items);
	*list = (struct block_list){ 0 };
}
