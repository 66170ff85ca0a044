// Package interop lets both sides of our OSDP talk to an implementation that is
// not ours, libosdp, as separate processes over ptys:
//
//	sekimori-sim (our reader) ═ pty ═ libosdp's control panel (testdata/peer.py)
//	drivers/osdp (this test)  ═ pty ═ libosdp's peripheral device (the same)
//
// Its tests are built with the tag `interop` only and need a libosdp that
// somebody has built outside this repository; `make interop` runs them and
// scripts/interop.sh --help tells how to come by one.
package interop
