// Package nfc is a PN532 module on its high speed UART and the contactless
// cards in front of it, as NXP's UM0701-02, AN12196 and AN10922 tell.
//
//	bytes ── scanner ── command ── Module ── ACK, answer ── bytes
//	                                 ▲
//	       a card in the field ──────┘
//
// The module sleeps until it hears 55. Target is what the chip calls a card it
// has listed; InDataExchange carries ISO 7816 commands to it.
package nfc

import (
	"crypto/rand"
	"io"
	"slices"
	"time"

	"sekimori/firmware-sim/internal/uart"
)

// Module is one module. It is not safe for concurrent use.
type Module struct {
	scan   uart.Scanner[frame]
	random io.Reader

	awake   bool
	deaf    bool // powered down without the UART as a way to wake it
	field   bool
	params  byte // SetParameters
	retries byte // MxRtyPassiveActivation
	regs    map[uint16]byte

	cards   []*card  // in front of it
	targets [2]*card // listed; nil for none
	waiting []byte   // the listing that waits for a card
	last    []byte   // the newest answer, for NACK

	faults uart.Faults
}

const (
	automaticRATS = 0x10
	forEver       = 0xFF
	maxTargets    = 2
)

// New makes a module that has just got power. Random is what cards draw on;
// nil for crypto/rand.
func New(random io.Reader) *Module {
	if random == nil {
		random = rand.Reader
	}
	m := &Module{random: random, scan: uart.Scanner[frame]{Parse: parse}, faults: uart.Faults{Sums: 0, Silent: 0, Torn: 0}}
	m.PowerCut()
	return m
}

// PowerCut is a moment without power. The cards stay where they are.
func (m *Module) PowerCut() {
	m.scan.Reset()
	m.awake, m.deaf, m.params, m.retries = false, false, 0x14, forEver
	m.regs, m.waiting, m.last = map[uint16]byte{}, nil, nil
	m.fieldOff()
}

func (m *Module) fieldOff() {
	m.field, m.targets = false, [maxTargets]*card{}
	for _, k := range m.cards {
		k.power()
	}
}

// Present lays a card on the module until a time, 0 for until Remove. What it
// gives is to be sent: the answer to a listing that has waited for a card.
func (m *Module) Present(c Chip, now, until time.Duration) []byte {
	m.sweep(now)
	m.cards = append(m.cards, newCard(c, until, m.random))
	if m.waiting == nil {
		return nil
	}
	answer, wait := m.obey(m.waiting)
	if wait {
		return nil
	}
	m.waiting = nil
	return m.told(answer)
}

// Remove takes all cards away.
func (m *Module) Remove() { m.cards = nil }

// sweep takes away the cards whose time is over.
func (m *Module) sweep(now time.Duration) {
	m.cards = slices.DeleteFunc(m.cards, func(k *card) bool { return k.until != 0 && now >= k.until })
}

// Status is what can be seen of a module.
type Status struct {
	Awake   bool `json:"awake"`
	Field   bool `json:"field"`
	Cards   int  `json:"cards"`   // in front of it
	Targets int  `json:"targets"` // that it has listed and not released
}

// Status looks at it.
func (m *Module) Status(now time.Duration) Status {
	m.sweep(now)
	s := Status{Awake: m.awake, Field: m.field, Cards: len(m.cards)}
	for _, t := range m.targets {
		if t != nil {
			s.Targets++
		}
	}
	return s
}

// Kinds of fault.
const (
	Sums   = "bad_sum" // the next answers have a wrong sum
	Silent = "silent"  // the next commands are obeyed and not answered
	Torn   = "torn"    // the next exchanges with a card are not heard
)

// Fail makes the next count of something go wrong; false for a kind it has not.
func (m *Module) Fail(kind string, count int) bool { return m.faults.Set(kind, count) }

// Feed takes a byte from the wire and gives the bytes of an answer.
func (m *Module) Feed(x byte, now time.Duration) []byte {
	if !m.awake {
		m.awake = x == 0x55 && !m.deaf
		return nil
	}
	f, ok := m.scan.Feed(x)
	if !ok {
		return nil
	}
	m.sweep(now)
	switch f.kind {
	case kindACK:
		m.waiting = nil // stop what you do
		return nil
	case kindNACK:
		return m.last
	}
	m.waiting = nil
	answer, wait := m.obey(f.data)
	switch {
	case wait:
		m.waiting = f.data
		return slices.Clone(ackFrame)
	case m.faults.Spend(Silent):
		return nil
	}
	return append(slices.Clone(ackFrame), m.told(answer)...)
}

// told frames an answer; nil is a command that was not understood.
func (m *Module) told(answer []byte) []byte {
	m.last = slices.Clone(syntaxError)
	if answer != nil {
		m.last = information(answer)
	}
	b := slices.Clone(m.last)
	if m.faults.Spend(Sums) {
		b[len(b)-2] ^= 0x5A
	}
	return b
}
