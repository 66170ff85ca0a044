// Package vmtest proves drivers/gpio on a real kernel: its tests run inside a
// virtual machine with the stock Debian kernel, where gpio-sim plays the chip
// and this package plays the reader, the door and the fire panel by pulling
// lines. `make vm-test` builds, boots and judges it (scripts/vm-test.sh).
//
//	host                          guest (Debian kernel, no network)
//	scripts/vm-test.sh ──qemu──▶  guest (init) ─▶ vmtest.test
//	  ▲                             │ modules       │ pull: D0 D1 contact REX fire
//	  └── serial console ◀──────────┘               ▼
//	                              sekimori-agent ◀─ gpio-sim (/dev/gpiochipN)
//	                                   relay ──────▶ value
//
// Shown there: 26-bit cards at pulses of 100 µs to 1 ms and intervals of 0.3 to
// 18 ms, bit for bit; contact, REX and fire in order, with the kernel's stamps; a
// relay as a meter at the pin sees it; pulls; a line another process holds; a chip
// pulled out and put back; and the installed sekimori-agent from enrolment to the
// fire release, stopped for a while, and without its chip. Cards the pretend reader
// itself sent late are counted apart; every other one must be read.
//
// The tests need that machine, so they hide behind the build tag vmtest.
package vmtest
