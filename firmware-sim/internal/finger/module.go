// Package finger is a fingerprint module of the ZFM-20, R30x and R503 family, as
// it answers on its serial line.
//
//	bytes ── scanner ── packet ── Module ── answer ── bytes
//	                                ▲
//	       a finger on the sensor ──┘
//
// A finger is a name: two touches of one name match, whatever the weather.
// Templates are names too; they never leave, because the commands that would
// move them over the wire are answered as unknown.
package finger

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"sekimori/firmware-sim/internal/uart"
)

// Confirmation codes.
const (
	done         = 0x00
	badPacket    = 0x01
	noFinger     = 0x02
	messy        = 0x06
	noMatch      = 0x08
	notFound     = 0x09
	different    = 0x0A
	badPage      = 0x0B
	noTemplate   = 0x0C
	badPassword  = 0x13
	noImage      = 0x15
	badRegister  = 0x1A
	mustVerify   = 0x21
	score        = 120 // of every match
	pagesOfTable = 256
)

// Config is a module as it comes out of its box, and what it holds.
type Config struct {
	Address   uint32
	Password  uint32
	Capacity  int
	Templates map[int]string // page → finger
}

// Module is one module. It is not safe for concurrent use.
type Module struct {
	scan uart.Scanner[packet]

	address  uint32
	password uint32
	capacity int
	level    byte
	packets  byte
	pages    map[int]string

	open    bool // the password was right since power came
	image   string
	blurred bool
	buffers [2]string

	finger string // on the sensor
	until  time.Duration
	light  Light

	writes int // to flash
	faults uart.Faults
}

// Light is what the ring shows.
type Light struct{ Mode, Speed, Color, Times byte }

// New makes a module with power on.
func New(c Config) *Module {
	m := &Module{address: c.Address, password: c.Password, capacity: c.Capacity, level: 3, packets: 2, pages: map[int]string{},
		scan: uart.Scanner[packet]{Parse: parse}, faults: uart.Faults{Blur: 0, Sums: 0, Lie: 0}}
	maps.Copy(m.pages, c.Templates)
	return m
}

// PowerCut is a moment without power: pages, password and level stay.
func (m *Module) PowerCut() {
	m.scan.Reset()
	m.open, m.image, m.buffers, m.light = false, "", [2]string{}, Light{}
}

// Touch lays a finger on the sensor until a time.
func (m *Module) Touch(finger string, until time.Duration) { m.finger, m.until = finger, until }

// Touched tells whether a finger lies on the sensor.
func (m *Module) Touched(now time.Duration) bool { return m.finger != "" && now < m.until }

// Templates is what the module holds, by page.
func (m *Module) Templates() map[int]string { return maps.Clone(m.pages) }

// Password is the one it asks for.
func (m *Module) Password() uint32 { return m.password }

// Writes counts what changed in the memory that needs no power.
func (m *Module) Writes() int { return m.writes }

// Light is what the ring shows.
func (m *Module) Light() Light { return m.light }

// Bound tells whether the password was given since power came.
func (m *Module) Bound() bool { return m.open }

// Restore gives it back what it held.
func (m *Module) Restore(password uint32, pages map[int]string) {
	m.password, m.pages = password, maps.Clone(pages)
}

// Kinds of fault.
const (
	Blur = "unreadable" // the next pictures show nothing
	Sums = "bad_sum"    // the next answers have a wrong sum
	Lie  = "lie"        // the next deletions are confirmed and not done
)

// Fail makes the next count of something go wrong; false for a kind it has not.
func (m *Module) Fail(kind string, count int) bool { return m.faults.Set(kind, count) }

// Feed takes a byte from the wire and gives the bytes of an answer.
func (m *Module) Feed(x byte, now time.Duration) []byte {
	p, ok := m.scan.Feed(x)
	if !ok || p.address != m.address || p.kind != kindCommand || len(p.payload) == 0 {
		return nil
	}
	answer := []byte{badPacket}
	if p.sound {
		answer = m.obey(p.payload[0], p.payload[1:], now)
	}
	b := packet{address: m.address, kind: kindAnswer, payload: answer}.bytes()
	if m.faults.Spend(Sums) {
		b[len(b)-1] ^= 0x5A
	}
	return b
}

// arguments is how many bytes each known command has after its code.
var arguments = map[byte]int{
	0x01: 0, 0x02: 1, 0x03: 0, 0x04: 5, 0x05: 0, 0x06: 3, 0x07: 3, 0x0C: 4, 0x0D: 0, 0x0E: 2, 0x0F: 0,
	0x12: 4, 0x13: 4, 0x1D: 0, 0x1F: 1, 0x35: 4,
}

func (m *Module) obey(code byte, args []byte, now time.Duration) []byte {
	n, known := arguments[code]
	switch {
	case !known || n != len(args):
		return []byte{badPacket}
	case code == 0x13:
		return m.verify(args)
	case m.password != 0 && !m.open:
		return []byte{mustVerify}
	}
	switch code {
	case 0x01:
		return m.look(now)
	case 0x02:
		return m.extract(args[0])
	case 0x03:
		return m.compare()
	case 0x04:
		return m.search(args)
	case 0x05:
		return m.combine()
	case 0x06:
		return m.store(args)
	case 0x07:
		return m.load(args)
	case 0x0C:
		return m.remove(args)
	}
	return m.manage(code, args)
}

// manage answers what has nothing to do with a finger.
func (m *Module) manage(code byte, args []byte) []byte {
	switch code {
	case 0x0D:
		if !m.faults.Spend(Lie) {
			clear(m.pages)
			m.writes++
		}
	case 0x0E:
		return m.set(args[0], args[1])
	case 0x0F:
		return m.parameters()
	case 0x12:
		m.password, m.open = binary.BigEndian.Uint32(args), true
		m.writes++
	case 0x1D:
		return binary.BigEndian.AppendUint16([]byte{done}, uint16(len(m.pages)))
	case 0x1F:
		return m.index(int(args[0]))
	case 0x35:
		m.light = Light{args[0], args[1], args[2], args[3]}
	}
	return []byte{done}
}

func (m *Module) verify(args []byte) []byte {
	if binary.BigEndian.Uint32(args) != m.password {
		m.open = false
		return []byte{badPassword}
	}
	m.open = true
	return []byte{done}
}

// look is GetImage.
func (m *Module) look(now time.Duration) []byte {
	if !m.Touched(now) {
		return []byte{noFinger}
	}
	m.image, m.blurred = m.finger, m.faults.Spend(Blur)
	return []byte{done}
}

// extract is Img2Tz. A buffer number other than 1 means the second.
func (m *Module) extract(buffer byte) []byte {
	switch {
	case m.image == "":
		return []byte{noImage}
	case m.blurred:
		return []byte{messy}
	}
	*m.buffer(buffer) = m.image
	return []byte{done}
}

func (m *Module) buffer(n byte) *string {
	if n == 1 {
		return &m.buffers[0]
	}
	return &m.buffers[1]
}

// compare is Match.
func (m *Module) compare() []byte {
	if m.buffers[0] == "" || m.buffers[0] != m.buffers[1] {
		return binary.BigEndian.AppendUint16([]byte{noMatch}, 0)
	}
	return binary.BigEndian.AppendUint16([]byte{done}, score)
}

// search is Search: buffer 1, first page 2, number 2.
func (m *Module) search(args []byte) []byte {
	want := *m.buffer(args[0])
	first, n := int(binary.BigEndian.Uint16(args[1:])), int(binary.BigEndian.Uint16(args[3:]))
	for _, page := range slices.Sorted(maps.Keys(m.pages)) {
		if page >= first && page < first+n && m.pages[page] == want && want != "" {
			b := binary.BigEndian.AppendUint16([]byte{done}, uint16(page))
			return binary.BigEndian.AppendUint16(b, score)
		}
	}
	return []byte{notFound, 0, 0, 0, 0}
}

// combine is RegModel.
func (m *Module) combine() []byte {
	if m.buffers[0] == "" || m.buffers[0] != m.buffers[1] {
		return []byte{different}
	}
	return []byte{done}
}

// page reads a page number and tells whether the module has it.
func (m *Module) page(b []byte) (int, bool) {
	n := int(binary.BigEndian.Uint16(b))
	return n, n < m.capacity
}

func (m *Module) store(args []byte) []byte {
	page, ok := m.page(args[1:])
	if !ok {
		return []byte{badPage}
	}
	m.pages[page] = *m.buffer(args[0])
	m.writes++
	return []byte{done}
}

func (m *Module) load(args []byte) []byte {
	page, ok := m.page(args[1:])
	if !ok {
		return []byte{badPage}
	}
	held, ok := m.pages[page]
	if !ok {
		return []byte{noTemplate}
	}
	*m.buffer(args[0]) = held
	return []byte{done}
}

// remove is DeletChar: first page 2, number 2.
func (m *Module) remove(args []byte) []byte {
	first, ok := m.page(args)
	n := int(binary.BigEndian.Uint16(args[2:]))
	if !ok || first+n > m.capacity {
		return []byte{badPage}
	}
	if m.faults.Spend(Lie) {
		return []byte{done}
	}
	for page := first; page < first+n; page++ {
		delete(m.pages, page)
	}
	m.writes++
	return []byte{done}
}

// set is SetSysPara; only the security level can be set here.
func (m *Module) set(number, value byte) []byte {
	if number != 5 || value < 1 || value > 5 {
		return []byte{badRegister}
	}
	m.level = value
	return []byte{done}
}

// parameters is ReadSysPara: status, system, capacity, level, address, packet
// size as a power, baud in units of 9600.
func (m *Module) parameters() []byte {
	b := []byte{done, 0, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(m.capacity))
	b = append(b, 0, m.level)
	b = binary.BigEndian.AppendUint32(b, m.address)
	return append(b, 0, m.packets, 0, 6)
}

// index is ReadConList: a bit per page of one table, the lowest page in the
// lowest bit of the first byte.
func (m *Module) index(table int) []byte {
	b := make([]byte, 1+pagesOfTable/8)
	for page := range m.pages {
		if page/pagesOfTable == table {
			at := page % pagesOfTable
			b[1+at/8] |= 1 << (at % 8)
		}
	}
	return b
}
