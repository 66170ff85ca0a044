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
// The tests need that machine, so they hide behind the build tag vmtest.
package vmtest
