/* SPDX-License-Identifier: BSD-2-Clause */
/* Owns the choice of the reverse, and what the three have in common: sweeps over P2M and the question. */
#include "mem/reverse.h"

static const struct reverse_ops *const all[MEM_REVERSE_COUNT] = {
	[MEM_REVERSE_SEARCH] = &reverse_search,
	[MEM_REVERSE_REFCOUNT] = &reverse_refcount,
	[MEM_REVERSE_BACKMAP] = &reverse_backmap,
};

enum mem_reverse mem_reverse_in_use(const struct mem *mem) { return mem->reverse->id; }

/* Old books and new books stand side by side for a moment, so that the new ones may fail. */
err_t mem_use_reverse(struct mem *mem, enum mem_reverse reverse)
{
	if ((unsigned int)reverse >= MEM_REVERSE_COUNT)
		return SCRIM_EINVAL;
	if (mem->in_flight > 0)
		return SCRIM_ESTATE;
	if (mem->reverse == all[reverse])
		return SCRIM_OK;
	if (!all[reverse]->build(mem)) {
		all[reverse]->drop(mem);
		return SCRIM_ENOTABLE;
	}
	mem->reverse->drop(mem);
	mem->reverse = all[reverse];
	frames_cache_clear(mem);
	return SCRIM_OK;
}

bool reverse_each_displaced(struct mem *mem, reverse_each_fn each)
{
	for (uint64_t chunk = 0; chunk < mem->chunk_count; chunk++) {
		const struct p2m_slot *slot = &mem->root[chunk];

		for (uint32_t i = 0; slot->displaced > 0 && i < P2M_CHUNK_PAGES; i++) {
			gfn_t page = p2m_page(chunk, i);
			uint64_t entry = slot->leaf->entry[i];

			if (p2m_is_displaced(entry, page) && !each(mem, page, entry))
				return false;
		}
	}
	return true;
}

bool reverse_sweep_for(struct mem *mem, mfn_t frame, gfn_t *page)
{
	for (uint64_t chunk = 0; chunk < mem->chunk_count; chunk++)
		for (uint32_t i = 0; mem->root[chunk].displaced > 0 && i < P2M_CHUNK_PAGES; i++) {
			uint64_t entry = mem->root[chunk].leaf->entry[i];

			*page = p2m_page(chunk, i);
			if (p2m_is_displaced(entry, *page) && p2m_entry_frame(entry).n == frame.n)
				return true;
		}
	return false;
}

void reverse_ask(struct mem *mem, bool absent_too, bool names_one)
{
	mem->question.count = 0;
	mem->question.absent_too = absent_too;
	mem->question.names_one = names_one;
}

/* Kept sorted; a frame is asked about once. Frames mostly come in order or are few. */
void reverse_add(struct mem *mem, mfn_t frame)
{
	struct mem_question *question = &mem->question;
	uint32_t i = question->count;

	if (reverse_place(question, frame) >= 0)
		return;
	for (; i > 0 && question->frame[i - 1].n > frame.n; i--)
		question->frame[i] = question->frame[i - 1];
	question->frame[i] = frame;
	question->count++;
}

int32_t reverse_place(const struct mem_question *question, mfn_t frame)
{
	uint32_t low = 0, high = question->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (question->frame[middle].n < frame.n)
			low = middle + 1;
		else
			high = middle;
	}
	return low < question->count && question->frame[low].n == frame.n ? (int32_t)low : -1;
}

void reverse_get_answers(struct mem *mem)
{
	for (uint32_t i = 0; i < mem->question.count; i++)
		mem->question.strangers[i] = 0;
	if (mem->question.count > 0)
		mem->reverse->answer(mem);
}

/* Frames are asked about because a page that shares them leaves: whoever else is there has no right to write. */
static bool sweep_page(struct mem *mem, gfn_t page, uint64_t entry)
{
	struct mem_question *question = &mem->question;
	enum mem_access access = p2m_entry_access(entry);

	if (access == MEM_ACCESS_ALL || (access == MEM_ACCESS_NONE && !question->absent_too))
		return true;

	int32_t place = reverse_place(question, p2m_entry_frame(entry));

	if (place >= 0 && question->strangers[place] < 2) {
		question->strangers[place]++;
		question->stranger[place] = page;
	}
	return true;
}

void reverse_sweep(struct mem *mem) { (void)reverse_each_displaced(mem, sweep_page); }
