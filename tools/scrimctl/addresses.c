/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses on a command line: all are read before the first is used. */
#include "addresses.h"

#include <stdlib.h>

#include "number.h"

uint64_t *addresses_parse(const struct session *session, const char *verb, char **words, int count, enum exit_code *code)
{
	uint64_t *addresses = calloc((size_t)count, sizeof(*addresses));

	if (addresses == NULL) {
		complain(session, "%s refused, no memory for %d addresses; give fewer at a time", verb, count);
		*code = EXIT_REFUSED;
		return NULL;
	}
	for (int i = 0; i < count; i++) {
		if (!number_parse(words[i], &addresses[i])) {
			complain(session, "%s is no address, nothing was done; write it as 0x40000000, 1073741824 or 1G", words[i]);
			free(addresses);
			*code = EXIT_USAGE;
			return NULL;
		}
	}
	return addresses;
}
