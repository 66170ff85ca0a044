package pd

import (
	"encoding/binary"
	"time"
)

// sensor is the finger sensor of a biometric reader. It looks at a finger only
// after BIOREAD or BIOMATCH: the command is acknowledged, and a later poll has
// the answer.
//
//	BIOREAD   reader, type, format, quality
//	BIOREADR  reader, status, type, quality, length 2, data
//	BIOMATCH  reader, type, format, quality, length 2, template
//	BIOMATCHR reader, status, score (0 no match, FF the best)
//
// The profile spoken here keeps templates inside the reader [T-23]: the template
// of BIOMATCH is the 2-byte number of a place in it, high byte first, and so is
// the data of BIOREADR, empty for a finger nobody has enrolled.
type sensor struct {
	waits bool
	match bool   // BIOMATCH, else BIOREAD
	slot  uint16 // of BIOMATCH
	kind  byte   // of BIOREAD
	until time.Duration
}

// FingerWait is how long the sensor waits for a finger.
const FingerWait = 20 * time.Second

const (
	bioSuccess = 0
	bioTimeout = 1
	bestScore  = 0xFF
	lastFinger = 0x0A // types: 0 any, 1-10 the fingers
	lastFormat = 2    // formats: 0 any, 1 raw, 2 minutiae
	bioQuality = 0x50
)

func (p *PD) bioRead(d []byte, now time.Duration) (byte, []byte) {
	if why := p.bioRefusal(d); why != 0 {
		return nak(why)
	}
	p.sensor = sensor{waits: true, kind: d[1], until: now + FingerWait}
	return ReplyAck, nil
}

func (p *PD) bioMatch(d []byte, now time.Duration) (byte, []byte) {
	if why := p.bioRefusal(d); why != 0 {
		return nak(why)
	}
	template := d[6:]
	switch {
	case int(binary.LittleEndian.Uint16(d[4:])) != len(template):
		return nak(nakLength)
	case len(template) != 2:
		return nak(nakBioFormat)
	}
	p.sensor = sensor{waits: true, match: true, slot: binary.BigEndian.Uint16(template), until: now + FingerWait}
	return ReplyAck, nil
}

func (p *PD) bioRefusal(d []byte) byte {
	switch {
	case !p.box.Biometric:
		return nakUnknown
	case d[0] != 0:
		return nakRecord
	case d[1] > lastFinger:
		return nakBioType
	case d[2] > lastFormat:
		return nakBioFormat
	}
	return 0
}

// Finger puts the finger on the sensor whose template is at slot, 0 for one
// nobody has enrolled. False: the sensor does not wait for one.
func (p *PD) Finger(slot uint16, now time.Duration) bool {
	p.sensor.expire(p, now)
	s := p.sensor
	if !s.waits {
		return false
	}
	p.sensor = sensor{}
	p.Counts.FingersRead++
	if s.match {
		return p.push(event{ReplyBioMatch, []byte{0, bioSuccess, bestScore * flag(slot != 0 && slot == s.slot)}})
	}
	data := []byte{0, bioSuccess, s.kind, bioQuality, 0, 0}
	if slot != 0 {
		data[4] = 2
		data = binary.BigEndian.AppendUint16(data, slot)
	}
	return p.push(event{ReplyBioRead, data})
}

// expire tells the controller that nobody came.
func (s *sensor) expire(p *PD, now time.Duration) {
	if !s.waits || now < s.until {
		return
	}
	late := *s
	*s = sensor{}
	if late.match {
		p.push(event{ReplyBioMatch, []byte{0, bioTimeout, 0}})
		return
	}
	p.push(event{ReplyBioRead, []byte{0, bioTimeout, late.kind, 0, 0, 0}})
}
