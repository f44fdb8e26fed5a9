/* SPDX-License-Identifier: BSD-2-Clause */
/* Provides the MSRs that say what of VMX a CPU has (Intel SDM vol. 3, appendix A) and the bits that Scrim looks at. */
#pragma once

#include "base/types.h"

#define MSR_FEATURE_CONTROL 0x3au
#define MSR_VMX_BASIC 0x480u
#define MSR_VMX_PIN 0x481u
#define MSR_VMX_PRIMARY 0x482u
#define MSR_VMX_EXIT 0x483u
#define MSR_VMX_ENTRY 0x484u
#define MSR_VMX_MISC 0x485u
#define MSR_VMX_CR0_FIXED0 0x486u /* bits that have to be 1 */
#define MSR_VMX_CR0_FIXED1 0x487u /* and 0 here: have to be 0 */
#define MSR_VMX_CR4_FIXED0 0x488u
#define MSR_VMX_CR4_FIXED1 0x489u
#define MSR_VMX_SECONDARY 0x48bu  /* where the primary controls allow secondary ones */
#define MSR_VMX_EPT_VPID 0x48cu   /* where the secondary controls allow EPT or VPID */
#define MSR_VMX_TRUE_PIN 0x48du   /* these four: where VMX_BASIC_TRUE_CONTROLS is set */
#define MSR_VMX_TRUE_PRIMARY 0x48eu
#define MSR_VMX_TRUE_EXIT 0x48fu
#define MSR_VMX_TRUE_ENTRY 0x490u

/* Of controls (A.3): the lower half has the bits that have to be 1, the upper half those that may be. */
#define VMX_MUST_BE_ONE(capability) ((uint32_t)(capability))
#define VMX_MAY_BE_ONE(capability) ((uint32_t)((capability) >> 32))

#define MSR_VMX_LAST 0x491u

#define FEATURE_CONTROL_LOCK (1ull << 0)
#define FEATURE_CONTROL_VMX (1ull << 2) /* VMXON outside SMX */

#define FEATURE_CONTROL_ANY_VMX (3ull << 1) /* and inside */

#define VMX_BASIC_REVISION(basic) ((uint32_t)(basic) & 0x7fffffffu)
#define VMX_BASIC_BYTES(basic) ((uint32_t)((basic) >> 32) & 0x1fffu)
#define VMX_BASIC_32BIT_ADDRESSES (1ull << 48)
#define VMX_BASIC_MEMORY_TYPE(basic) ((uint32_t)((basic) >> 50) & 0xfu)
#define VMX_BASIC_WRITE_BACK 6u
#define VMX_BASIC_TRUE_CONTROLS (1ull << 55)

#define VMX_MISC_SAVES_LMA (1ull << 5)   /* exits store EFER.LMA into the entry controls */
#define VMX_MISC_HLT (1ull << 6)         /* activity states that an entry may have */
#define VMX_MISC_SHUTDOWN (1ull << 7)
#define VMX_MISC_WAIT_FOR_STARTUP (1ull << 8)
#define VMX_MISC_SOFT_WITHOUT_LENGTH (1ull << 30) /* soft events may be injected with instruction length 0 */

#define EPT_CAP_FOUR_LEVELS (1ull << 6)
#define EPT_CAP_UNCACHEABLE (1ull << 8) /* memory types of the tables themselves */
#define EPT_CAP_WRITE_BACK (1ull << 14)
#define EPT_CAP_2M (1ull << 16)
#define EPT_CAP_1G (1ull << 17)
#define EPT_CAP_INVEPT (1ull << 20)
#define EPT_CAP_ACCESSED_DIRTY (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE (1ull << 25)
#define EPT_CAP_INVEPT_ALL (1ull << 26)
#define VPID_CAP_INVVPID (1ull << 32)
#define VPID_CAP_INVVPID_ADDRESS (1ull << 40)
#define VPID_CAP_INVVPID_SINGLE (1ull << 41)
#define VPID_CAP_INVVPID_ALL (1ull << 42)
