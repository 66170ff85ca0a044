package fingerprint_test

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"sekimori/drivers"
)

// module models a fingerprint module from its own side of the wire, written from
// the manuals and sharing no code with the driver. Fingers are numbers; a
// template is the number of its finger.
type module struct {
	mu       sync.Mutex
	addr     uint32
	password uint32
	verified bool // since power-up
	capacity int
	level    int
	library  map[int]int // page → finger
	buffers  [3]int
	image    int // finger of the last picture; 0 none
	commands []heard

	laid  *touch   // on the sensor
	queue []*touch // to come
	free  time.Time

	out      bool                             // unplugged
	delay    time.Duration                    // before each answer
	deaf     map[byte]int                     // instruction → commands to ignore
	say      map[byte][]byte                  // instruction → payload of the next answers
	says     map[byte]int                     // how often say holds; 0 for ever
	mangle   func(code byte, b []byte) []byte // what the wire makes of an answer; nil leaves it
	noIndex  bool
	noRing   bool
	keep     bool   // says that it deletes, and does not
	hides    hiding // what it says of a template it kept after it said it had deleted it
	lied     bool   // it has said so
	garbles  bool   // stores another password than it is told
	anyPass  bool   // takes every password
	lights   [][]byte
	resetAt  byte // is reset before it answers this instruction, once
	muteZero bool // does not say that it has started up
	hello    func([]byte)
}

// hiding are the questions a module lies to about a template it kept.
type hiding struct{ count, index, load bool }

type heard struct {
	at   time.Time
	code byte
	args []byte
}

// touch is a finger that is laid on the sensor until it was compared or, if it
// is held, until somebody lifts it.
type touch struct {
	finger int
	bad    int  // pictures that cannot be used
	held   bool // stays until lift
	gone   bool // lifted after the bad pictures
	lifted time.Time
}

func newModule() *module {
	return &module{addr: 0xFFFFFFFF, capacity: 200, level: 3, library: map[int]int{},
		deaf: map[byte]int{}, say: map[byte][]byte{}, says: map[byte]int{}}
}

const (
	sugiNoYubi   = 77  // a finger of the tests
	tanakaNoYubi = 42  //
	stranger     = 999 // enrolled nowhere
)

func (m *module) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *module) Present(drivers.Card) {}
func (m *module) Press(string)         {}
func (m *module) SetTamper(bool)       {}

// Touch queues a touch of the finger enrolled at f's slot, or of a stranger.
func (m *module) Touch(f drivers.Finger) {
	m.set(func() {
		finger := stranger
		if slot, ok := f.Slot(); ok {
			finger = m.library[int(slot)]
		}
		if !m.out {
			m.queue = append(m.queue, &touch{finger: finger})
		}
	})
}

func (m *module) touch(t touch) { m.set(func() { m.queue = append(m.queue, &t) }) }

func (m *module) lift() {
	m.set(func() {
		if m.laid != nil {
			m.laid.lifted = time.Now()
		}
	})
}

func (m *module) Plug(in bool) {
	m.set(func() {
		m.out = !in
		if !in {
			m.queue, m.laid = nil, nil
		}
		m.powerUp()
	})
}

// powerUp forgets what power keeps, and says hello as an R503 does.
func (m *module) powerUp() {
	m.verified, m.buffers, m.image = false, [3]int{}, 0
	if m.hello != nil && !m.out && !m.muteZero {
		m.hello([]byte{0x55})
	}
}

func (m *module) seen(code byte) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.commands {
		if c.code == code {
			n++
		}
	}
	return n
}

func (m *module) heardAll() []heard {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands)
}

// finger is what is on the sensor now.
func (m *module) finger() *touch {
	now := time.Now()
	if m.laid != nil && !m.laid.lifted.IsZero() && now.After(m.laid.lifted) {
		m.free = m.laid.lifted.Add(300 * time.Millisecond)
		m.laid = nil
	}
	if m.laid == nil && len(m.queue) > 0 && now.After(m.free) {
		m.laid, m.queue = m.queue[0], m.queue[1:]
	}
	return m.laid
}

// used lifts a finger that has served.
func (m *module) used() {
	if m.laid != nil && !m.laid.held && m.laid.lifted.IsZero() {
		m.laid.lifted = time.Now().Add(150 * time.Millisecond)
	}
}

// obey carries one command out and returns the payload of its answer; nil is
// silence.
func (m *module) obey(code byte, args []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commands = append(m.commands, heard{time.Now(), code, slices.Clone(args)})
	if m.out {
		return nil
	}
	if m.resetAt == code {
		m.resetAt = 0
		m.powerUp()
	}
	if n := m.deaf[code]; n > 0 {
		m.deaf[code]--
		return nil
	}
	if p, ok := m.say[code]; ok {
		if m.says[code]--; m.says[code] == 0 {
			delete(m.say, code)
		}
		return p
	}
	if code == 0x13 { // VfyPwd
		if m.anyPass || num(args) == int(m.password) {
			m.verified = true
			return []byte{0x00}
		}
		m.verified = false
		return []byte{0x13}
	}
	if m.password != 0 && !m.verified && !m.anyPass {
		return []byte{0x21}
	}
	return m.work(code, args)
}

func (m *module) work(code byte, args []byte) []byte {
	switch code {
	case 0x01: // GetImage
		return []byte{m.picture()}
	case 0x02: // Img2Tz
		return []byte{m.features(args[0])}
	case 0x03: // Match
		if m.buffers[1] == m.buffers[2] && m.buffers[1] != 0 {
			m.used()
			return []byte{0x00, 0x00, 0x58}
		}
		m.used()
		return []byte{0x08, 0x00, 0x00}
	case 0x04: // Search
		m.used()
		return m.search(m.buffers[args[0]], num(args[1:3]), num(args[3:5]))
	case 0x05: // RegModel
		m.used()
		if m.buffers[1] == 0 || m.buffers[1] != m.buffers[2] {
			return []byte{0x0A}
		}
		return []byte{0x00}
	case 0x12: // SetPwd
		if !m.keep {
			m.password = uint32(num(args))
			if m.garbles {
				m.password++
			}
		}
		return []byte{0x00}
	case 0x0E: // SetSysPara
		if args[0] == 5 {
			m.level = int(args[1])
			return []byte{0x00}
		}
		return []byte{0x1A}
	case 0x0F: // ReadSysPara
		return []byte{0x00, 0, 4, 0, 0, byte(m.capacity >> 8), byte(m.capacity), 0, byte(m.level),
			byte(m.addr >> 24), byte(m.addr >> 16), byte(m.addr >> 8), byte(m.addr), 0, 2, 0, 6}
	case 0x35: // AuraLedConfig
		if m.noRing {
			return []byte{0x01}
		}
		m.lights = append(m.lights, slices.Clone(args))
		return []byte{0x00}
	}
	return m.keepers(code, args)
}

func (m *module) keepers(code byte, args []byte) []byte {
	switch code {
	case 0x06, 0x07, 0x0C: // Store, LoadChar, DeletChar
		return []byte{m.page(code, args)}
	case 0x0D: // Empty
		if !m.keep {
			m.library = map[int]int{}
		}
		return []byte{0x00}
	case 0x1D: // TemplateNum
		n := len(m.library)
		if m.lied && m.hides.count {
			n--
		}
		return []byte{0x00, byte(n >> 8), byte(n)}
	case 0x1F: // ReadConList
		if m.noIndex {
			return []byte{0x01}
		}
		list := make([]byte, 33)
		for page := range m.library {
			if page/256 == int(args[0]) && !(m.lied && m.hides.index) {
				list[1+page%256/8] |= 1 << (page % 8)
			}
		}
		return list
	}
	return []byte{0x01}
}

func (m *module) page(code byte, args []byte) byte {
	buffer, page := 0, num(args[:2])
	if code != 0x0C {
		buffer, page = int(args[0]), num(args[1:3])
	}
	if page >= m.capacity {
		return 0x0B
	}
	switch code {
	case 0x06:
		m.library[page] = m.buffers[buffer]
	case 0x07:
		f, there := m.library[page]
		if !there || m.lied && m.hides.load {
			return 0x0C
		}
		m.buffers[buffer] = f
	case 0x0C:
		m.lied = m.keep
		for i := range num(args[2:4]) {
			if !m.keep {
				delete(m.library, page+i)
			}
		}
	}
	return 0x00
}

func (m *module) picture() byte {
	f := m.finger()
	m.image = 0
	switch {
	case f == nil:
		return 0x02
	case f.gone && f.bad == 0:
		m.used()
	default:
		m.image = f.finger
	}
	return 0x00
}

func (m *module) features(buffer byte) byte {
	switch {
	case m.image == 0:
		return 0x15
	case m.laid != nil && m.laid.bad > 0:
		m.laid.bad--
		if m.laid.gone && m.laid.bad == 0 {
			m.laid.lifted = time.Now()
		}
		return 0x06
	}
	m.buffers[buffer] = m.image
	if buffer == 2 {
		m.used()
	}
	return 0x00
}

func (m *module) search(finger, first, n int) []byte {
	for page := first; page < first+n; page++ {
		if f, there := m.library[page]; there && f == finger {
			return []byte{0x00, byte(page >> 8), byte(page), 0x00, 0x60}
		}
	}
	return []byte{0x09, 0x01, 0xEE, 0x00, 0x00} // an R503 names a page all the same
}

func num(b []byte) (n int) {
	for _, x := range b {
		n = n<<8 | int(x)
	}
	return n
}

// frame is the wire's form of an answer.
func frame(addr uint32, kind byte, payload []byte) []byte {
	b := []byte{0xEF, 0x01, byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr), kind,
		byte((len(payload) + 2) >> 8), byte(len(payload) + 2)}
	b = append(b, payload...)
	s := 0
	for _, x := range b[6:] {
		s += int(x)
	}
	return append(b, byte(s>>8), byte(s))
}

// serve answers the commands that come from port until it is closed.
func (m *module) serve(port io.ReadWriter) {
	m.set(func() { m.hello = func(b []byte) { _, _ = port.Write(b) } })
	var in []byte
	buf := make([]byte, 64)
	for {
		n, err := port.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		for len(in) >= 12 {
			size := 9 + num(in[7:9])
			if in[0] != 0xEF || in[1] != 0x01 || size > 64 {
				in = in[1:]
				continue
			}
			if len(in) < size {
				break
			}
			m.answer(port, in[:size])
			in = in[size:]
		}
	}
}

func (m *module) answer(port io.Writer, b []byte) {
	code := b[9]
	var payload []byte
	if want := frame(m.addr, 0x01, b[9:len(b)-2]); slices.Equal(want, b) {
		payload = m.obey(code, b[10:len(b)-2])
	}
	m.mu.Lock()
	delay, mangle, addr := m.delay, m.mangle, m.addr
	m.mu.Unlock()
	time.Sleep(delay)
	if payload == nil {
		return
	}
	out := frame(addr, 0x07, payload)
	if mangle != nil {
		out = mangle(code, out)
	}
	_, _ = port.Write(out)
}

// noTransfer fails the test if an instruction that carries templates or pictures
// was ever heard [T-23].
func (m *module) noTransfer(t testing.TB) {
	t.Helper()
	for _, c := range m.heardAll() {
		if c.code >= 0x08 && c.code <= 0x0B {
			t.Errorf("instruction %#02x was on the wire", c.code)
		}
	}
}
