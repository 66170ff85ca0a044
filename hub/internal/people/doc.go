// Package people is the municipality's master data: who there is, which post
// they hold on which day, what they may open, and with what.
//
//	city.yaml ─ Load ─▶ City ─ Import ─┬─▶ versions of items ──▶ Directory, as of any day
//	            every fault at once    ├─▶ facts in the ledger, without secrets
//	                                   └─▶ cards, PINs, passwords: sealed state
//
// Vocabulary:
//
//	item      one thing that is declared: a person, room, door, post, permit …
//	version   an item from one instant on, until its next version; none is
//	          changed or removed, so every past day can be looked up [T-30, T-33]
//	post      職・役割 with holders by day; rights come from posts, never from
//	          accounts [000-2] [T-32]
//	acting    職務代理: who stands in for a post's holder for some days
//
// Names are kept in the glyphs they were written in, code point by code point
// [T-43]. Card bits, PINs and password hashes are in no item and no fact.
package people
