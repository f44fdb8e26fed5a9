/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of CPU numbers: one bit each in words that grow with the largest member, so no number of CPUs is built in. */
#include "cpu_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool cpu_list_add(struct cpu_list *list, unsigned cpu)
{
	size_t word = cpu / CPU_LIST_WORD_BITS;

	if (cpu >= CPU_LIST_LIMIT)
		return false;
	if (word >= list->word_count) {
		unsigned long *words = realloc(list->words, (word + 1) * sizeof(*words));

		if (words == NULL)
			return false;
		memset(words + list->word_count, 0, (word + 1 - list->word_count) * sizeof(*words));
		list->words = words;
		list->word_count = word + 1;
	}
	list->words[word] |= 1ul << (cpu % CPU_LIST_WORD_BITS);
	return true;
}

bool cpu_list_has(const struct cpu_list *list, unsigned cpu)
{
	size_t word = cpu / CPU_LIST_WORD_BITS;

	return word < list->word_count && (list->words[word] >> (cpu % CPU_LIST_WORD_BITS) & 1) != 0;
}

unsigned cpu_list_next(const struct cpu_list *list, unsigned from)
{
	for (unsigned cpu = from; cpu / CPU_LIST_WORD_BITS < list->word_count; cpu++)
		if (cpu_list_has(list, cpu))
			return cpu;
	return CPU_LIST_LIMIT;
}

/* A CPU number at *text, which moves behind it. */
static bool parse_cpu(const char **text, unsigned *cpu)
{
	char *end;
	unsigned long value;

	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	value = strtoul(*text, &end, 10);
	if (errno != 0 || value >= CPU_LIST_LIMIT)
		return false;
	*text = end;
	*cpu = (unsigned)value;
	return true;
}

static bool parse_range(const char **text, struct cpu_list *list)
{
	unsigned first, last;

	if (!parse_cpu(text, &first))
		return false;
	last = first;
	if (**text == '-') {
		(*text)++;
		if (!parse_cpu(text, &last) || last < first)
			return false;
	}
	for (unsigned cpu = first; cpu <= last; cpu++)
		if (!cpu_list_add(list, cpu))
			return false;
	return true;
}

bool cpu_list_parse(const char *text, struct cpu_list *list)
{
	bool good = true;

	while (good && *text != '\n' && *text != '\0') {
		good = parse_range(&text, list);
		if (good && *text == ',')
			good = *++text >= '0' && *text <= '9';
		else
			good = good && (*text == '\n' || *text == '\0');
	}
	if (!good)
		cpu_list_free(list);
	return good;
}

void cpu_list_free(struct cpu_list *list)
{
	free(list->words);
	*list = (struct cpu_list){ 0 };
}
