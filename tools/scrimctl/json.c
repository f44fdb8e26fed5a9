/* SPDX-License-Identifier: BSD-2-Clause */
/* Building JSON: running out of memory turns the whole tree into NULL, so that no half of it is ever printed. */
#include "json.h"

#include <inttypes.h>

json_t *json_address(uint64_t address)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	return json_string(text);
}

json_t *json_count(uint64_t count)
{
	return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

void json_put(json_t **object, const char *key, json_t *value)
{
	if (*object == NULL) {
		json_decref(value);
	} else if (json_object_set_new(*object, key, value) != 0) {
		json_decref(*object);
		*object = NULL;
	}
}

void json_append(json_t **array, json_t *value)
{
	if (*array == NULL) {
		json_decref(value);
	} else if (json_array_append_new(*array, value) != 0) {
		json_decref(*array);
		*array = NULL;
	}
}

enum exit_code json_print(const struct session *session, json_t *root)
{
	int result = root == NULL ? -1 : json_dumpf(root, session->out, JSON_INDENT(2));

	json_decref(root);
	if (result != 0) {
		complain(session, "no memory to print JSON; free some and try again");
		return EXIT_REFUSED;
	}
	fputc('\n', session->out);
	return EXIT_DONE;
}
