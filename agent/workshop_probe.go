package agent

import (
	"context"
	"fmt"
	"io"
	"time"

	"sekimori/drivers/fingerprint"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
	"sekimori/drivers/pn532"
)

// ProbeLimits narrow a probe.
type ProbeLimits struct {
	Baud         int  // 0: the likely ones
	AllAddresses bool // OSDP: 0 to 126 instead of 0 to 15, which takes minutes
}

// Probe asks what is on a port: a PN532, a fingerprint module, or OSDP readers,
// and at which baud and address.
func Probe(ctx context.Context, out io.Writer, port string, l ProbeLimits) error {
	open := func(baud int) line.Opener { return line.Serial(port, baud) }
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	found := false
	ask := func(what string, bauds []int, probe func(line.Port) (string, error)) error {
		for _, baud := range bauds {
			if l.Baud != 0 && baud != l.Baud {
				continue
			}
			p, err := open(baud)()
			if err != nil {
				return fmt.Errorf("%w: %w", errHardware, err)
			}
			silence(p)
			answer, err := probe(p)
			p.Close()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err == nil {
				found = true
				say("%s: %d baud、%s", what, baud, answer)
				return nil
			}
		}
		return nil
	}
	say("%s を調べます。", port)
	if err := ask("PN532", []int{pn532.DefaultBaud, 9600}, func(p line.Port) (string, error) {
		f, err := pn532.Probe(ctx, p)
		return fmt.Sprint(f), err
	}); err != nil || found {
		return err
	}
	if err := ask("指紋モジュール", fingerprint.Bauds()[:5], func(p line.Port) (string, error) {
		f, err := fingerprint.Probe(ctx, p)
		if f.Bound {
			return "ほかの制御盤に結び付けられている", err
		}
		return fmt.Sprintf("収容数 %d、工場出荷時のまま", f.Parameters.Capacity), err
	}); err != nil || found {
		return err
	}
	return probeOSDP(ctx, open, l, say)
}

// silence takes what is still on its way to whoever had the port before: an old
// answer must not pass for one of ours.
func silence(p line.Port) {
	var buf [256]byte
	if p.SetReadTimeout(50*time.Millisecond) != nil {
		return
	}
	for limit := time.Now().Add(time.Second); time.Now().Before(limit); {
		if n, err := p.Read(buf[:]); n == 0 || err != nil {
			return
		}
	}
}

func probeOSDP(ctx context.Context, open func(int) line.Opener, l ProbeLimits, say func(string, ...any)) error {
	var bauds []int
	if l.Baud != 0 {
		bauds = []int{l.Baud}
	}
	var addresses []byte
	if !l.AllAddresses {
		for a := range byte(16) {
			addresses = append(addresses, a)
		}
	}
	all, err := osdp.Probe(ctx, open, bauds, addresses, func(f osdp.Found) {
		say("OSDP: %d baud、番地 %d、%s%s%s", f.Baud, f.Address, osdp.ReplyWords(f.Identity),
			map[bool]string{true: "、暗号通信だけに答える"}[f.Secure], map[bool]string{true: "、checksum: true が要る"}[f.Checksum])
	})
	if err != nil {
		return err
	}
	if len(all) == 0 {
		say("何も答えません。電源、A/B(TX/RX)の向き、終端抵抗を確かめてください。%s", map[bool]string{false: "番地が 16 以上かもしれないときは --all を付けてください。"}[l.AllAddresses])
	}
	return nil
}
