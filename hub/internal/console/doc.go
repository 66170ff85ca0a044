// Package console is the hub's face: the pages people read the registers on,
// the few acts they do there, the same rows as JSON, and the rows that come in
// while they look.
//
//	browser ── page, form ──▶ guard ──▶ page ──▶ Registers, Directory, Memory
//	   ▲                        │         │
//	   │                        │         └─ act ─▶ Rights ─▶ Recorder, Orders
//	   │                     session (scs, kept in Memory, token hashed)
//	   └── events ◀── stream: everything changed after the last event's id
//
// Vocabulary:
//
//	guard    the layers every request passes: headers, origin, session
//	cursor   the newest ledger index a page has seen. It is the id of every
//	         event, so a stream that broke goes on from there, over a restart
//	         of the hub too: what is sent is asked of the store, never
//	         remembered in the process
//	act      what changes something: closing a stay, an entry by hand, an order
//	         to a door. Reading needs a session, an act needs the room's post
//
// Pages are html/template with the contextual escaping of the standard library,
// and work without JavaScript. Times are 和暦 in JST, made here and never by the
// browser [T-42]. Names keep their code points [T-43]. A state is always a
// shape, a word and a colour [T-49].
//
// README.md lists addresses and how to run the browser test.
package console
