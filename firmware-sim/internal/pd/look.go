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

// panel is the feedback side of the reader: LED 0, the buzzer, the outputs.
type panel struct {
	perm, temp blink
	buzzes     int
	buzzCmds   int
	outputs    int
}

func (p *panel) look(now time.Duration) Look {
	b := p.perm
	if p.temp.temporary && now < p.temp.ends {
		b = p.temp
	}
	colour, blinking := b.show(now)
	l := Look{LED: colours[colour&7], Blinking: blinking, Temporary: b.temporary,
		Buzzes: p.buzzes, BuzzCmds: p.buzzCmds, Outputs: p.outputs}
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
	if len(data) != 5 {
		return false
	}
	p.buzzCmds++
	if data[1] >= 2 {
		p.buzzes += max(1, int(data[4]))
	}
	return true
}

// out takes the OUT command: records of output, control, timer16.
func (p *panel) out(data []byte) bool {
	if len(data) == 0 || len(data)%4 != 0 {
		return false
	}
	p.outputs += len(data) / 4
	return true
}
