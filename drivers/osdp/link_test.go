package osdp_test

import (
	"testing"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/osdp"
)

// FuzzLink lets anybody speak to a link with a key: whatever comes, the link
// sends nothing in clear text but ID, never SCBK-D, never a key, and believes no
// reading that its own session did not carry.
func FuzzLink(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 3, 1, 4, 0x45, 0, 0x40})
	for _, v := range every(f) {
		if fr, _, err := osdp.Parse(raw(f, v.parts...)); err == nil && fr.Reply {
			f.Add(append([]byte{0, 1, fr.Code, byte(len(fr.Data))}, fr.Data...))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		key := ownKey
		l := osdp.NewLink(osdp.ReaderConfig{Reader: "x", Key: &key, Biometric: true}, osdp.DefaultPoll, osdp.DefaultRest)
		now, next := time.Duration(0), func() (b byte) {
			if len(script) > 0 {
				b, script = script[0], script[1:]
			}
			return b
		}
		var seq byte
		for steps := 0; len(script) > 0 && steps < 300; steps++ {
			now += time.Duration(next()) * 50 * time.Millisecond
			var in osdp.Input = osdp.Turn{}
			switch next() % 6 {
			case 1, 2, 3:
				fr := osdp.Frame{Reply: true, Ctrl: 4 | seq, Code: next()}
				n := min(int(next())%64, len(script))
				fr.Data, script = script[:n], script[n:]
				if kind := next(); kind >= 0x11 && kind <= 0x18 {
					fr.Ctrl, fr.SCB = fr.Ctrl|8, []byte{3, kind, 1}
				}
				in = osdp.Heard{Frame: fr}
			case 4:
				in = osdp.Silent{Noise: uint64(next())}
			case 5:
				in = [...]osdp.Input{osdp.Lost{}, osdp.Show{Signal: drivers.SignalDenied}, osdp.Match{Slot: 3}, osdp.Ask{Command: osdp.LStat{}}}[next()%4]
			}
			var e osdp.Effects
			l, e = l.Step(in, now)
			if len(e.Readings) > 0 || l.Health().Secure || l.Health().Online {
				t.Fatal("believed somebody who proved nothing")
			}
			if len(e.Send) == 0 {
				continue
			}
			sent := e.Send[1:]
			seq = sent[4] & 3
			if publicOrKeySet([][]byte{sent}) != 0 || clearPolls([][]byte{sent}) != 0 {
				t.Fatalf("sent % X", sent)
			}
		}
	})
}
