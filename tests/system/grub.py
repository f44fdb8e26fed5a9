# SPDX-License-Identifier: BSD-2-Clause
"""Makes bootable images by GRUB: for BIOS and UEFI both with a screen in pixels, or small ones for BIOS and text."""

import shutil
import subprocess

from emulated import BUILD, IMAGES, MachineError, kernel_path

KERNEL, INITRD, SCRIM = "/boot/vmlinuz", "/boot/initrd", "/boot/scrim.elf"
_CONFIG = """\
serial --unit=0
terminal_input console
insmod all_video
insmod gfxterm
set gfxmode=1024x768x32,auto
terminal_output gfxterm serial
{commands}
# After the commands: `multiboot2` sets it too, to what its kernel's header wishes.
set gfxpayload=keep
boot
echo GRUB could not boot this
halt
"""
# For a machine without a screen in pixels (Bochs's display library `term`).
_TEXT_CONFIG = """\
serial --unit=0 --speed=115200
terminal_output serial
{commands}
set gfxpayload=text
boot
echo GRUB could not boot this
halt
"""
# Only what reads the medium and boots: GRUB loads no more than it needs, but all the rest has to be written.
_SMALL = ["-d", "/usr/lib/grub/i386-pc", "--fonts=", "--themes=", "--locales="]


def linux_commands(args):
    """GRUB commands that boot the kernel on the bare machine."""
    return [f"linux {KERNEL} {args}", f"initrd {INITRD}"]


def scrim_commands(args, options=""):
    """GRUB commands that boot the same kernel on Scrim."""
    return [f"multiboot2 {SCRIM} {options}", f"module2 {KERNEL} {args}", f"module2 {INITRD}"]


def make_iso(work, commands, kernel="cloud", files=()):
    """An ISO image in `work` whose GRUB runs `commands` at once. `files`: more (path in the image, path on the host)."""
    contents = [(KERNEL, kernel_path(kernel)), (INITRD, IMAGES / "initramfs.cpio.gz"), *files]
    if any(SCRIM in command for command in commands):
        contents.append((SCRIM, BUILD / "scrim.elf"))
    image = _make(work, contents, _CONFIG.format(commands="\n".join(commands)), [])
    for firmware in ("BIOS/i386-pc", "EFI/x86_64-efi"):
        if not _holds_firmware(image, firmware):
            raise MachineError(f"{image} cannot be booted by {firmware}: grub-pc-bin and grub-efi-amd64-bin are both needed")
    return image


def make_text_iso(work, commands, files):
    """An ISO image in `work` for BIOS and a text screen, with `files`, (path in the image, path on the host), and nothing else."""
    return _make(work, files, _TEXT_CONFIG.format(commands="\n".join(commands)), _SMALL)


def _make(work, contents, config, options):
    tree = work / "iso"
    for inside, outside in contents:
        target = tree / inside.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(outside, target)
    (tree / "boot/grub").mkdir(parents=True, exist_ok=True)
    (tree / "boot/grub/grub.cfg").write_text(config)
    image = work / "boot.iso"
    _mkrescue(image, tree, options)
    shutil.rmtree(tree)
    return image


def iso_arguments(image):
    """QEMU arguments that boot the image."""
    return ["-drive", f"file={image},if=none,id=cd,media=cdrom,readonly=on", "-device", "ide-cd,drive=cd,bus=ide.0", "-boot", "d"]


def _mkrescue(image, tree, options):
    command = ["grub-mkrescue", "--compress=no", *options, "-o", str(image), str(tree)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MachineError("grub-mkrescue is missing: install grub-common (`make setup`)") from None
    if done.returncode != 0:
        raise MachineError(f"grub-mkrescue failed:\n{done.stdout}{done.stderr}")


def _holds_firmware(image, firmware):
    listing = subprocess.run(["xorriso", "-indev", str(image), "-find", "/boot/grub", "-maxdepth", "1"],
                             capture_output=True, text=True, check=False).stdout
    return firmware.split("/")[1] in listing
