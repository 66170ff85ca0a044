package fingerprint

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"
)

// instruction is a command's first byte. The codes 0x08 to 0x0B move templates
// and pictures over the wire; they have no name here, so that no command can be
// made of them [T-23].
type instruction byte

const (
	insGetImage    instruction = 0x01
	insImg2Tz      instruction = 0x02
	insMatch       instruction = 0x03
	insSearch      instruction = 0x04
	insRegModel    instruction = 0x05
	insStore       instruction = 0x06
	insLoadChar    instruction = 0x07
	insDeletChar   instruction = 0x0C
	insEmpty       instruction = 0x0D
	insSetSysPara  instruction = 0x0E
	insReadSysPara instruction = 0x0F
	insSetPwd      instruction = 0x12
	insVfyPwd      instruction = 0x13
	insTemplateNum instruction = 0x1D
	insReadConList instruction = 0x1F
	insAuraLED     instruction = 0x35
)

// traits are what one instruction's answers look like and how long the module
// may take, from the moment it has the command.
type traits struct {
	name   string
	data   int           // bytes after the confirmation code of a success
	window time.Duration // the answer has begun and ended by then
}

// Windows are several times what the manuals give as average; flash writes and
// searches of a full library take longest.
var table = map[instruction]traits{
	insGetImage:    {"GetImage", 0, time.Second},
	insImg2Tz:      {"Img2Tz", 0, 2 * time.Second},
	insMatch:       {"Match", 2, 2 * time.Second},
	insSearch:      {"Search", 4, 3 * time.Second},
	insRegModel:    {"RegModel", 0, 2 * time.Second},
	insStore:       {"Store", 0, 3 * time.Second},
	insLoadChar:    {"LoadChar", 0, time.Second},
	insDeletChar:   {"DeletChar", 0, 3 * time.Second},
	insEmpty:       {"Empty", 0, 5 * time.Second},
	insSetSysPara:  {"SetSysPara", 0, time.Second},
	insReadSysPara: {"ReadSysPara", 16, 500 * time.Millisecond},
	insSetPwd:      {"SetPwd", 0, time.Second},
	insVfyPwd:      {"VfyPwd", 0, 500 * time.Millisecond},
	insTemplateNum: {"TemplateNum", 2, time.Second},
	insReadConList: {"ReadConList", 32, time.Second},
	insAuraLED:     {"AuraLedConfig", 0, 500 * time.Millisecond},
}

// Command is a question to the module; the functions below make them, and there
// is no other way. It prints as its name: some carry a password.
type Command struct {
	code instruction
	args string // bytes; a string so that Command is comparable
}

// Buffer is one of the module's two character buffers.
type Buffer byte

// The buffers: a live finger is compared from Buffer1.
const (
	Buffer1 Buffer = 1
	Buffer2 Buffer = 2
)

// VerifyPassword is VfyPwd 0x13: password 4.
func VerifyPassword(p Password) Command { return withPassword(insVfyPwd, p) }

// SetPassword is SetPwd 0x12: password 4.
func SetPassword(p Password) Command { return withPassword(insSetPwd, p) }

// ReadParameters is ReadSysPara 0x0F.
func ReadParameters() Command { return Command{code: insReadSysPara} }

// SetSecurityLevel is SetSysPara 0x0E: parameter number 5, level 1 to 5. Level 1
// takes the most fingers for equal, 5 the fewest. The other parameters, baud and
// packet size, cannot be set from here.
func SetSecurityLevel(level byte) Command {
	return Command{insSetSysPara, string([]byte{parameterLevel, level})}
}

const parameterLevel = 5

// CaptureImage is GetImage 0x01: look for a finger and keep its picture inside.
func CaptureImage() Command { return Command{code: insGetImage} }

// Extract is Img2Tz 0x02: buffer 1. It computes the picture's features.
func Extract(to Buffer) Command { return Command{insImg2Tz, string([]byte{byte(to)})} }

// Combine is RegModel 0x05: both buffers become one template, in both.
func Combine() Command { return Command{code: insRegModel} }

// StoreTemplate is Store 0x06: buffer 1, page 2.
func StoreTemplate(from Buffer, slot uint16) Command { return withSlot(insStore, from, slot) }

// LoadTemplate is LoadChar 0x07: buffer 1, page 2. The template goes from the
// module's flash to the module's own buffer and no further.
func LoadTemplate(to Buffer, slot uint16) Command { return withSlot(insLoadChar, to, slot) }

// CompareBuffers is Match 0x03: are both buffers of one finger (1:1)?
func CompareBuffers() Command { return Command{code: insMatch} }

// SearchTemplates is Search 0x04: buffer 1, first page 2, number of pages 2 (1:N).
func SearchTemplates(buffer Buffer, first, n uint16) Command {
	c := withSlot(insSearch, buffer, first)
	c.args += string(binary.BigEndian.AppendUint16(nil, n))
	return c
}

// DeleteTemplates is DeletChar 0x0C: first page 2, number of pages 2.
func DeleteTemplates(first, n uint16) Command {
	b := binary.BigEndian.AppendUint16(nil, first)
	return Command{insDeletChar, string(binary.BigEndian.AppendUint16(b, n))}
}

// DeleteAll is Empty 0x0D.
func DeleteAll() Command { return Command{code: insEmpty} }

// CountTemplates is TemplateNum 0x1D.
func CountTemplates() Command { return Command{code: insTemplateNum} }

// ReadIndex is ReadConList 0x1F, also called ReadIndexTable: table 1. Table 0 is
// pages 0 to 255, and so on. Older modules do not know it.
func ReadIndex(table byte) Command { return Command{insReadConList, string([]byte{table})} }

// Light is what the R503's ring shows.
type Light struct {
	Mode  byte // 1 breathing, 2 flashing, 3 on, 4 off
	Speed byte // of a period, in the module's unit; 0 is fastest
	Color byte // 1 red, 2 blue, 3 purple; later models have more
	Times byte // periods; 0 for ever
}

// AuraLED is AuraLedConfig 0x35: mode 1, speed 1, colour 1, times 1.
func AuraLED(l Light) Command {
	return Command{insAuraLED, string([]byte{l.Mode, l.Speed, l.Color, l.Times})}
}

func withPassword(code instruction, p Password) Command {
	return Command{code, string(binary.BigEndian.AppendUint32(nil, p.value))}
}

func withSlot(code instruction, b Buffer, slot uint16) Command {
	return Command{code, string(binary.BigEndian.AppendUint16([]byte{byte(b)}, slot))}
}

// Packet is c as it goes to the module at address.
func (c Command) Packet(address uint32) Packet {
	return Packet{Address: address, Kind: KindCommand, Payload: append([]byte{byte(c.code)}, c.args...)}
}

// Window is how long the module may take to answer, its bytes' time on the wire
// included at 9600 baud.
func (c Command) Window() time.Duration { return table[c.code].window }

// String, GoString, Format, LogValue and MarshalText give the name alone.
func (c Command) String() string               { return table[c.code].name }
func (c Command) GoString() string             { return c.String() }
func (c Command) Format(f fmt.State, _ rune)   { fmt.Fprint(f, c.String()) }
func (c Command) LogValue() slog.Value         { return slog.StringValue(c.String()) }
func (c Command) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
