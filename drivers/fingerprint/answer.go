package fingerprint

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Confirmation is the first byte of an answer.
type Confirmation byte

// The confirmation codes this driver tells apart. The manuals of the family list
// more, which makes of the same code different things; those are faults with a
// number.
const (
	OK              Confirmation = 0x00
	BadPacket       Confirmation = 0x01 // the module could not read the command
	NoFinger        Confirmation = 0x02
	ImageFailed     Confirmation = 0x03
	ImageMessy      Confirmation = 0x06
	FewFeatures     Confirmation = 0x07
	NoMatch         Confirmation = 0x08
	NotFound        Confirmation = 0x09
	CannotCombine   Confirmation = 0x0A
	BadSlot         Confirmation = 0x0B
	BadTemplate     Confirmation = 0x0C // none there, or not readable
	CannotDelete    Confirmation = 0x10
	CannotEmpty     Confirmation = 0x11
	WrongPassword   Confirmation = 0x13
	NoImage         Confirmation = 0x15
	Residue         Confirmation = 0x17 // the last finger's grease, or a finger that never moved
	FlashFailed     Confirmation = 0x18
	LibraryFull     Confirmation = 0x1F
	WrongAddress    Confirmation = 0x20
	NeedPassword    Confirmation = 0x21
	TemplateIsEmpty Confirmation = 0x22
	LibraryEmpty    Confirmation = 0x24
)

var meanings = map[Confirmation]string{
	OK: "done", BadPacket: "could not read the command", NoFinger: "no finger", ImageFailed: "could not take the image",
	ImageMessy: "the image is too messy", FewFeatures: "the image has too few features", NoMatch: "does not match",
	NotFound: "not found", CannotCombine: "the two images are not of one finger", BadSlot: "no such slot",
	BadTemplate: "no readable template", CannotDelete: "could not delete", CannotEmpty: "could not empty the library",
	WrongPassword: "wrong password", NoImage: "no valid image", Residue: "residue of the last finger", FlashFailed: "could not write its flash",
	LibraryFull: "the library is full", WrongAddress: "wrong address", NeedPassword: "wants the password first",
	TemplateIsEmpty: "no template", LibraryEmpty: "the library is empty",
}

// String is the code in words.
func (c Confirmation) String() string {
	if m, ok := meanings[c]; ok {
		return m
	}
	return fmt.Sprintf("code %#02x", byte(c))
}

// Answer is a module's answer to one command.
type Answer struct {
	Code Confirmation
	Data []byte // what the command's answer carries; nil unless Code is OK
}

// ErrShape means an answer that cannot belong to the command: the protocol has
// no sequence numbers, so the length is what tells a late answer from a timely
// one.
var ErrShape = errors.New("an answer of the wrong shape")

// ParseAnswer reads the answer to c. A success has exactly c's data; a failure
// has the code alone, or the code and as many bytes without meaning (modules
// differ, and an R503 that finds nothing still names a page).
func ParseAnswer(c Command, p Packet) (Answer, error) {
	want, known := table[c.code]
	if p.Kind != KindAnswer || !known || len(p.Payload) == 0 {
		return Answer{}, fmt.Errorf("%w: kind %d", ErrShape, p.Kind)
	}
	code, data := Confirmation(p.Payload[0]), p.Payload[1:]
	switch {
	case len(data) == want.data && code == OK:
		return Answer{Code: code, Data: data}, nil
	case code != OK && (len(data) == want.data || len(data) == 0):
		return Answer{Code: code}, nil
	}
	return Answer{}, fmt.Errorf("%w: %s with %d bytes to %v", ErrShape, code, len(data), c)
}

// Parameters are what ReadSysPara tells.
type Parameters struct {
	Status        uint16 // status register, models differ
	System        uint16 // system identifier, models differ
	Capacity      uint16 // pages in the library
	SecurityLevel uint16 // 1 to 5
	Address       uint32
	PacketSize    uint16 // bytes: 32, 64, 128 or 256
	Baud          int
}

// Parameters reads the data of an answer to ReadParameters:
//
//	status 2 | system 2 | capacity 2 | level 2 | address 4 | size code 2 | baud/9600 2
func (a Answer) Parameters() (Parameters, error) {
	d := a.Data
	if len(d) != table[insReadSysPara].data {
		return Parameters{}, fmt.Errorf("%w: parameters of %d bytes", ErrShape, len(d))
	}
	size, n := be16(d, 12), be16(d, 14)
	p := Parameters{Status: be16(d, 0), System: be16(d, 2), Capacity: be16(d, 4), SecurityLevel: be16(d, 6),
		Address: binary.BigEndian.Uint32(d[8:]), Baud: baudUnit * int(n)}
	if size > 3 || n < 1 || n > 12 || p.Capacity < 2 {
		return Parameters{}, fmt.Errorf("impossible parameters: %d pages, packet size code %d, %d times 9600 baud", p.Capacity, size, n)
	}
	p.PacketSize = 32 << size
	return p, nil
}

const baudUnit = 9600

func be16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }

// Found reads the data of an answer to SearchTemplates: page 2 | score 2.
func (a Answer) Found() (slot, score uint16) {
	if len(a.Data) != table[insSearch].data {
		return 0, 0
	}
	return be16(a.Data, 0), be16(a.Data, 2)
}

// Number reads the data of an answer to CountTemplates or CompareBuffers: 2 bytes.
func (a Answer) Number() uint16 {
	if len(a.Data) != 2 {
		return 0
	}
	return be16(a.Data, 0)
}

// indexPages is how many pages one index table covers.
const indexPages = 256

// Taken reads the data of an answer to ReadIndex, 32 bytes of one bit for each
// page, the least significant first: the pages of this table that hold a
// template, 0 to 255, in order.
func (a Answer) Taken() []uint16 {
	var pages []uint16
	for i, b := range a.Data {
		for bit := range 8 {
			if b>>bit&1 != 0 {
				pages = append(pages, uint16(8*i+bit))
			}
		}
	}
	return pages
}
