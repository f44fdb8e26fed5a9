/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides where the code of a started CPU lies, and what it leaves there, to C and to assembly. */
#pragma once

#define START_PAGE    0x10000
#define START_ANSWER  0x800 /* offsets in it: of the last CPU's request, */
#define START_RESULT  0x804 /* its result, */
#define START_COUNT   0x808 /* and how many CPUs have been here */

#define START_PORT    0x1c4
#define START_REQUEST 0x53430000 /* VERSION */
