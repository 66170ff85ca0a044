package osdp

import (
	"context"
	"fmt"
	"time"

	"sekimori/drivers/line"
)

// probeReply is how long Probe waits for an answer: the specification's 200 ms
// for each of 127 addresses and six bauds would be minutes, and readers answer
// within 60 ms, USB adapters included.
const probeReply = 80 * time.Millisecond

// Found is a reader that Probe came upon.
type Found struct {
	Baud     int
	Address  byte
	Checksum bool // it answers the one-byte checksum only
	Secure   bool // it says nothing without the secure channel
	Identity PDID
}

// Probe asks every address at every baud who it is, and calls found (which may
// be nil) with each reader as it answers. open is called with one baud after the
// other; bauds and addresses that are nil mean all. No Bus may have the port
// meanwhile. It asks with a CRC first; where a baud has nobody who knows that,
// with the checksum. A reader that is asked begins its conversation anew.
func Probe(ctx context.Context, open func(baud int) line.Opener, bauds []int, addresses []byte, found func(Found)) ([]Found, error) {
	if bauds == nil {
		bauds = Bauds
	}
	if addresses == nil {
		for a := range byte(maxAddress + 1) {
			addresses = append(addresses, a)
		}
	}
	var all []Found
	for _, baud := range bauds {
		port, err := open(baud)()
		if err != nil {
			return all, fmt.Errorf("osdp: probe: %w", err)
		}
		some, err := probeBaud(ctx, port, baud, addresses, found)
		port.Close()
		all = append(all, some...)
		if err != nil {
			return all, fmt.Errorf("osdp: probe at %d baud: %w", baud, err)
		}
	}
	return all, nil
}

func probeBaud(ctx context.Context, port line.Port, baud int, addresses []byte, found func(Found)) (all []Found, err error) {
	for _, sum := range []bool{false, true} {
		for _, a := range addresses {
			if err := ctx.Err(); err != nil {
				return all, err
			}
			f, ok, err := probeOne(port, baud, a, sum)
			if err != nil {
				return all, err
			}
			if ok {
				all = append(all, f)
				if found != nil {
					found(f)
				}
			}
		}
		if len(all) > 0 {
			return all, nil
		}
	}
	return all, nil
}

// probeOne sends ID with sequence 0 and waits for who answers.
func probeOne(port line.Port, baud int, address byte, sum bool) (Found, bool, error) {
	at := Found{Baud: baud, Address: address, Checksum: sum}
	f := Frame{Mark: true, Addr: address, Code: codeID, Data: ID{}.appendData(nil)}
	if !sum {
		f.Ctrl = ctrlCRC
	}
	b, err := f.Append(nil)
	if err != nil {
		return at, false, err
	}
	if _, err := port.Write(b); err != nil {
		return at, false, err
	}
	char := 10 * time.Second / time.Duration(baud)
	deadline := time.Now().Add(time.Duration(len(b)+30)*char + probeReply)
	var scan Scanner
	var buf [64]byte
	for {
		if err := port.SetReadTimeout(max(time.Until(deadline), 0)); err != nil {
			return at, false, err
		}
		n, err := port.Read(buf[:])
		if err != nil || n == 0 {
			return at, false, err
		}
		scan.Feed(buf[:n])
		for f, ok := scan.Next(); ok; f, ok = scan.Next() {
			if !f.Reply || f.Addr != address {
				continue
			}
			switch r, _ := ParseReply(f.Code, f.Data); r := r.(type) {
			case PDID:
				at.Identity = r
				return at, true, nil
			case Nak:
				at.Secure = r.Reason == NakNoSecure || r.Reason == NakSecure
				return at, true, nil
			case Busy:
				return at, true, nil
			}
		}
	}
}
