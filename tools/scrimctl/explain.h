/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the sentence for a request that Scrim refused. */
#pragma once

#include "request.h"

/* Complains "<subject>: <why>; <what to do instead>" for a reply whose status is not SCRIM_OK. */
void explain(const struct session *session, const char *subject, enum scrim_op op, const struct reply *reply);

/* The same without the subject, cut to `size`. */
void explain_text(char *text, size_t size, enum scrim_op op, const struct reply *reply);
