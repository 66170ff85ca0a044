// Package site is the settings file of the simulator: which cards, controllers,
// doors and readers there are.
//
//	version: 1
//	cards:        資格番号 → what the card's chip holds
//	controllers:  one per pretend board
//	  buses:      RS-485 lines, one pty each
//	  doors:      lock, leaf and their five wires
//	  readers:    osdp (bus, address) wiegand (D0, D1),
//	              fingerprint or pn532 (port, one pty each)
package site

import (
	"fmt"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/door"
	"sekimori/firmware-sim/internal/pd"
	"sekimori/firmware-sim/internal/pulse"
	"sekimori/internal/settings"
)

// Site is the whole file.
type Site struct {
	Cards       []Card       `yaml:"cards"`
	Controllers []Controller `yaml:"controllers" settings:"required,max=256"`
}

// Card is one printed card.
type Card struct {
	Number   string `yaml:"number" settings:"required,max=32"`
	Name     string `yaml:"name" settings:"max=32"`
	Format   string `yaml:"format" settings:"required,enum=h10301|h10302|h10304|h10306"`
	Facility uint64 `yaml:"facility"`
	ID       uint64 `yaml:"id" settings:"required"`

	UID         string `yaml:"uid"`         // ISO 14443A number: 8, 14 or 20 hexadecimal digits
	IDm         string `yaml:"idm"`         // FeliCa number: 16 hexadecimal digits
	Key         string `yaml:"key"`         // AES key of a card that proves itself, 32 hexadecimal digits, for tests only
	Diversified bool   `yaml:"diversified"` // key is the site's; the card has its own, made of it by AN10922
	System      string `yaml:"system"`      // diversified: what follows the UID in AN10922's input, at most 48 hexadecimal digits
	Application string `yaml:"application"` // DF name or DESFire AID in hexadecimal; that of an NTAG 424 DNA if left out
}

// Controller is one board: its lines are one socket, each bus one pty.
type Controller struct {
	ID      string   `yaml:"id" settings:"required,id"`
	Buses   []Bus    `yaml:"buses"`
	Doors   []Door   `yaml:"doors" settings:"required"`
	Readers []Reader `yaml:"readers"`
}

// Bus is one RS-485 line.
type Bus struct {
	Name       string            `yaml:"name" settings:"required,id"`
	Baud       int               `yaml:"baud" settings:"min=9600,max=230400"`
	Paced      bool              `yaml:"paced"`      // bytes take the time a wire needs
	Turnaround settings.Duration `yaml:"turnaround"` // of each reader on it
}

// SetDefaults is 9600 baud, the speed every OSDP reader starts with.
func (b *Bus) SetDefaults() {
	b.Baud, b.Paced, b.Turnaround = 9600, true, settings.Every(time.Millisecond)
}

// Door is one door.
type Door struct {
	ID          string `yaml:"id" settings:"required,id"`
	Lock        string `yaml:"lock" settings:"required,enum=fail-secure|fail-safe"`
	RelayActive string `yaml:"relay_active" settings:"enum=high|low"`
}

// SetDefaults is a relay that level 1 energises.
func (d *Door) SetDefaults() { d.RelayActive = "high" }

// Spec is the door as physics sees it.
func (d Door) Spec() door.Spec {
	return door.Spec{FailSafe: d.Lock == "fail-safe", ActiveLow: d.RelayActive == "low"}
}

// Kinds of reader.
const (
	OSDP        = "osdp"
	Wiegand     = "wiegand"
	Fingerprint = "fingerprint"
	PN532       = "pn532"
)

// Reader is one reader.
type Reader struct {
	ID   string `yaml:"id" settings:"required,id"`
	Door string `yaml:"door" settings:"required"`
	Kind string `yaml:"kind" settings:"required,enum=osdp|wiegand|fingerprint|pn532"`

	Bus        string `yaml:"bus"`                                      // osdp
	Address    int    `yaml:"address" settings:"min=0,max=126"`         // osdp
	Secure     string `yaml:"secure" settings:"enum=clear|install|key"` // osdp: what it asks of its controller
	Key        string `yaml:"key"`                                      // osdp, secure: key; 32 hexadecimal digits, for tests only
	AllowClear bool   `yaml:"allow_clear"`                              // osdp, secure: key; answers in clear too
	Biometric  bool   `yaml:"biometric"`                                // osdp: has a finger sensor

	Port      string     `yaml:"port" settings:"id"`                  // fingerprint, pn532: name of its serial line
	Baud      int        `yaml:"baud" settings:"min=9600,max=115200"` // fingerprint, pn532; 57600 and 115200 if left out
	Paced     bool       `yaml:"paced"`                               // fingerprint, pn532: bytes take the time a wire needs
	Password  string     `yaml:"password"`                            // fingerprint: 8 hexadecimal digits, for tests only
	Templates []Template `yaml:"templates"`                           // fingerprint: what it holds out of its box

	Lines      string            `yaml:"lines"`                                // wiegand: prefix of d0, d1, led, buz; the door's ID if left out
	Keypad     string            `yaml:"keypad" settings:"enum=burst4|burst8"` // wiegand: none if left out
	WidthUS    int               `yaml:"width_us"`                             // wiegand
	IntervalUS int               `yaml:"interval_us"`                          // wiegand
	KeyGap     settings.Duration `yaml:"key_gap"`                              // wiegand
}

// SetDefaults is the usual pulse timing, an OSDP reader without secure channel,
// and a fingerprint module as it is sold.
func (r *Reader) SetDefaults() {
	r.Password = "00000000"
	r.Secure = string(pd.Clear)
	r.WidthUS = int(pulse.Default.Width / time.Microsecond)
	r.IntervalUS = int(pulse.Default.Interval / time.Microsecond)
	r.KeyGap = settings.Every(pulse.Default.KeyGap)
}

// Timing is the pulse timing of a Wiegand reader.
func (r Reader) Timing() pulse.Timing {
	return pulse.Timing{Width: time.Duration(r.WidthUS) * time.Microsecond,
		Interval: time.Duration(r.IntervalUS) * time.Microsecond, KeyGap: r.KeyGap.D()}
}

// Prefix is how a Wiegand reader's lines begin.
func (r Reader) Prefix() string {
	if r.Lines != "" {
		return r.Lines
	}
	return r.Door
}

// Load reads the file at path.
func Load(path string) (Site, error) { return settings.Load[Site](path) }

// Table is the card table; Validate has checked it.
func (s Site) Table() (*cards.Table, error) {
	list := make([]cards.Card, len(s.Cards))
	for i, c := range s.Cards {
		list[i] = cards.Card{Number: c.Number, Name: c.Name, Format: c.Format, Facility: c.Facility, ID: c.ID}
	}
	return cards.NewTable(list)
}

// Validate checks what no single field can know.
func (s *Site) Validate(v *settings.Validator) {
	if _, err := s.Table(); err != nil {
		v.Fault("cards", settings.Message{Code: "card-table",
			JA: "カード表に誤りがあります: " + err.Error(), EN: err.Error(),
			FixJA: "番号と名前は一度だけ、facility と id は書式の範囲で書いてください。", FixEN: "Write each number and name once, and facility and id within the format's range."})
	}
	for i, c := range s.Cards {
		c.validateChip(v, fmt.Sprintf("cards[%d].", i))
	}
	doors, readers := map[string]bool{}, map[string]bool{}
	for i, c := range s.Controllers {
		for j, d := range c.Doors {
			once(v, doors, fmt.Sprintf("controllers[%d].doors[%d].id", i, j), d.ID)
		}
		for j, r := range c.Readers {
			once(v, readers, fmt.Sprintf("controllers[%d].readers[%d].id", i, j), r.ID)
		}
	}
}

func once(v *settings.Validator, seen map[string]bool, path, id string) {
	if seen[id] && id != "" {
		v.Fault(path, settings.Message{Code: "duplicate-id",
			JA: fmt.Sprintf("%s は別の制御盤でも使われています。", id), EN: fmt.Sprintf("%s is used on another controller too.", id),
			FixJA: "扉と読取装置の名前は市全体で一つにしてください。", FixEN: "Doors and readers need names that are unique over all controllers."})
	}
	seen[id] = true
}

// Validate checks that readers are where their door and line are.
func (c *Controller) Validate(v *settings.Validator) {
	var doors, buses []string
	for _, d := range c.Doors {
		doors = append(doors, d.ID)
	}
	for _, b := range c.Buses {
		buses = append(buses, b.Name)
	}
	taken := map[string]string{}
	for i, r := range c.Readers {
		path := func(field string) string { return fmt.Sprintf("readers[%d].%s", i, field) }
		v.Ref(path("door"), r.Door, doors)
		place, field := "lines "+r.Prefix(), "lines"
		if r.Kind == Fingerprint || r.Kind == PN532 {
			place, field = "port "+r.Port, "port"
			r.validateModule(v, path)
		} else if r.Kind == OSDP {
			place, field = fmt.Sprintf("%s address %d", r.Bus, r.Address), "address"
			if r.Bus == "" {
				v.Fault(path("bus"), settings.Message{Code: "missing-bus",
					JA: "OSDP の読取装置には bus が要ります。", EN: "An OSDP reader needs a bus.",
					FixJA: "buses の name を一つ書いてください。", FixEN: "Name one of buses."})
			}
			v.Ref(path("bus"), r.Bus, buses)
		} else if err := r.Timing().Check(); err != nil && r.Kind == Wiegand {
			v.Fault(path("interval_us"), settings.Message{Code: "pulse-timing",
				JA: "Wiegand のパルスとして成り立ちません: " + err.Error(), EN: err.Error(),
				FixJA: "width_us は 20〜100、interval_us は 200〜20000 です。", FixEN: "width_us is 20 to 100 and interval_us 200 to 20000."})
		}
		if other := taken[place]; other != "" {
			v.Fault(path(field), settings.Message{Code: "same-place",
				JA: fmt.Sprintf("%s と同じ場所 (%s) です。", other, place), EN: fmt.Sprintf("at the same place (%s) as %s.", place, other),
				FixJA: "番地か線の名前を変えてください。", FixEN: "Change the address or the lines."})
		}
		taken[place] = r.ID
		r.validateOSDP(v, path)
	}
}
