package main

import (
	"fmt"
	"time"

	"sekimori/drivers/osdp"
)

// wire is the speed of a bus and whether it has a secure channel.
type wire struct {
	baud   int
	secure bool
}

func (w wire) String() string {
	if w.secure {
		return fmt.Sprintf("%d baud, secure channel", w.baud)
	}
	return fmt.Sprintf("%d baud, clear text", w.baud)
}

// Bytes on the wire, the mark byte and the CRC among them: a POLL, the ACK that
// says nothing happened, and a RAW of 26 bits.
const (
	clearPoll, clearACK, clearRAW    = 9, 9, 17
	securePoll, secureACK, secureRAW = 15, 15, 31
)

func (w wire) bytes(n int) time.Duration {
	return time.Duration(n) * 10 * time.Second / time.Duration(w.baud)
}

// turnaround of a simulated reader: from the last byte of a command to the first
// of its reply.
const turnaround = time.Millisecond

// cycle is the time that polling n readers once takes when nothing happens.
func (w wire) cycle(n int) time.Duration {
	one := w.bytes(clearPoll + clearACK)
	if w.secure {
		one = w.bytes(securePoll + secureACK)
	}
	return time.Duration(n) * (one + turnaround)
}

// limit is what a card takes on average on a bus of n readers that are polled
// without a pause: half a cycle, then its reply.
func (w wire) limit(n int) time.Duration {
	raw := w.bytes(clearRAW)
	if w.secure {
		raw = w.bytes(secureRAW)
	}
	return w.cycle(n)/2 + raw
}

// key of the readers of a secure bus: pretend hardware, made for this run only.
const key = "000102030405060708090a0b0c0d0e0f"

// site is what the simulator's settings say of a reader besides its address.
func (w wire) site() string {
	if w.secure {
		return ", secure: key, key: '" + key + "'"
	}
	return ""
}

// reader is the same for the driver.
func (w wire) reader(id string, address byte) (osdp.ReaderConfig, error) {
	c := osdp.ReaderConfig{Reader: id, Address: address}
	if !w.secure {
		return c, nil
	}
	k, err := osdp.ParseKey(key)
	c.Key = &k
	return c, err
}
