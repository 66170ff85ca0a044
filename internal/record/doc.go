// Package record is the contract between agent and hub: what a fact looks like,
// how it is signed, and what comes back. Both sides compile against it, and it
// imports nothing else of ours.
//
//	agent                                              hub
//	  Event ─┐ one fact, written down before anything acts on it
//	  Event ─┼─ Batch ──────── up ───────────────▶ durable, then
//	  Event ─┘ signed commitments beside the bytes
//	         ◀──────────────── receipt ─────────── Receipt: held to here, checkpoint
//	         ◀──────────────── policy ──────────── PolicyHead + chunks, whole or not at all
//	         ◀──────────────── order ───────────── Order: one purpose, a named issuer
//	  Ask    ──────── ask ───────────────────────▶ heartbeat, "what do you hold?"
//	         ◀──────────────── answer ──────────── Answer: hub time, tied to the question
//
// Facts carry IDs only: the hub resolves person, post and section as of the
// event's time [T-30]. Room names, card numbers, PINs and templates appear in
// no type of this package [T-13, T-26].
//
// Everything that is signed is a DSSE envelope (secure-systems-lab DSSE v1.0):
// the signature covers the payload type and the payload bytes as sent, so a
// reader never has to re-create bytes to check them. Payloads are JSON.
package record
