// Package fingerprint talks to fingerprint modules on a serial line: ZFM-20, the
// R30x family (R302, R305, R307, R308) and R503. One module hangs on one port; it
// keeps the templates, compares, and says which one it was.
//
//	bytes ── Scanner ── Packet ── Answer ──┐
//	                                       ├─ link (pure) ── Readings, Health, ends of acts
//	         Packet ◀── Command ───────────┘
//	                         ▲
//	  talker (port, time) ───┘   one goroutine, while Run runs
//
// Vocabulary: touch, a finger laid on the sensor and lifted again; template, what
// the module computed of a finger and cannot be turned back into its picture;
// slot, the place of a template, numbered as the module's pages are, page 0
// unused so that a forgotten value names nobody; act, something an installer or
// keeper asks for (enrol, delete, wipe …), which waits its turn between touches;
// bound, a module that answers only after the password of this host.
//
// Templates and pictures never leave the module [003-5D, T-23]. The modules know
// four instructions that carry them over the wire (UpChar, DownChar, UpImage,
// DownImage); this package has none of them, no value of its exported types can
// become one, and what a module sends unasked is dropped unread.
//
// What the password is worth. It travels in clear and only the module checks it:
// it keeps a module that was carried off from being asked by somebody else's
// host, and it notices a module that was exchanged for one with another password
// or with the factory's. It does not stop someone who sits on the wire; so the
// wire belongs inside the case.
//
// The line is 57600 8N1 unless the module was told otherwise (9600 times 1 to
// 12). Some data sheets ask for two stop bits. A receiver looks at the first
// alone, and a sender's second is silence to us, so line's 8N1 is right for both.
//
// Sources: ZFM-20 series user manual V1.4, R30x series user manual, R503 user
// manual V1.1 and V1.2.2 (Hangzhou Grow Technology). Where they disagree the doc
// comment of the item says so.
package fingerprint
