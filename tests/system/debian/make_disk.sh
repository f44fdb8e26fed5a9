#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Makes the disk that the tests boot a real Debian from, and a repository with one package for it to install:
#   make_disk.sh DIRECTORY          as root; takes about two minutes and downloads some 200 MB
# leaves DIRECTORY/disk.raw and repository/. The disk has GRUB for BIOS and, in a partition of its own, for UEFI, and an ext4 file system
# with Debian's base, its kernel, systemd, update-grub and fio. What is built from this repository is not on it: disk.py writes that into copies.
# Packages come from where apt gets them on this machine, and apt's keys check them.
set -eu

LABEL=scrim-root
DISK_MIB=1536
PARTITION_SECTOR=2048
ESP_MIB=33 # the least for FAT32
PACKAGES=systemd-sysv,udev,dbus,kmod,procps,iproute2,initramfs-tools,zstd,dmsetup,e2fsprogs,fio,grub2-common,linux-image-amd64
# Documents and translations, what apt can download again, and drivers of devices that no test machine has.
LEFT_OUT='usr/share/doc/* usr/share/man/* usr/share/locale/* usr/share/info/* lib/modules/*/kernel/sound
	  lib/modules/*/kernel/drivers/media lib/modules/*/kernel/drivers/staging lib/modules/*/kernel/drivers/net/wireless
	  lib/modules/*/kernel/drivers/gpu/drm/amd lib/modules/*/kernel/drivers/gpu/drm/nouveau
	  lib/modules/*/kernel/drivers/gpu/drm/i915 lib/modules/*/kernel/drivers/gpu/drm/radeon
	  var/cache/apt/*.bin var/cache/apt/archives/*.deb var/lib/apt/lists/*'
INSTALLED=hello # a package that nothing else needs

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
directory=$(cd "$1" && pwd)
work=$(mktemp -d "$directory/making.XXXXXX")
tree=$work/tree
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# From apt's own configuration: the archive that this machine's release comes from.
find_archive() {
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	archive=$(apt-get indextargets --format '$(SITE) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
		awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }')
	if [ -z "$archive" ]; then
		echo "make_disk: apt knows no archive with $release/main; is this Debian 12 with its main archive?" >&2
		exit 1
	fi
}

make_tree() {
	debootstrap --variant=minbase --include="$PACKAGES" "$release" "$tree" "$archive" >"$work/log" 2>&1 || {
		tail -n 20 "$work/log" "$tree/debootstrap/debootstrap.log" >&2
		echo "make_disk: debootstrap failed; what it said last is above" >&2
		exit 1
	}
	cp -r "$here/etc/." "$tree/etc/"
	install -D -m 755 "$here/../initramfs/agent" "$tree/usr/local/sbin/agent"
	chmod 755 "$tree/etc/initramfs-tools/scripts/local-top/mapped-root" "$tree/etc/initramfs-tools/hooks/mapped-root"
	install -m 644 "$tree/usr/share/systemd/tmp.mount" "$tree/etc/systemd/system/tmp.mount"
	chroot "$tree" passwd --quiet --delete root
	chroot "$tree" systemctl --quiet enable tmp.mount systemd-networkd agent.service
	chroot "$tree" systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer
	: >"$tree/etc/machine-id"
	(cd "$tree" && rm -rf $LEFT_OUT)
	chroot "$tree" depmod "$(ls "$tree/lib/modules")"
	chroot "$tree" update-initramfs -u >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	for platform in i386-pc x86_64-efi; do
		mkdir -p "$tree/boot/grub/$platform"
		cp "/usr/lib/grub/$platform"/*.mod "/usr/lib/grub/$platform"/*.lst "$tree/boot/grub/$platform/"
	done
}

make_disk() {
	disk=$work/disk.raw
	root_mib=$((DISK_MIB - ESP_MIB - 1))
	truncate -s "${DISK_MIB}M" "$disk"
	printf '%s\n' "start=$PARTITION_SECTOR, size=${root_mib}MiB, type=83, bootable" "type=ef" | sfdisk --quiet --label dos "$disk"
	mke2fs -q -t ext4 -L "$LABEL" -E "offset=$((PARTITION_SECTOR * 512))" -d "$tree" "$disk" "${root_mib}M" 2>"$work/log" || {
		cat "$work/log" >&2
		exit 1
	}
	put_grub_for_bios
	put_grub_for_uefi
}

# GRUB's image follows the master boot record, whose code reads it from sector 1: where no tool has put it elsewhere.
put_grub_for_bios() {
	grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2
	if [ "$(stat -c %s "$work/core.img")" -gt $(((PARTITION_SECTOR - 1) * 512)) ]; then
		echo "make_disk: GRUB's image does not fit before the partition" >&2
		exit 1
	fi
	dd if=/usr/lib/grub/i386-pc/boot.img of="$disk" bs=440 count=1 conv=notrunc status=none
	dd if="$work/core.img" of="$disk" bs=512 seek=1 conv=notrunc status=none
}

# Where firmware looks on a disk for which it has no entry of its own.
put_grub_for_uefi() {
	esp="$disk@@$((root_mib + 1))M"
	grub-mkimage -O x86_64-efi -p '(hd0,msdos1)/boot/grub' -o "$work/bootx64.efi" part_msdos ext2
	mformat -i "$esp" -F -T $((ESP_MIB * 2048)) -h 16 -s 63 ::
	mmd -i "$esp" ::/EFI ::/EFI/BOOT
	mcopy -i "$esp" "$work/bootx64.efi" ::/EFI/BOOT/BOOTX64.EFI
}

make_repository() {
	mkdir "$work/repository"
	(
		cd "$work/repository"
		apt-get -qq -o APT::Sandbox::User=root download "$INSTALLED"
		dpkg-scanpackages --multiversion . >Packages 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
	)
}

find_archive
make_tree
make_disk
make_repository
rm -rf "$directory/repository"
mv "$work/repository" "$directory/repository"
chown -R --reference="$(dirname "$directory")" "$directory/repository" "$work/disk.raw"
mv "$work/disk.raw" "$directory/disk.raw"
echo "made $directory/disk.raw: $(du -h "$directory/disk.raw" | cut -f 1) of $DISK_MIB MiB"
