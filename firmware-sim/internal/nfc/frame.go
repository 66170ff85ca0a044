package nfc

// Kinds of frame.
const (
	kindInfo = iota
	kindACK
	kindNACK
)

// Directions of an information frame (UM0701-02 §6.2.1.1).
const (
	toChip   = 0xD4
	fromChip = 0xD5
)

const (
	maxShort = 255 // bytes a frame of the short form holds
	maxLong  = 265 // and of the extended form: TFI, code, 263 more
	longHead = 7
)

var (
	ackFrame = []byte{0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00}
	// A command whose syntax is wrong or whose code is unknown (§6.2.1.5).
	syntaxError = []byte{0x00, 0x00, 0xFF, 0x01, 0xFF, 0x7F, 0x81, 0x00}
)

// frame is what came from the host: a command's code and parameters, or ACK or
// NACK without content.
type frame struct {
	kind int
	data []byte
}

// information builds a frame from the chip:
//
//	00 | 00 FF | length, -length | D5 content | -sum of D5 and content | 00
//
// Long content takes FF FF and a length of two bytes.
func information(content []byte) []byte {
	n := len(content) + 1
	b := []byte{0x00, 0x00, 0xFF}
	if n <= maxShort {
		b = append(b, byte(n), -byte(n))
	} else {
		b = append(b, 0xFF, 0xFF, byte(n>>8), byte(n), -(byte(n>>8) + byte(n)))
	}
	b = append(append(b, fromChip), content...)
	return append(b, -(fromChip + total(content)), 0x00)
}

func total(b []byte) (s byte) {
	for _, x := range b {
		s += x
	}
	return s
}

// parse gives the frame whose start code b begins with and its length without
// the postamble; 0 for one that is not complete, -1 for bytes that are none. The
// chip says nothing to a frame whose sums are wrong.
func parse(b []byte) (frame, int) {
	switch {
	case b[0] != 0x00 || len(b) > 1 && b[1] != 0xFF:
		return frame{}, -1
	case len(b) < 4:
		return frame{}, 0
	case b[2] == 0x00 && b[3] == 0xFF:
		return frame{kind: kindACK}, 4
	case b[2] == 0xFF && b[3] == 0x00:
		return frame{kind: kindNACK}, 4
	}
	n, head := int(b[2]), 4
	if b[2] == 0xFF && b[3] == 0xFF {
		if head = longHead; len(b) < head {
			return frame{}, 0
		}
		n = int(b[4])<<8 | int(b[5])
	}
	if n < 2 || n > maxLong || total(b[2:head]) != lengthSum(head) {
		return frame{}, -1
	}
	end := head + n + 1
	if len(b) < end {
		return frame{}, 0
	}
	if total(b[head:end]) != 0 || b[head] != toChip {
		return frame{}, -1
	}
	return frame{data: append([]byte(nil), b[head+1:head+n]...)}, end
}

// lengthSum is what the bytes of the length add up to: zero, and FE where FF FF
// stands before them.
func lengthSum(head int) byte {
	if head == longHead {
		return 0xFE
	}
	return 0
}
