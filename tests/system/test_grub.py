# SPDX-License-Identifier: BSD-2-Clause
"""GRUB boots Scrim from an image, by BIOS and by UEFI, and Linux sees what GRUB's own `linux` entry would have shown it."""

import re

import grub
import iomem
from machine import KERNEL_ARGS
from registry import check, check_equal, test

CPUS = 2
MEMORY = "1G"
# Scrim's block, its start-up page, and what GRUB keeps in one case and not in the other.
UNEXPLAINED_MAX = 4 << 20
# Of "Console: switching to ..." what the kernel says last: where another CPU speaks between it stands on a line of its own.
SWITCHED = re.compile(r"to \w+ frame buffer device \d+x\d+$", re.MULTILINE)

EFI_REPORT = """
ls /sys/firmware/efi /sys/firmware/efi/runtime-map
cat /sys/firmware/efi/fw_platform_size /sys/firmware/efi/fw_vendor /sys/firmware/efi/systab
insmod /lib/modules/$(uname -r)/efivarfs.ko
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
cd /sys/firmware/efi/efivars && ls
hexdump -C Timeout-*
variable=ScrimTest-12345678-1234-1234-1234-123456789abc
printf '\\007\\000\\000\\000written' >$variable && hexdump -C $variable
"""


def look(t, commands, firmware, name):
    """Boots an image that runs `commands` and returns all that is compared, as a dictionary."""
    work = t.work / name
    work.mkdir(parents=True)
    image = grub.make_iso(work, commands)
    scrim = name == "scrim"
    with t.machine(scrim=scrim, boot=grub.iso_arguments(image), firmware=firmware, cpus=CPUS, memory=MEMORY) as machine:
        machine.wait_ready()
        dmesg = [re.sub(r"^\[ *[\d.]+\] ", "", line) for line in machine.dmesg()]
        return {
            "status": machine.status() if scrim else None,
            "iomem": machine.must("cat /proc/iomem"),
            "command line": machine.must("cat /proc/cmdline").replace(f"BOOT_IMAGE={grub.KERNEL} ", ""),
            "framebuffer": [line for line in dmesg if re.match(r"efifb: |fb0: |vesafb: ", line)],
            "console": SWITCHED.findall("\n".join(dmesg)),
            "ACPI root": [line for line in dmesg if line.startswith("ACPI: RSDP")],
            "EFI lines": [line for line in dmesg if re.match(r"efi: EFI v|efi: SMBIOS|Registered efivars", line)],
            "EFI": machine.must(EFI_REPORT) if firmware == "uefi" else "",
        }


def check_iomem(seen, bare, kept):
    """All that is not RAM is where it was; RAM is what it was, less what Scrim keeps."""
    for entry in iomem.entries(bare):
        if entry[2] != "System RAM":
            check(entry in iomem.entries(seen), f"missing in /proc/iomem: {entry[0]:#x}-{entry[1]:#x} {entry[2]}; it has\n{seen}")
    invented = iomem.subtract(iomem.ram(seen), iomem.ram(bare))
    check(not invented, "RAM that the bare machine has not:", iomem.show(invented), f"\nbare:\n{bare}\non Scrim:\n{seen}")
    missing = iomem.subtract(iomem.ram(bare), iomem.ram(seen))
    check(kept <= iomem.total(missing) <= kept + UNEXPLAINED_MAX,
          f"Scrim keeps {kept} bytes, but the OS lacks {iomem.total(missing)}:", iomem.show(missing))


def compare(t, firmware):
    bare = look(t, grub.linux_commands(KERNEL_ARGS), firmware, "bare")
    seen = look(t, grub.scrim_commands(KERNEL_ARGS), firmware, "scrim")
    check_equal(seen["status"]["state"], "native", "state")
    check_equal([cpu["mode"] for cpu in seen["status"]["cpus"]], ["native"] * CPUS, "CPUs")
    for what in ("command line", "framebuffer", "console", "ACPI root", "EFI lines", "EFI"):
        check_equal(seen[what], bare[what], what)
    check_iomem(seen["iomem"], bare["iomem"], seen["status"]["memory"]["vmm_bytes"])
    return bare


@test("grub-bios", cost=15)
def grub_bios(t):
    bare = compare(t, "bios")
    check(bare["console"] and any("framebuffer at" in line for line in bare["framebuffer"]), "GRUB set no framebuffer: nothing was compared")


@test("grub-uefi", cost=20)
def grub_uefi(t):
    bare = compare(t, "uefi")
    check("written" in bare["EFI"], "runtime services were not reached on the bare machine:\n" + bare["EFI"])
    check(bare["console"] and any("framebuffer at" in line for line in bare["framebuffer"]), "GRUB set no framebuffer: nothing was compared")
