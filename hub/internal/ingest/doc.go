// Package ingest is the one way into the ledger: it takes what devices send and
// what people at the hub declare, makes it durable, and only then says so.
//
//	broker link ─ Handle ─▶ unpack (several): signature, commitments, event time
//	                            │ per device in order
//	console, CLI ─ Record ──────┤
//	broker ─ findings ──────────┤
//	                            ▼
//	                        writer (one): group ─▶ one store.Update ─▶ durable
//	                                                                      │
//	devices ◀── receipts, answers, one per device, newest state ◀─────────┘
//
// A group is whatever waits at that moment, so that one fsync serves all of it.
//
// The broker is not trusted: a message counts by the device's signature on it,
// and its topic only says whose key to try. Nothing a device can sign stops the
// line: what cannot be read is kept opaque, what is out of order is answered
// with how far the hub has come, and what is wrong becomes a row that says so.
//
// Vocabulary: a parcel is a batch after its checks; held is how far an epoch is
// durable without a gap; a finding is something people should look at.
package ingest
