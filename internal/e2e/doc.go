// Package e2e proves the whole way of a card, from the bits at a reader to the
// row at the hub, with every program as a process of its own on real wires:
// ptys, sockets, mutual TLS, files on disk.
//
//	sekimori-sim ─ pty, lines ─ sekimori-agent ═ TLS ═ sekimori-hub ─ HTTPS ─ test
//
// Built with the tag simtime the programs follow the simulator's clock, so the
// scenarios AS-nn of the base day run in seconds. Without the tag the same
// programs run in real time as a smoke test.
package e2e
