package osdp

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Trace is one frame on the line, for a person who watches it. Text has what it
// says in words, decrypted where the link could, without any card number, typed
// key or secret.
type Trace struct {
	At     time.Time
	Reader string
	Sent   bool // by us
	Frame  Frame
	Text   string
}

func (t Trace) String() string {
	arrow := "◀"
	if t.Sent {
		arrow = "▶"
	}
	lock := ""
	if t.Frame.Secure() {
		lock = " 🔒"
	}
	return fmt.Sprintf("%s %s %s 番地%d 順%d%s %s", t.At.Format("15:04:05.000"), arrow, t.Reader, t.Frame.Addr, t.Frame.Seq(), lock, t.Text)
}

// taps is who watches the line.
type taps struct {
	mu   sync.Mutex
	next int
	fns  map[int]func(Trace)
}

// Tap calls watch with every frame sent and heard, in order, on the bus's own
// goroutine: watch must not wait. The returned function ends it.
func (b *Bus) Tap(watch func(Trace)) (stop func()) {
	t := &b.taps
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fns == nil {
		t.fns = map[int]func(Trace){}
	}
	id := t.next
	t.next++
	t.fns[id] = watch
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.fns, id)
	}
}

// tell makes the words only when somebody watches.
func (t *taps) tell(trace func() Trace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.fns) == 0 {
		return
	}
	made := trace()
	for _, watch := range t.fns {
		watch(made)
	}
}

// CommandWords is a command in words, with nothing secret in them.
func CommandWords(c Command) string {
	name := nameOf(c.Code(), false)
	switch c := c.(type) {
	case LED:
		for _, l := range c.Lamps {
			name += fmt.Sprintf(" [%d/%d 常時%s", l.Reader, l.Number, l.Perm.words())
			if l.TempControl == 2 {
				name += fmt.Sprintf(" 一時%s %v", l.Temp.words(), hundredMillis(int(l.For)))
			}
			name += "]"
		}
	case Buz:
		name += fmt.Sprintf(" %v × %d", hundredMillis(int(c.On)), c.Count)
	case Out:
		for _, o := range c.Outputs {
			name += fmt.Sprintf(" [%d: %d %v]", o.Number, o.Control, hundredMillis(int(o.Timer)))
		}
	case Text:
		name += fmt.Sprintf(" %q", c.Text)
	case ComSet:
		name += fmt.Sprintf(" 番地%d %d baud", c.Address, c.Baud)
	case FileTransfer:
		name += fmt.Sprintf(" %d+%d/%d", c.Offset, len(c.Part), c.Size)
	}
	return name
}

// ReplyWords is a reply in words, with nothing secret in them.
func ReplyWords(r Reply) string {
	name := nameOf(r.Code(), true)
	switch r := r.(type) {
	case Nak:
		name += ": " + nakWords[r.Reason]
	case PDID:
		name += fmt.Sprintf(" vendor %X model %d version %d serial %d firmware %d.%d.%d", r.Vendor, r.Model, r.Version, r.Serial, r.Firmware[0], r.Firmware[1], r.Firmware[2])
	case PDCap:
		for _, f := range r.Functions {
			name += fmt.Sprintf(" %d:%d/%d", f.Function, f.Compliance, f.Count)
		}
	case LStatR:
		name += map[bool]string{false: " 閉", true: " 開 tamper"}[r.Tamper] + map[bool]string{false: "", true: " 電源低下 power"}[r.PowerFail]
	case IStatR:
		name += fmt.Sprintf(" %v", r.Inputs)
	case OStatR:
		name += fmt.Sprintf(" %v", r.Outputs)
	case RStatR:
		name += fmt.Sprintf(" %v", r.Heads)
	case Raw:
		name += fmt.Sprintf(" %v", r.Card)
	case Keypad:
		name += fmt.Sprintf(" %v", r.Keys)
	case Com:
		name += fmt.Sprintf(" 番地%d %d baud", r.Address, r.Baud)
	case BioMatchR:
		name += fmt.Sprintf(" 状態%d 点数%d", r.Status, r.Score)
	case FTStat:
		name += fmt.Sprintf(" %d 待ち%v", r.Status, time.Duration(r.Delay)*time.Millisecond)
	}
	return name
}

func hundredMillis(n int) time.Duration { return time.Duration(n) * 100 * time.Millisecond }

func (k Blink) words() string {
	on, off := k.OnColor.String(), k.OffColor.String()
	if on == off || k.Off == 0 {
		return on
	}
	return strings.Join([]string{on, off}, "/")
}

// String is the colour in words.
func (c Color) String() string {
	names := [...]string{"消", "赤", "緑", "橙", "青", "紫", "水", "白"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("色%d", byte(c))
}
