# SPDX-License-Identifier: BSD-2-Clause
"""What a person before the machine sees when Scrim cannot go on: the line on the screen, read from the screen."""

import gzip

import grub
from registry import check, test

FONT = "/usr/share/consolefonts/Lat15-VGA16.psf.gz"  # the one that mk/target.mk builds in
GLYPH_WIDTH, GLYPH_HEIGHT, PSF1_HEADER = 8, 16, 4
NO_KERNEL = "scrim: no kernel to boot"
LOADED = r"no kernel to boot"


def text_screen(machine):
    """The lines of EGA text memory at 0xb8000, 80 columns."""
    words = []
    for line in machine.monitor("xp /2000hx 0xb8000").splitlines():
        words += [int(word, 16) for word in line.split(":")[1].split()]
    characters = "".join(chr(word & 0xff) if 32 <= word & 0xff < 127 else " " for word in words)
    return [characters[at:at + 80].rstrip() for at in range(0, len(characters), 80)]


def read_ppm(path):
    """Width and rows of on/off pixels of a binary PPM."""
    data = path.read_bytes()
    magic, size, _depth, pixels = data.split(b"\n", 3)
    assert magic == b"P6", magic
    width, height = (int(number) for number in size.split())
    row = width * 3
    return width, [[pixels[y * row + x * 3] > 127 for x in range(width)] for y in range(height)]


def graphic_screen(machine, work):
    """The lines of a framebuffer, each cell looked up in the font."""
    path = work / "screen.ppm"
    machine.monitor(f"screendump {path}")
    width, rows = read_ppm(path)
    font = gzip.open(FONT).read()
    glyphs = {font[PSF1_HEADER + c * GLYPH_HEIGHT:PSF1_HEADER + (c + 1) * GLYPH_HEIGHT]: chr(c) for c in range(126, 31, -1)}
    lines = []
    for top in range(0, len(rows) - GLYPH_HEIGHT + 1, GLYPH_HEIGHT):
        cells = []
        for left in range(0, width - GLYPH_WIDTH + 1, GLYPH_WIDTH):
            cell = bytes(sum(rows[top + y][left + x] << (7 - x) for x in range(GLYPH_WIDTH)) for y in range(GLYPH_HEIGHT))
            cells.append(glyphs.get(cell, "?"))
        lines.append("".join(cells).rstrip())
    return lines


def check_line(lines):
    check(any(line.startswith(NO_KERNEL) for line in lines), "the screen does not say so; it shows\n" + "\n".join(lines))


@test("screen-text", cost=5)
def screen_text(t):
    with t.machine(boot=["-kernel", str(grub.BUILD / "scrim.elf")], agent=False) as machine:
        machine.wait_console(LOADED)
        check_line(text_screen(machine))


def framebuffer(t, firmware):
    work = t.work / "image"
    work.mkdir(parents=True)
    image = grub.make_iso(work, [f"multiboot2 {grub.SCRIM}"])
    with t.machine(boot=grub.iso_arguments(image), firmware=firmware, agent=False) as machine:
        machine.wait_console(LOADED)
        check_line(graphic_screen(machine, work))


@test("screen-framebuffer-bios", cost=12)
def screen_framebuffer_bios(t):
    framebuffer(t, "bios")


@test("screen-framebuffer-uefi", cost=25)
def screen_framebuffer_uefi(t):
    framebuffer(t, "uefi")
