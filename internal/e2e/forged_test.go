//go:build linux && simtime

package e2e_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sekimori/internal/record"
)

// [T-53, T-07, 000-9.2, 003-4(6)] Somebody speaks in the hub's name: policies
// and orders that are old, for another device or signed with the wrong key are
// not obeyed, each is a row, and the doors go on under what is in force.
func TestBadInputForgedWordOfTheHub(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	c.cancelPermit("K8-07", "R31") // a policy after the first
	c.con.closeRoom("D31")         // an order that was obeyed
	eventually(t, 10*time.Second, "閉室", func() bool { return len(c.con.denials("kind=room_closed")) == 1 })
	c.con.order("D31", "reopen", map[string][]string{"reason": {"inspected"}, "checked": {"1"}})
	eventually(t, 10*time.Second, "閉室解除", func() bool { return !c.datedRows("room_closed", "")[0].Open })

	policyKey, orderKey, receiptKey := c.hubKey("policy"), c.hubKey("order"), c.hubKey("receipt")
	now := baseDay(9, 0, 0).UTC()
	order := record.Order{
		Device: "DC-31", Seq: 9, Purpose: record.PurposeReopenRoom, Issuer: "P01", Role: "entry_manager_R31",
		Issued: now, Deliver: now.Add(time.Hour), Reason: "forged", Body: []byte(`{"door":"D31"}`),
	}
	old, late, foreign := order, order, order
	old.Seq, late.Deliver, foreign.Device = 1, now.Add(-time.Minute), "DC-21"
	all := []struct {
		name   string
		device record.DeviceID
		kind   string
		code   record.Code
		send   []message
	}{
		{"an older policy", "DC-21", "policy_rejected", record.CodePolicyOld, policyFor(t, policyKey, "DC-21", 1)},
		{"a policy signed with the receipt key", "DC-21", "policy_rejected", record.CodeBadSignature, policyFor(t, receiptKey, "DC-21", 999)},
		{"another's policy", "DC-21", "policy_rejected", record.CodeWrongDevice, policyFor(t, policyKey, "DC-31", 999)},
		{"an order signed with the policy key", "DC-31", "order_rejected", record.CodeBadSignature, orderOf(t, policyKey, order)},
		{"an old order", "DC-31", "order_rejected", record.CodeOrderOld, orderOf(t, orderKey, old)},
		{"an order past its delivery", "DC-31", "order_rejected", record.CodeOrderExpired, orderOf(t, orderKey, late)},
		{"another's order", "DC-31", "order_rejected", record.CodeWrongDevice, orderOf(t, orderKey, foreign)},
	}
	hub := c.asHub(t)
	for _, forged := range all {
		for _, m := range forged.send {
			hub.send(t, publishPacket(record.Topic(forged.device, m.channel), m.payload))
		}
	}
	hub.send(t, []byte{0xe0, 0}) // DISCONNECT
	for _, forged := range all {
		t.Run(forged.name, func(t *testing.T) {
			eventually(t, 20*time.Second, "row of "+forged.name, func() bool {
				for _, d := range c.con.denials("kind=" + forged.kind) {
					if d.Device == string(forged.device) && d.Code == string(forged.code) && len(d.Basis) > 0 {
						return true
					}
				}
				return false
			})
		})
	}
	c.pass("D21-in", cardP01, "")
	c.pass("D31-in", cardP07, pinP07)
	eventually(t, 10*time.Second, "rows", func() bool { return len(c.con.stays("R21")) == 1 && len(c.con.stays("R31")) == 1 })
}

// message is one publication.
type message struct {
	channel record.Channel
	payload []byte
}

// policyFor is a policy that lets nobody in.
func policyFor(t *testing.T, s *record.Signer, device record.DeviceID, version uint64) (out []message) {
	t.Helper()
	head, chunks, err := record.PackPolicy(s, record.Policy{Device: device, Version: version, Pack: "forged"}, baseDay(9, 0, 0).UTC())
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, message{record.ChannelPolicy, encoded(t, record.PolicyMessage{Version: version, Head: head})})
	for n, chunk := range chunks {
		out = append(out, message{record.ChannelPolicy, encoded(t, record.PolicyMessage{Version: version, Index: n, Chunk: chunk})})
	}
	return out
}

func orderOf(t *testing.T, s *record.Signer, o record.Order) []message {
	t.Helper()
	sealed, err := record.Seal(s, record.TypeOrder, o)
	if err != nil {
		t.Fatal(err)
	}
	return []message{{record.ChannelOrder, sealed}}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hubKey is one of the hub's keys.
func (c *city) hubKey(use string) *record.Signer {
	c.t.Helper()
	block, _ := pem.Decode([]byte(c.read("hub/keys/" + use + ".key")))
	if block == nil {
		c.t.Fatalf("%s.key is not PEM", use)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := record.NewSigner(key.(crypto.Signer))
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// asHub comes to the broker with the hub's own identity; the hub's link is
// pushed aside for a moment and comes back.
func (c *city) asHub(t *testing.T) forger {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(c.path("hub/keys/link.crt"), c.path("hub/keys/link.key"))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := prober{t, c.mqtt, net.IPv4(127, 0, 8, 1)}.enter(thief{cert: cert})
	if err != nil {
		t.Fatal(err)
	}
	return forger{conn}
}

type forger struct{ net.Conn }

func (f forger) send(t *testing.T, packet []byte) {
	t.Helper()
	if _, err := f.Write(packet); err != nil {
		t.Fatal(err)
	}
}

// [T-50, 002-22(8)] A controller that is led to a stranger instead of its hub
// tells the stranger nothing, works on, and delivers everything later.
func TestBadInputForeignHub(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	heard := strangersHub(t)
	own := c.read("DC-21.yaml")
	c.agents["DC-21"].stop()
	c.write("DC-21.yaml", strings.ReplaceAll(own, c.mqtt, heard.addr))
	c.agents["DC-21"].start()
	eventually(t, 20*time.Second, "DC-21 calls the stranger", func() bool { return heard.calls.Load() > 0 })
	c.pass("D21-in", cardP01, "")
	c.walkOut("D21")
	eventually(t, 20*time.Second, "DC-21 calls again", func() bool { return heard.calls.Load() > 1 })
	if n := heard.bytes.Load(); n != 0 {
		t.Errorf("the stranger was told %d bytes", n)
	}
	if log := c.read("DC-21.log"); !strings.Contains(log, "hub not reached") || !strings.Contains(log, "certificate") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	c.agents["DC-21"].stop()
	c.write("DC-21.yaml", own)
	c.startAgain("DC-21")
	eventually(t, 20*time.Second, "the row made meanwhile", func() bool {
		l := c.con.stays("R21")
		return len(l) == 1 && l[0].Exited != nil
	})
}

// impostor listens with a certificate nobody knows.
type impostor struct {
	addr         string
	calls, bytes atomic.Int64
}

func strangersHub(t *testing.T) *impostor {
	t.Helper()
	conf := &tls.Config{Certificates: []tls.Certificate{*selfSigned(t, "localhost")}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	s := &impostor{addr: l.Addr().String()}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.calls.Add(1)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			n, _ := io.Copy(io.Discard, conn) // refused by the caller, as it should be
			s.bytes.Add(n)
			conn.Close()
		}
	}()
	return s
}
