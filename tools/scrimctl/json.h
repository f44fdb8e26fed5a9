/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the few ways in which verbs build JSON. All take over the reference that they are given. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "session.h"

/* A value, or NULL where memory ran out, which json_print() notices. Addresses are strings: JSON has no 64-bit
 * integers. */
json_t *json_address(uint64_t address);
json_t *json_count(uint64_t count);

/* Sets `key`; where it cannot, *object becomes NULL and stays so. */
void json_put(json_t **object, const char *key, json_t *value);
void json_append(json_t **array, json_t *value);

/* Prints and frees. EXIT_REFUSED after a complaint where memory ran out (`root` is NULL). */
enum exit_code json_print(const struct session *session, json_t *root) MUST_CHECK;
