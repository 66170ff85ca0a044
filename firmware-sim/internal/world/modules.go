package world

import (
	"fmt"
	"sync"
	"time"

	"sekimori/firmware-sim/internal/bus"
	"sekimori/firmware-sim/internal/finger"
	"sekimori/firmware-sim/internal/mono"
	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/site"
)

// module is a fingerprint module on its own serial line.
type module struct {
	wired
	written func() // its memory changed

	mu     sync.Mutex
	unit   *finger.Module // guarded by mu
	writes int            // guarded by mu: as last told to written
}

// think is how long a module works on an answer; real ones take up to half a
// second for a picture, which would only make tests longer.
const think = 5 * time.Millisecond

func (w *World) addModule(ctl *controller, r site.Reader, saved savedState) (*module, error) {
	m := &module{unit: finger.New(r.Module()), written: w.saveReaders}
	if s, ok := saved.Modules[r.ID]; ok {
		m.unit.Restore(s.Password, s.Templates)
	}
	var err error
	m.wired, err = w.wire(ctl, r, m)
	return m, err
}

// Feed is the module's end of the line.
func (m *module) Feed(x byte, now time.Duration) []byte {
	m.mu.Lock()
	answer := m.unit.Feed(x, now)
	changed := m.unit.Writes() != m.writes
	m.writes = m.unit.Writes()
	m.mu.Unlock()
	if changed {
		m.written()
	}
	return answer
}

// savedModule is what a module remembers without power. A template is a name
// here: pretend fingers have no lines.
type savedModule struct {
	Password  uint32         `json:"password"`
	Templates map[int]string `json:"templates"`
}

// FingerprintView is what can be seen of a module, and what its memory holds.
type FingerprintView struct {
	Bound     bool           `json:"bound"`   // its password was given since power came
	Touched   bool           `json:"touched"` // a finger lies on it
	Templates map[int]string `json:"templates"`
	Light     finger.Light   `json:"light"`
}

func (m *module) saved() savedModule {
	m.mu.Lock()
	defer m.mu.Unlock()
	return savedModule{Password: m.unit.Password(), Templates: m.unit.Templates()}
}

func (m *module) view() FingerprintView {
	m.mu.Lock()
	defer m.mu.Unlock()
	return FingerprintView{Bound: m.unit.Bound(), Touched: m.unit.Touched(time.Duration(mono.Now())), Templates: m.unit.Templates(), Light: m.unit.Light()}
}

// colour is the light in the words of the other readers.
func (v FingerprintView) colour() string {
	if v.Light.Mode == 0 || v.Light.Mode == 4 {
		return "off"
	}
	switch v.Light.Color {
	case 1:
		return "red"
	case 2:
		return "blue"
	case 3:
		return "purple"
	}
	return fmt.Sprintf("colour %d", v.Light.Color)
}

func (m *module) touch(name string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unit.Touch(name, time.Duration(mono.Now())+d)
}

// at names the finger enrolled at a slot; a stranger's if there is none.
func (m *module) at(slot uint16) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name, ok := m.unit.Templates()[int(slot)]; ok && slot != 0 {
		return name
	}
	return "stranger"
}

// fail makes the next count of something go wrong; false for a kind it has not.
func (m *module) fail(kind string, count int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kind == string(bus.Power) {
		m.unit.PowerCut()
		return true
	}
	return m.unit.Fail(kind, count)
}

// Touch lays a named finger on a fingerprint module for a while.
func (w *World) Touch(id, name string, d time.Duration) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	if r.module == nil {
		return problem.New(problem.NotSupported, id+" は指を名前で当てる装置ではありません。OSDP の読取装置には登録番号(SLOT)で当ててください。",
			id+" takes no finger by name; at an OSDP reader give the slot")
	}
	r.module.touch(name, d)
	w.tellReader(r, "finger", "")
	return nil
}
