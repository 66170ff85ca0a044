package pd

import "time"

// Look is what the person in front of the reader sees and hears.
type Look struct {
	LED       string `json:"led"`       // the colour shown now
	Blinking  bool   `json:"blinking"`  // it alternates with Other
	Other     string `json:"other"`     // the colour of the other phase, when blinking
	Temporary bool   `json:"temporary"` // it goes back to the permanent colour by itself
	Buzzes    int    `json:"buzzes"`    // beeps asked for since the start
	BuzzCmds  int    `json:"buzz_commands"`
	Outputs   int    `json:"output_commands"`
	Output    bool   `json:"output"` // its output is on now
	Text      string `json:"text"`   // on its display now
}

var colours = [8]string{"black", "red", "green", "amber", "blue", "magenta", "cyan", "white"}

// blink is a colour pattern; a zero phase time means the other phase is steady.
type blink struct {
	on, off   time.Duration
	colOn     byte
	colOff    byte
	since     time.Duration
	temporary bool
	ends      time.Duration // with temporary
}

const ledUnit = 100 * time.Millisecond

// show tells the colour of the pattern now.
func (b blink) show(now time.Duration) (colour byte, blinking bool) {
	period := b.on + b.off
	switch {
	case period == 0 || b.off == 0:
		return b.colOn, false
	case b.on == 0:
		return b.colOff, false
	}
	if (now-b.since)%period < b.on {
		return b.colOn, b.colOn != b.colOff
	}
	return b.colOff, b.colOn != b.colOff
}

// panel is the feedback side of the reader: LED 0, the buzzer, output 0, a line
// of text.
type panel struct {
	perm, temp blink
	output     output
	text       text
	buzzes     int
	buzzCmds   int
	outCmds    int
}

// output is a relay: its permanent state, and another one until ends.
type output struct {
	perm, temp bool
	ends       time.Duration
}

func (o output) on(now time.Duration) bool {
	if now < o.ends {
		return o.temp
	}
	return o.perm
}

// text is a line of the display: what stays, and what covers it until ends.
type text struct {
	perm, temp string
	ends       time.Duration
}

func (t text) shown(now time.Duration) string {
	if now < t.ends {
		return t.temp
	}
	return t.perm
}

func (p *panel) look(now time.Duration) Look {
	b := p.perm
	if p.temp.temporary && now < p.temp.ends {
		b = p.temp
	}
	colour, blinking := b.show(now)
	l := Look{LED: colours[colour&7], Blinking: blinking, Temporary: b.temporary,
		Buzzes: p.buzzes, BuzzCmds: p.buzzCmds, Outputs: p.outCmds,
		Output: p.output.on(now), Text: p.text.shown(now)}
	if blinking {
		other := b.colOff
		if colour == b.colOff {
			other = b.colOn
		}
		l.Other = colours[other&7]
	}
	return l
}

const ledRecord = 14

// led takes the LED command: records of 14 bytes
//
//	reader, LED, temporary: control, on, off, colour, colour, timer16,
//	             permanent: control, on, off, colour, colour   (100 ms units)
func (p *panel) led(data []byte, now time.Duration) bool {
	if len(data) == 0 || len(data)%ledRecord != 0 {
		return false
	}
	for ; len(data) > 0; data = data[ledRecord:] {
		if data[0] != 0 || data[1] != 0 {
			continue // this reader has one LED
		}
		switch data[2] {
		case 1: // cancel
			p.temp = blink{}
		case 2: // set
			p.temp = pattern(data[3:7], now)
			p.temp.temporary = true
			p.temp.ends = now + time.Duration(int(data[7])|int(data[8])<<8)*ledUnit
		}
		if data[9] == 1 {
			p.perm = pattern(data[10:14], now)
		}
	}
	return true
}

func pattern(b []byte, now time.Duration) blink {
	return blink{on: time.Duration(b[0]) * ledUnit, off: time.Duration(b[1]) * ledUnit,
		colOn: b[2], colOff: b[3], since: now}
}

// buz takes the BUZ command: reader, tone (1 off, 2 on), on, off, count; a count
// of 0 sounds until told otherwise and is counted once.
func (p *panel) buz(data []byte) bool {
	p.buzzCmds++
	if data[1] >= 2 {
		p.buzzes += max(1, int(data[4]))
	}
	return true
}

const outRecord = 4

// out takes the OUT command: records of output, control, timer16 (100 ms units).
// Controls: 1 off, 2 on, 3 off and 4 on once a timer has run out, 5 on and 6 off
// for the time.
func (p *panel) out(data []byte, now time.Duration) bool {
	if len(data)%outRecord != 0 {
		return false
	}
	for ; len(data) > 0; data = data[outRecord:] {
		p.outCmds++
		if data[0] != 0 {
			continue // this reader has one output
		}
		o := &p.output
		switch control := data[1]; control {
		case 1, 2:
			*o = output{perm: control == 2}
		case 3, 4:
			o.perm = control == 4
		case 5, 6:
			o.temp = control == 5
			o.ends = now + time.Duration(int(data[2])|int(data[3])<<8)*ledUnit
		}
	}
	return true
}

const textHeader = 6

// write takes the TEXT command: reader, control (1 and 2 for good, 3 and 4 for
// a time), seconds, row, column, length, text.
func (p *panel) write(data []byte, now time.Duration) bool {
	line := data[textHeader:]
	if int(data[5]) != len(line) {
		return false
	}
	switch {
	case data[0] != 0: // this reader has one display
	case data[1] >= 3:
		p.text.temp, p.text.ends = string(line), now+time.Duration(data[2])*time.Second
	default:
		p.text = text{perm: string(line)}
	}
	return true
}

// Status is a reader as its controller's side has left it.
type Status struct {
	Addr, Baud   int
	Online       bool
	Queued       int
	Tamper       bool
	Input        bool
	Security     Security
	SecureLink   bool // a secure channel is in use
	DefaultLink  bool // it was made with SCBK-D
	FingerWanted bool
	RxSize       int
	BusyLeft     int // commands still to be answered by BUSY
	StrangerLeft int // challenges still to be answered with a wrong key
	File         *File
	Counts       Counts
	Look         Look
}

// Status looks at the reader now.
func (p *PD) Status(now time.Duration) Status {
	s := Status{Addr: int(p.kept.Addr), Baud: p.kept.Baud, Online: p.Online(now), Queued: len(p.queue), Tamper: p.tamper, Input: p.input,
		Security: p.kept.Security, FingerWanted: p.sensor.waits && now < p.sensor.until, RxSize: p.rxSize,
		BusyLeft: p.busy, StrangerLeft: p.stranger, File: p.file.look(), Counts: p.Counts, Look: p.Look(now)}
	if s.Online && p.session != nil {
		s.SecureLink, s.DefaultLink = p.session.proved, p.session.proved && p.session.byDefault
	}
	return s
}

// Look is what the person at the reader sees now.
func (p *PD) Look(now time.Duration) Look { return p.panel.look(now) }
