package nfc

import (
	"encoding/binary"
	"slices"
)

// Commands of UM0701-02 §7; an answer has the code + 1.
const (
	diagnose         = 0x00
	firmwareVersion  = 0x02
	generalStatus    = 0x04
	readRegister     = 0x06
	writeRegister    = 0x08
	readGPIO         = 0x0C
	writeGPIO        = 0x0E
	setParameters    = 0x12
	samConfiguration = 0x14
	powerDown        = 0x16
	rfConfiguration  = 0x32
	inDataExchange   = 0x40
	inThru           = 0x42
	inDeselect       = 0x44
	inListPassive    = 0x4A
	inPSL            = 0x4E
	inATR            = 0x50
	inRelease        = 0x52
	inSelect         = 0x54
	inAutoPoll       = 0x60
)

// Statuses of a command to a card (§7.1).
const (
	heardWell   = 0x00
	timeOut     = 0x01
	wrongUse    = 0x27 // not in this state
	wakeByUART  = 0x10
	felica212   = 0x01
	felica424   = 0x02
	maxRegister = 80 // of one command; libnfc writes up to a dozen
)

// least is how many bytes each known command has after its code, at least.
var least = map[byte]int{
	diagnose: 1, firmwareVersion: 0, generalStatus: 0, readRegister: 2, writeRegister: 3, readGPIO: 0, writeGPIO: 2,
	setParameters: 1, samConfiguration: 1, powerDown: 1, rfConfiguration: 2, inDataExchange: 1, inThru: 0,
	inDeselect: 1, inListPassive: 2, inPSL: 3, inATR: 2, inRelease: 1, inSelect: 1, inAutoPoll: 3,
}

// obey gives a command's answer, nil for one that is not understood; wait for a
// listing that has found no card and goes on looking.
func (m *Module) obey(data []byte) (answer []byte, wait bool) {
	code, args := data[0], data[1:]
	n, known := least[code]
	if !known || len(args) < n {
		return nil, false
	}
	head := []byte{code + 1}
	switch code {
	case inListPassive:
		return m.list(head, args)
	case inAutoPoll:
		return m.autoPoll(head, args)
	case inDataExchange:
		return append(head, m.exchange(args[0], args[1:])...), false
	case inThru, inATR:
		return append(head, timeOut), false // no card that talks so
	case inDeselect, inRelease:
		return append(head, m.release(args[0], code == inRelease)), false
	case inSelect:
		return append(head, m.wake(args[0])), false
	case inPSL:
		if m.target(args[0]) == nil {
			return append(head, wrongUse), false
		}
		return append(head, heardWell), false
	case generalStatus:
		return append(head, m.general()...), false
	}
	return m.manage(head, code, args), false
}

// manage answers what has nothing to do with a card.
func (m *Module) manage(head []byte, code byte, args []byte) []byte {
	switch code {
	case diagnose:
		return m.diagnose(head, args)
	case firmwareVersion:
		return append(head, 0x32, 0x01, 0x06, 0x07) // PN532, 1.6, A B and 18092
	case readRegister:
		return m.read(head, args)
	case writeRegister:
		return m.write(head, args)
	case readGPIO:
		return append(head, 0x3F, 0x07, 0x00)
	case setParameters:
		m.params = args[0]
	case samConfiguration:
		if args[0] < 1 || args[0] > 4 {
			return nil
		}
	case powerDown:
		m.fieldOff()
		m.awake, m.deaf = false, args[0]&wakeByUART == 0
		return append(head, heardWell)
	case rfConfiguration:
		return m.configure(head, args[0], args[1:])
	}
	return head
}

// read is ReadRegister: addresses of two bytes, a value for each.
func (m *Module) read(head, args []byte) []byte {
	if len(args)%2 != 0 || len(args)/2 > maxRegister {
		return nil
	}
	for ; len(args) > 0; args = args[2:] {
		head = append(head, m.regs[binary.BigEndian.Uint16(args)])
	}
	return head
}

// write is WriteRegister: address 2, value 1, and so on.
func (m *Module) write(head, args []byte) []byte {
	if len(args)%3 != 0 || len(args)/3 > maxRegister {
		return nil
	}
	for ; len(args) > 0; args = args[3:] {
		m.regs[binary.BigEndian.Uint16(args)] = args[2]
	}
	return head
}

// diagnose: line (echo), ROM, RAM, card still there, antenna.
func (m *Module) diagnose(head, args []byte) []byte {
	switch args[0] {
	case 0x00:
		return append(head, args...)
	case 0x01, 0x02, 0x07:
		return append(head, 0x00)
	case 0x06:
		if !m.hears(m.target(1)) {
			return append(head, timeOut)
		}
		return append(head, 0x00)
	}
	return nil
}

// configure is RFConfiguration: 1 the field, 5 how often to try.
func (m *Module) configure(head []byte, item byte, args []byte) []byte {
	switch {
	case item == 0x01 && len(args) == 1:
		if m.field = args[0]&1 != 0; !m.field {
			m.fieldOff()
		}
	case item == 0x05 && len(args) == 3:
		m.retries = args[2]
	case item == 0x02 && len(args) == 3, item == 0x04 && len(args) == 1, item == 0x0A && len(args) == 11,
		item == 0x0B && len(args) == 8, item == 0x0C && len(args) == 3, item == 0x0D && len(args) == 9:
	default:
		return nil
	}
	return head
}

// general is GetGeneralStatus: last error, field, targets, SAM.
func (m *Module) general() []byte {
	b := []byte{0x00, 0x00, 0x00}
	if m.field {
		b[1] = 1
	}
	for i, t := range m.targets {
		if t != nil {
			b[2]++
			b = append(b, byte(i+1), 0, 0, 0)
		}
	}
	return append(b, 0x00)
}

// target is a card that was listed, by its number.
func (m *Module) target(number byte) *card {
	if number < 1 || number > maxTargets {
		return nil
	}
	return m.targets[number-1]
}

// hears tells whether a target is still there and has not been halted.
func (m *Module) hears(t *card) bool { return t != nil && !t.halted && slices.Contains(m.cards, t) }

// release halts one target, or all for 0, and on demand forgets it too.
func (m *Module) release(number byte, forget bool) byte {
	if number > maxTargets {
		return wrongUse
	}
	for i, t := range m.targets {
		if t != nil && (number == 0 || int(number) == i+1) {
			t.halt()
			if forget {
				m.targets[i] = nil
			}
		}
	}
	return heardWell
}

// wake is InSelect: a target that was deselected talks again, from the start.
func (m *Module) wake(number byte) byte {
	t := m.target(number)
	switch {
	case t == nil:
		return wrongUse
	case !slices.Contains(m.cards, t):
		return timeOut
	}
	t.halted = false
	return heardWell
}

// exchange carries a command to a target and gives status and answer.
func (m *Module) exchange(number byte, command []byte) []byte {
	t := m.target(number)
	switch {
	case t == nil:
		return []byte{wrongUse}
	case !m.hears(t) || !t.isoDEP() || m.faults.Spend(Torn):
		return []byte{timeOut}
	}
	return append([]byte{heardWell}, t.applet.exchange(command)...)
}

// list is InListPassiveTarget: how many, technology, whom.
func (m *Module) list(head, args []byte) (answer []byte, wait bool) {
	limit, tech, whom := int(args[0]), args[1], args[2:]
	if limit < 1 || limit > maxTargets || tech > 4 || (tech == felica212 || tech == felica424) && len(whom) != 5 {
		return nil, false
	}
	found := m.look(limit, tech, whom)
	if len(found) == 0 && m.retries == forEver {
		return nil, true
	}
	head = append(head, byte(len(found)))
	for i, b := range found {
		head = append(append(head, byte(i+1)), b...)
	}
	return head, false
}

// look activates the cards of a technology and gives what each says. Halted
// cards are silent, and so is a FeliCa card of another system.
func (m *Module) look(limit int, tech byte, whom []byte) (found [][]byte) {
	m.field, m.targets = true, [maxTargets]*card{}
	for _, k := range m.cards {
		var b []byte
		switch {
		case len(found) == limit:
		case tech == 0 && k.chip.UID != nil && !k.halted && k.meant(whom):
			b = k.typeA(m.params&automaticRATS != 0)
		case (tech == felica212 || tech == felica424) && k.chip.IDm != nil && answersPoll(whom):
			b = k.felica(whom)
		}
		if b != nil {
			m.targets[len(found)] = k
			found = append(found, b)
		}
	}
	return found
}

// autoPoll is InAutoPoll: rounds, period, kinds of target. It gives one target:
// count, kind, length, what a listing says.
func (m *Module) autoPoll(head, args []byte) (answer []byte, wait bool) {
	if args[1] < 1 || args[1] > 15 || len(args) > 17 {
		return nil, false
	}
	for _, kind := range args[2:] {
		tech, whom := byte(0), []byte(nil)
		switch kind {
		case 0x00, 0x10, 0x20:
		case 0x01, 0x11, 0x02, 0x12:
			tech, whom = kind&0x0F, []byte{0x00, 0xFF, 0xFF, 0x00, 0x00}
		default:
			continue
		}
		for _, b := range m.look(1, tech, whom) {
			if kind == 0x20 && !m.targets[0].isoDEP() || kind == 0x10 && m.targets[0].isoDEP() {
				m.targets[0] = nil
				continue
			}
			return append(append(head, 1, kind, byte(len(b)+1), 1), b...), false
		}
	}
	if args[0] == forEver {
		return nil, true
	}
	return append(head, 0), false
}
