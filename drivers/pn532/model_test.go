package pn532_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
)

// module is the chip as the manual describes it, seen from its side of the wire
// and written without the driver's codec. It starts asleep, waits for ever for a
// card until it is told not to, and a card it has activated does not answer a
// listing again before the field was off.
type module struct {
	mu      sync.Mutex
	awake   bool     // guarded by mu, as all below
	endless bool     // a listing waits for a card
	ic      byte     // what it says it is
	seen    [][]byte // commands, newest last
	first   []byte   // what the host wrote before anything was answered
	last    []byte   // the answer that a NACK asks for again

	cards   []*chip // in the field; the first that answers is found
	listed  *chip   // the target of exchanges
	queue   []*chip // of Present
	shown   time.Time
	cleared time.Time

	unplugged bool
	delay     time.Duration // before each answer
	loseACK   int           // acknowledgements to leave out
	lose      int           // answers to leave out
	damage    int           // answers to damage
	twice     int           // answers to send twice
	refuse    int           // commands to answer with an error frame
	noise     int           // answers to send rubbish before
	blind     bool          // listings are not answered
	garble    int           // answers of a card to damage
}

// chip is a card.
type chip struct {
	felica byte // 0: type A; 1: answers at 212; 2: at 424; 3: at both
	uid    []byte
	random bool    // makes up its UID each time it gets power
	power  byte    // how often it got power
	active bool    // it was listed since then, and answers no listing
	app    *applet // type A: takes commands
	quick  bool    // of Present: goes away by itself
}

func (c *chip) number() []byte {
	if c.random {
		return []byte{0x08, c.power, 0x5A, 0xA5}
	}
	return c.uid
}

func newModule() *module { return &module{endless: true, ic: 0x32} }

func (m *module) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// reset is a power cut: all that the host has told it is gone.
func (m *module) reset() { m.set(func() { m.awake, m.endless = false, true; m.off() }) }

// off takes the field away: every card starts anew.
func (m *module) off() {
	for _, c := range m.cards {
		c.power++
		c.active = false
	}
}

func (m *module) hold(cs ...*chip) {
	m.set(func() {
		m.cards = cs
		m.off()
	})
}

func (m *module) commands() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

// The methods of drivertest.Device. A card of Present lies there for a while
// after it was found, and goes; the next one comes 600 ms later.
func (m *module) Present(c drivers.Card) {
	m.set(func() { m.queue = append(m.queue, &chip{uid: c.Bits(), quick: true}) })
}

func (m *module) Press(string)   {}
func (m *module) SetTamper(bool) {}
func (m *module) Plug(in bool) {
	m.reset()
	m.set(func() { m.unplugged = !in })
}

// serve answers at one end of a cable until it is closed.
func (m *module) serve(port line.Port) {
	var in []byte
	buf := make([]byte, 64)
	for {
		n, err := port.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		for {
			out, rest, pause := m.take(in)
			if len(rest) == len(in) {
				break
			}
			in = rest
			for i, b := range out {
				if i > 0 {
					time.Sleep(pause)
				}
				if _, err := port.Write(b); err != nil {
					return
				}
			}
		}
	}
}

// take reads one frame off in and gives what to write, with a pause before each
// but the first.
func (m *module) take(in []byte) (out [][]byte, rest []byte, pause time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unplugged {
		return nil, nil, 0
	}
	if !m.awake {
		if len(m.first) < 64 {
			m.first = append(m.first, in...)
		}
		at := bytes.IndexByte(in, 0x55)
		if at < 0 {
			return nil, nil, 0
		}
		m.awake = true
		in = in[at:]
	}
	at := bytes.Index(in, []byte{0, 0, 0xFF})
	if at < 0 || len(in) < at+6 {
		return nil, in, 0
	}
	f := in[at+3:]
	switch {
	case f[0] == 0 && f[1] == 0xFF: // ACK: stop
		return nil, f[3:], 0
	case f[0] == 0xFF && f[1] == 0: // NACK: again
		return [][]byte{m.last}, f[3:], 0
	}
	size := int(f[0]) + 4 // LEN LCS … DCS postamble
	if len(f) < size {
		return nil, in, 0
	}
	command := f[3 : size-2]
	if f[0]+f[1] != 0 || f[2] != 0xD4 || total(f[2:size-1]) != 0 {
		return nil, f[size:], 0 // the chip says nothing to a damaged command
	}
	m.seen = append(m.seen, bytes.Clone(command))
	return m.reply(command), f[size:], 5*time.Millisecond + m.delay
}

func total(b []byte) (s byte) {
	for _, x := range b {
		s += x
	}
	return s
}

var (
	ackFrame   = []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00}
	errorFrame = []byte{0x00, 0x00, 0xFF, 0x01, 0xFF, 0x7F, 0x81, 0x00}
)

func fault(n *int) bool {
	if *n > 0 {
		*n--
		return true
	}
	return false
}

// reply is ACK and answer, with the faults that are asked for.
func (m *module) reply(command []byte) [][]byte {
	ack := ackFrame
	if fault(&m.loseACK) {
		ack = nil
	}
	if fault(&m.refuse) {
		return [][]byte{ack, errorFrame}
	}
	data, ok := m.answer(command)
	if command[0] == 0x4A && m.blind {
		ok = false
	}
	if !ok || fault(&m.lose) {
		return [][]byte{ack}
	}
	body := append([]byte{0xD5, command[0] + 1}, data...)
	n := byte(len(body))
	frame := append([]byte{0x00, 0x00, 0xFF, n, -n}, body...)
	frame = append(frame, -total(body), 0x00)
	m.last = frame
	switch {
	case fault(&m.damage), command[0] == 0x40 && fault(&m.garble):
		bad := bytes.Clone(frame)
		bad[len(bad)-2] ^= 0x10
		return [][]byte{ack, bad}
	case fault(&m.twice):
		return [][]byte{ack, frame, ack, frame}
	case fault(&m.noise):
		return [][]byte{ack, {0xA5, 0x00, 0x3C, 0x00, 0xFF, 0x02}, frame}
	}
	return [][]byte{ack, frame}
}

func (m *module) answer(c []byte) (data []byte, ok bool) {
	switch c[0] {
	case 0x02:
		return []byte{m.ic, 0x01, 0x06, 0x07}, true
	case 0x32:
		switch {
		case c[1] == 0x05:
			m.endless = c[4] != 0
		case c[1] == 0x01 && c[2]&1 == 0:
			m.off()
		}
		return nil, true
	case 0x4A:
		return m.list(c)
	case 0x40:
		return m.exchange(c[2:]), true
	case 0x14, 0x52:
		return []byte{}[:0:0], true
	}
	return nil, false
}

func (m *module) list(c []byte) ([]byte, bool) {
	m.world()
	for _, card := range m.cards {
		data := card.listing(c[2])
		if data == nil || card.active {
			continue
		}
		card.active, m.listed = true, card
		if m.shown.IsZero() {
			m.shown = time.Now()
		}
		return append([]byte{1, 1}, data...), true
	}
	return []byte{0}, !m.endless
}

// world moves the cards of Present.
func (m *module) world() {
	now := time.Now()
	if len(m.cards) > 0 && m.cards[0].quick && !m.shown.IsZero() && now.Sub(m.shown) > 100*time.Millisecond {
		m.cards, m.cleared = nil, now
	}
	if len(m.cards) == 0 && len(m.queue) > 0 && now.Sub(m.cleared) > 600*time.Millisecond {
		m.cards, m.queue, m.shown = m.queue[:1:1], m.queue[1:], time.Time{}
	}
}

// listing is the target data of a card for a BrTy, nil when it does not answer.
func (c *chip) listing(brty byte) []byte {
	if c.felica > 0 {
		if brty == 0 || brty > 2 || c.felica&brty == 0 {
			return nil
		}
		pol := append([]byte{18, 0x01}, c.uid...)
		return append(pol, 0x03, 0x01, 0x4B, 0x02, 0x4F, 0x49, 0x93, 0xFF)
	}
	if brty != 0 {
		return nil
	}
	sak, ats := byte(0x08), []byte(nil)
	if c.app != nil {
		sak, ats = 0x20, []byte{0x06, 0x75, 0x77, 0x81, 0x02, 0x80}
	}
	b := append([]byte{0x00, 0x44, sak, byte(len(c.number()))}, c.number()...)
	return append(b, ats...)
}

// exchange is a command to the card: the chip's status, then what the card says.
func (m *module) exchange(apdu []byte) []byte {
	if !slices.Contains(m.cards, m.listed) || !m.listed.active || m.listed.app == nil {
		return []byte{0x01} // time-out
	}
	answer, heard := m.listed.app.take(apdu)
	if !heard {
		return []byte{0x01}
	}
	return append([]byte{0x00}, answer...)
}

// cable is a port that can be opened again: each opening is a new pair with the
// same module on it.
type cable struct {
	module *module
	wg     sync.WaitGroup
	mu     sync.Mutex
	theirs line.Port // guarded by mu
	gone   bool      // guarded by mu
}

func (c *cable) open() (line.Port, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, errors.New("no such file")
	}
	if c.theirs != nil {
		c.theirs.Close()
	}
	ours, theirs := line.PairAt(115200)
	c.theirs = theirs
	c.wg.Go(func() { c.module.serve(theirs) })
	return ours, nil
}

// setGone pulls the adapter out, or puts it back.
func (c *cable) setGone(gone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = gone
	if gone && c.theirs != nil {
		c.theirs.Close()
		c.theirs = nil
	}
}

// write puts bytes on the line that the module did not say.
func (c *cable) write(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.theirs.Write(b)
}

func (c *cable) close() {
	c.setGone(true)
	c.wg.Wait()
}
