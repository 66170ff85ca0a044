#!/usr/bin/env bash
# GPIO on a real kernel: boots the stock Debian kernel in QEMU with gpio-sim and
# runs internal/vmtest inside (see its package comment for what is tested).
#
#   make vm-test                     everything; RUN=Wiegand for some tests
#   VM_SECONDS=600                   the machine is switched off after this long
#
# Needs an amd64 Debian 12 or its like with apt. QEMU and a compiler come through
# scripts/need.sh (root or sudo, or install them yourself); everything else is
# fetched as an ordinary user from the configured package sources and kept in
# ${XDG_CACHE_HOME:-~/.cache}/sekimori-vm, some 10 MB (220 MB pass through):
#
#   linux-image      the kernel that boots, as packaged, and its configfs.ko
#   linux-source     three files: no Debian kernel is built with gpio-sim, so it
#                    becomes a module of its own here, with the kernel's own
#                    irq_sim beside it (one call replaced: irq_to_desc is not
#                    exported to modules)
#   linux-headers    to build that module for exactly that kernel
#
# The machine has one processor, 512 MB, no disk and no network; its root is a
# ramdisk with init (internal/vmtest/guest), the tests and sekimori-agent. QEMU
# interprets (no KVM) and its clock counts instructions, 8 ns each: the processor
# is that of a small board, waiting costs nothing, and a busy host changes no
# figure. (QEMU cannot start a second processor with such a clock.)
#
# Not shown by it: a real chip's interrupt controller and the bounce, noise and
# slopes of a real cable; other architectures; two processors handling edges at
# once; a second chip of the same label.
#
# The console's output is kept in bin/vm/console.log.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${VM_SECONDS:=600}" "${RUN:=.}" "${GO:=go}"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sekimori-vm
out=bin/vm

say() { echo "vm-test: $*"; }
stop() {
	echo "vm-test: $*" >&2
	exit 1
}

[ "$(uname -m)" = x86_64 ] || stop "this machine is no x86_64: the kernel and its module are amd64 (amd64 の機械で動かしてください)"
scripts/need.sh qemu-system-x86_64 gcc make xz
for tool in apt-get apt-cache dpkg-deb; do
	command -v $tool >/dev/null || stop "$tool is missing: the kernel comes from Debian packages (Debian 系の機械で動かしてください)"
done

# The newest signed kernel of the release, the one `apt install linux-image-amd64` gives.
release=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: linux-image-//p' | head -n 1)
version=$(apt-cache show "linux-image-$release" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
[ -n "$release" ] && [ -n "$version" ] || stop "apt knows no linux-image-amd64: run apt-get update (apt-get update をしてください)"
series=$(cut -d. -f1-2 <<<"$release")
kernel=$cache/$release-$version

fetch() ( # packages of exactly this version, as any user
	cd "$kernel/tmp"
	for p in "$@"; do
		timeout 600 apt-get -qq download "$p=$version" 2>apt.log || { cat apt.log >&2; stop "cannot download $p $version (apt-get update をしてください)"; }
	done
)

build_kernel() {
	say "fetching kernel $release ($version) into $cache"
	rm -rf "$kernel"
	mkdir -p "$kernel/tmp/unpacked" "$kernel/tmp/module"
	fetch "linux-image-$release" "linux-headers-$release" "linux-headers-${release%-*}-common" "linux-kbuild-$series" "linux-source-$series"
	(
		cd "$kernel/tmp"
		for p in linux-image-* linux-headers-* linux-kbuild-*; do dpkg-deb -x "$p" unpacked; done
		dpkg-deb --fsys-tarfile linux-source-*.deb | tar -xO "./usr/src/linux-source-$series.tar.xz" >source.tar.xz
		from=linux-source-$series
		tar -xJf source.tar.xz --strip-components=1 "$from/drivers/gpio/gpio-sim.c" "$from/drivers/gpio/gpiolib.h" "$from/kernel/irq/irq_sim.c"

		cp drivers/gpio/gpio-sim.c module/sim.c
		cp drivers/gpio/gpiolib.h module/
		sed -e 's/irq_to_desc(irqnum)/irq_data_to_desc(irq_get_irq_data(irqnum))/' \
			-e 's/#include <linux\/interrupt.h>/&\n#include <linux\/irqdesc.h>/' \
			-e '/^EXPORT_SYMBOL/d' kernel/irq/irq_sim.c >module/irq_sim.c
		printf 'obj-m := gpio-sim.o\ngpio-sim-y := sim.o irq_sim.o\n' >module/Kbuild
		# The packaged Makefile names its other half by where dpkg would install it.
		headers=$PWD/unpacked/usr/src/linux-headers-$release
		sed -i "s#include /usr/src#include $PWD/unpacked/usr/src#" "$headers/Makefile"
		env -u MAKEFLAGS -u MAKELEVEL make -s -C "$headers" M="$PWD/module" CC=gcc modules >make.log 2>&1 || { tail -n 20 make.log >&2; exit 1; }

		cp "unpacked/boot/vmlinuz-$release" ../vmlinuz
		cp module/gpio-sim.ko ../2-gpio-sim.ko
		find unpacked/lib/modules -name 'configfs.ko*' -exec cp {} . \;
		case $(echo configfs.ko*) in
		*.xz) xz -dc configfs.ko.xz ;;
		*.zst) zstd -qdc configfs.ko.zst ;;
		*) cat configfs.ko ;;
		esac >../1-configfs.ko
	) || stop "the gpio-sim module was not built (gpio-sim のモジュールを作れませんでした)"
	rm -rf "$kernel/tmp"
	touch "$kernel/complete"
}
[ -e "$kernel/complete" ] || build_kernel

mkdir -p "$out"
rm -f "$out"/*
export CGO_ENABLED=0 GOOS=linux GOARCH=amd64
$GO test -c -tags vmtest -o "$out/vmtest.test" ./internal/vmtest
$GO build -trimpath -buildvcs=false -o "$out/" ./internal/vmtest/guest ./internal/vmtest/initrd ./agent/cmd/sekimori-agent
"$out/initrd" -o "$out/initrd.cpio" "init=$out/guest" "vmtest.test=$out/vmtest.test" "sekimori-agent=$out/sekimori-agent" \
	"modules/1-configfs.ko=$kernel/1-configfs.ko" "modules/2-gpio-sim.ko=$kernel/2-gpio-sim.ko"

say "booting $release (at most ${VM_SECONDS}s)"
began=$SECONDS
# panic=-1 with -no-reboot: a kernel that dies ends the machine at once.
timeout --foreground --kill-after=5 "$VM_SECONDS" qemu-system-x86_64 -accel tcg -smp 1 -icount shift=3,sleep=off -m 512 -nic none -display none -monitor none \
	-no-reboot -serial stdio -kernel "$kernel/vmlinuz" -initrd "$out/initrd.cpio" \
	-append "console=ttyS0 quiet panic=-1 -- -test.v -test.timeout=$((VM_SECONDS - 30))s -test.run=$RUN" \
	</dev/null | sed -u 's|\r$||' | tee "$out/console.log" | grep --line-buffered -vE '^=== (RUN|PAUSE|CONT|NAME)' || true

# The verdict is the guest's own word, and it must have got that far.
passed=$(grep -c '^--- PASS' "$out/console.log" || true)
failed=$(grep -cE '^ *--- (FAIL|SKIP)' "$out/console.log" || true)
say "$passed passed, $failed failed or skipped, $((SECONDS - began)) s in the machine, $SECONDS s in all"
grep -qx 'vmtest: exit=0' "$out/console.log" || stop "FAILED: see $out/console.log"
[ "$passed" -gt 0 ] && [ "$failed" = 0 ] || stop "FAILED: see $out/console.log"
say ok
