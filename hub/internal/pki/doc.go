// Package pki is whom the municipality believes: its offline root, the hub's
// keys, the certificates of server, hub and devices, and how a device becomes
// and stays a member.
//
//	offline root (Ed25519, taken off this machine after Init)
//	   └─ signs the key list ── policy key   permits             three keys, three
//	      (agents pin the root) ├ order key    one purpose each    uses: a stolen
//	                            ├ receipt key  receipts, answers   one cannot play
//	                            ├ log key      checkpoints         the others
//	                            └ CA (P-256) ─┬ server   HTTPS and broker
//	                                          ├ hub      the hub's own MQTT client
//	                                          └ device   CN = device ID, OU = device
//
// Vocabulary:
//
//	enrolment code   typed once at a new device; the hub keeps only its hash
//	renewal          a new certificate for the same key, proved by that key [T-51]
//	credential key   32 random bytes per device under which cards are recognised
//	seal             AES-256-GCM for small secrets that live in the store
//
// Certificates begin in 1970: a board without a clock has to accept the hub, and
// be accepted, before it knows the time. Their end and the revocation list are
// what limits them.
package pki
