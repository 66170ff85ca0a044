package osdp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"sekimori/drivers/osdp/channel"
)

// Key is a reader's own key; it redacts itself.
type Key = channel.Key

// ParseKey reads a key as an installer types it, 32 hexadecimal digits.
func ParseKey(s string) (Key, error) { return channel.ParseKey(s) }

// NewKey makes a random key.
func NewKey() Key { return channel.NewKey() }

// Command is something the controller asks of a reader. ParseCommand and the
// command's own data are each other's inverse.
type Command interface {
	Code() byte
	appendData([]byte) []byte
}

// Commands without settings.
type (
	Poll  struct{} // anything to report? → ACK or an event
	ID    struct{} // who are you? → PDID
	Cap   struct{} // what can you do? → PDCap
	LStat struct{} // tamper and power → LStatR
	IStat struct{} // inputs → IStatR
	OStat struct{} // outputs → OStatR
	RStat struct{} // reader heads → RStatR
	Abort struct{} // give up what is going on
)

type (
	// Out sets outputs, one block of 4 bytes each.
	Out struct{ Outputs []Output }
	// Output is one output; Control 0 nothing, 1 off, 2 on, 3 and 4 the same
	// and end a timer, 5 on and 6 off for Timer ×100 ms.
	Output struct {
		Number, Control byte
		Timer           uint16
	}
	// LED sets lamps, one block of 14 bytes each.
	LED struct{ Lamps []Lamp }
	// Lamp is what one lamp shows for good and, over that, for a while.
	Lamp struct {
		Reader, Number byte
		TempControl    byte // 0 nothing, 1 end it, 2 set it
		Temp           Blink
		For            uint16 // ×100 ms
		PermControl    byte   // 0 nothing, 1 set it
		Perm           Blink
	}
	// Blink is a lamp pattern: On and Off times ×100 ms.
	Blink struct {
		On, Off           byte
		OnColor, OffColor Color
	}
	// Buz sounds the buzzer: Tone 1 off, 2 default; On and Off ×100 ms, Count
	// times, 0 for ever.
	Buz struct{ Reader, Tone, On, Off, Count byte }
	// Text shows a text: Control 1 and 2 for good (wrapped or not), 3 and 4 for
	// Seconds.
	Text struct {
		Reader, Control, Seconds, Row, Column byte
		Text                                  string // at most 255 bytes
	}
	// ComSet gives the reader another address and baud → Com.
	ComSet struct {
		Address byte
		Baud    uint32
	}
	// KeySet gives the reader its key; only commissioning sends it.
	KeySet struct{ Key Key }
	// Chlng begins a secure channel → CCrypt.
	Chlng struct{ RndA [8]byte }
	// SCrypt is the controller's proof → RMacI.
	SCrypt struct{ Cryptogram [16]byte }
	// ACURxSize tells the longest reply the controller takes.
	ACURxSize struct{ Size uint16 }
	// FileTransfer sends a part of a file → FTStat.
	FileTransfer struct {
		Type         byte // 1 opaque, 128 to 255 the vendor's
		Size, Offset uint32
		Part         Blob
	}
	// BioRead asks for a scan of a body → BioReadR. It is never sent: templates
	// stay where they were made [T-23].
	BioRead struct{ Reader, Type, Format, Quality byte }
	// BioMatch asks to compare a scan with a template → BioMatchR, at once or
	// to a later POLL. In our profile the template is 2 bytes, the template's
	// slot in the reader, big-endian.
	BioMatch struct {
		Reader, Type, Format, Threshold byte
		Template                        Blob
	}
	// Mfg is a vendor's own command → ACK, MfgRep or a vendor's reply.
	Mfg struct {
		Vendor [3]byte
		Data   Blob
	}
	// KeepActive keeps a card powered for Milliseconds.
	KeepActive struct{ Milliseconds uint16 }
	// OtherCommand is one this driver has no use for.
	OtherCommand struct {
		Command byte
		Data    Blob
	}
)

// Color of a lamp.
type Color byte

// The colours of OSDP 2.x.
const (
	Black Color = iota
	Red
	Green
	Amber
	Blue
	Magenta
	Cyan
	White
)

// Blob is bytes whose meaning is not ours and which may be secret: it shows
// only how many they are.
type Blob []byte

// Format and MarshalText keep the bytes out of every log.
func (b Blob) Format(f fmt.State, _ rune)   { fmt.Fprintf(f, "%d bytes [redacted]", len(b)) }
func (b Blob) MarshalText() ([]byte, error) { return fmt.Append(nil, b), nil }

func (Poll) Code() byte           { return codePoll }
func (ID) Code() byte             { return codeID }
func (Cap) Code() byte            { return codeCap }
func (LStat) Code() byte          { return codeLStat }
func (IStat) Code() byte          { return codeIStat }
func (OStat) Code() byte          { return codeOStat }
func (RStat) Code() byte          { return codeRStat }
func (Abort) Code() byte          { return codeAbort }
func (Out) Code() byte            { return codeOut }
func (LED) Code() byte            { return codeLED }
func (Buz) Code() byte            { return codeBuz }
func (Text) Code() byte           { return codeText }
func (ComSet) Code() byte         { return codeComSet }
func (KeySet) Code() byte         { return codeKeySet }
func (Chlng) Code() byte          { return codeChlng }
func (SCrypt) Code() byte         { return codeSCrypt }
func (ACURxSize) Code() byte      { return codeACURxSize }
func (FileTransfer) Code() byte   { return codeFileTransfer }
func (BioRead) Code() byte        { return codeBioRead }
func (BioMatch) Code() byte       { return codeBioMatch }
func (Mfg) Code() byte            { return codeMfg }
func (KeepActive) Code() byte     { return codeKeepActive }
func (c OtherCommand) Code() byte { return c.Command }

var le = binary.LittleEndian

func (Poll) appendData(b []byte) []byte  { return b }
func (ID) appendData(b []byte) []byte    { return append(b, 0) } // standard form of the answer
func (Cap) appendData(b []byte) []byte   { return append(b, 0) } // standard form of the answer
func (LStat) appendData(b []byte) []byte { return b }
func (IStat) appendData(b []byte) []byte { return b }
func (OStat) appendData(b []byte) []byte { return b }
func (RStat) appendData(b []byte) []byte { return b }
func (Abort) appendData(b []byte) []byte { return b }

func (c Out) appendData(b []byte) []byte {
	for _, o := range c.Outputs {
		b = le.AppendUint16(append(b, o.Number, o.Control), o.Timer)
	}
	return b
}

func (c LED) appendData(b []byte) []byte {
	for _, l := range c.Lamps {
		b = l.Temp.append(append(b, l.Reader, l.Number, l.TempControl))
		b = l.Perm.append(append(le.AppendUint16(b, l.For), l.PermControl))
	}
	return b
}

func (k Blink) append(b []byte) []byte {
	return append(b, k.On, k.Off, byte(k.OnColor), byte(k.OffColor))
}

func (c Buz) appendData(b []byte) []byte {
	return append(b, c.Reader, c.Tone, c.On, c.Off, c.Count)
}

func (c Text) appendData(b []byte) []byte {
	text := c.Text[:min(len(c.Text), 255)]
	return append(append(b, c.Reader, c.Control, c.Seconds, c.Row, c.Column, byte(len(text))), text...)
}

func (c ComSet) appendData(b []byte) []byte { return le.AppendUint32(append(b, c.Address), c.Baud) }

// appendData: key type 1 (SCBK), its length, the key.
func (c KeySet) appendData(b []byte) []byte {
	return append(append(b, 1, byte(len(c.Key))), c.Key[:]...)
}

func (c Chlng) appendData(b []byte) []byte      { return append(b, c.RndA[:]...) }
func (c SCrypt) appendData(b []byte) []byte     { return append(b, c.Cryptogram[:]...) }
func (c ACURxSize) appendData(b []byte) []byte  { return le.AppendUint16(b, c.Size) }
func (c KeepActive) appendData(b []byte) []byte { return le.AppendUint16(b, c.Milliseconds) }
func (c BioRead) appendData(b []byte) []byte {
	return append(b, c.Reader, c.Type, c.Format, c.Quality)
}
func (c Mfg) appendData(b []byte) []byte          { return append(append(b, c.Vendor[:]...), c.Data...) }
func (c OtherCommand) appendData(b []byte) []byte { return append(b, c.Data...) }

func (c FileTransfer) appendData(b []byte) []byte {
	b = le.AppendUint32(append(b, c.Type), c.Size)
	b = le.AppendUint16(le.AppendUint32(b, c.Offset), uint16(len(c.Part)))
	return append(b, c.Part...)
}

func (c BioMatch) appendData(b []byte) []byte {
	b = append(b, c.Reader, c.Type, c.Format, c.Threshold)
	return append(le.AppendUint16(b, uint16(len(c.Template))), c.Template...)
}

// ErrCommand is a well-formed frame whose command contradicts itself.
var ErrCommand = errors.New("osdp: malformed command")

// ParseCommand reads the code and data of a command, for a person who watches
// the line and for tests. Slices are copies.
func ParseCommand(code byte, d []byte) (Command, error) {
	if c, ok := plainCommand(code, d); ok {
		return c, nil
	}
	wrong := fmt.Errorf("%w: %s with %d bytes", ErrCommand, nameOf(code, false), len(d))
	size, fixed := map[byte]int{
		codePoll: 0, codeID: 1, codeCap: 1, codeLStat: 0, codeIStat: 0, codeOStat: 0, codeRStat: 0, codeAbort: 0, codeBuz: 5,
		codeComSet: 5, codeKeySet: 18, codeChlng: 8, codeSCrypt: 16, codeACURxSize: 2, codeKeepActive: 2, codeBioRead: 4,
	}[code]
	if fixed && size != len(d) {
		return nil, wrong
	}
	switch code {
	case codeBuz:
		return Buz{d[0], d[1], d[2], d[3], d[4]}, nil
	case codeComSet:
		return ComSet{d[0], le.Uint32(d[1:])}, nil
	case codeKeySet:
		if d[0] == 1 && d[1] == 16 {
			return KeySet{Key(d[2:])}, nil
		}
	case codeChlng:
		return Chlng{[8]byte(d)}, nil
	case codeSCrypt:
		return SCrypt{[16]byte(d)}, nil
	case codeACURxSize:
		return ACURxSize{le.Uint16(d)}, nil
	case codeKeepActive:
		return KeepActive{le.Uint16(d)}, nil
	case codeBioRead:
		return BioRead{d[0], d[1], d[2], d[3]}, nil
	case codeOut, codeLED, codeText, codeFileTransfer, codeBioMatch, codeMfg:
		if c := longCommand(code, d); c != nil {
			return c, nil
		}
	default:
		return OtherCommand{code, append(Blob(nil), d...)}, nil
	}
	return nil, wrong
}

// plainCommand is the commands whose data is always the same.
func plainCommand(code byte, d []byte) (Command, bool) {
	for _, c := range []Command{Poll{}, ID{}, Cap{}, LStat{}, IStat{}, OStat{}, RStat{}, Abort{}} {
		if c.Code() == code && string(c.appendData(nil)) == string(d) {
			return c, true
		}
	}
	return nil, false
}

// longCommand reads the commands of varying length; nil when they contradict
// themselves.
func longCommand(code byte, d []byte) Command {
	switch {
	case code == codeOut && len(d) > 0 && len(d)%4 == 0:
		var c Out
		for ; len(d) > 0; d = d[4:] {
			c.Outputs = append(c.Outputs, Output{d[0], d[1], le.Uint16(d[2:])})
		}
		return c
	case code == codeLED && len(d) > 0 && len(d)%14 == 0:
		var c LED
		for ; len(d) > 0; d = d[14:] {
			c.Lamps = append(c.Lamps, Lamp{d[0], d[1], d[2], blinkOf(d[3:]), le.Uint16(d[7:]), d[9], blinkOf(d[10:])})
		}
		return c
	case code == codeText && len(d) >= 6 && len(d) == 6+int(d[5]):
		return Text{d[0], d[1], d[2], d[3], d[4], string(d[6:])}
	case code == codeFileTransfer && len(d) >= 11 && len(d) == 11+int(le.Uint16(d[9:])):
		return FileTransfer{d[0], le.Uint32(d[1:]), le.Uint32(d[5:]), append(Blob(nil), d[11:]...)}
	case code == codeBioMatch && len(d) >= 6 && len(d) == 6+int(le.Uint16(d[4:])):
		return BioMatch{d[0], d[1], d[2], d[3], append(Blob(nil), d[6:]...)}
	case code == codeMfg && len(d) >= 3:
		return Mfg{[3]byte(d), append(Blob(nil), d[3:]...)}
	}
	return nil
}

func blinkOf(d []byte) Blink { return Blink{d[0], d[1], Color(d[2]), Color(d[3])} }
