/* SPDX-License-Identifier: BSD-2-Clause */
/* The one place where an error line is written, so that all look alike. */
#include "session.h"

#include <stdarg.h>

void complain(const struct session *session, const char *format, ...)
{
	va_list arguments;

	/* What is already said belongs before the complaint, also where both streams are one file. */
	fflush(session->out);
	fputs("scrimctl: ", session->err);
	va_start(arguments, format);
	vfprintf(session->err, format, arguments);
	va_end(arguments);
	fputc('\n', session->err);
}
