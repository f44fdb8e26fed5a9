/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides Linux's struct screen_info for the screen that the boot loader left. */
#pragma once

#include "boot/boot_info.h"
#include "boot/linux_format.h"

/* A linear framebuffer if there is one that the structure can express; else text, which UEFI machines do not have. */
void linux_screen_fill(struct linux_screen_info *screen, const struct boot_info *boot);
