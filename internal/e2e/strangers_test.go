//go:build linux && simtime

package e2e_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sekimori/internal/record"
)

// findingKind is the kind of a row that says that somebody tried something.
const findingKind = "hub.security_finding"

// [002-22(8), 001-4.9(3), 002-26.1, T-50, T-51] Strangers at the devices' port:
// each attempt is a row within ten seconds, and meanwhile people come and go.
func TestStrangersGetNothing(t *testing.T) {
	c := found(t, baseDay(9, 0, 0))
	thief := c.stealIdentity("DC-21")
	captured := c.captureBatch("DC-21", thief)
	passages := 0
	for n, attempt := range []struct {
		name    string
		finding string
		code    record.Code // where the hub, not the broker, found it
		do      func(p prober) error
	}{
		{"plain TCP", "plain_tcp", "", func(p prober) error { return p.plain([]byte("GET / HTTP/1.1\r\nHost: hub\r\n\r\n")) }},
		{"plain MQTT", "plain_tcp", "", func(p prober) error { return p.plain(connectPacket("DC-21", 4)) }},
		{"no certificate", "no_certificate", "", func(p prober) error { return p.refused(nil) }},
		{"self-signed certificate", "foreign_certificate", "", func(p prober) error { return p.refused(selfSigned(p.t, "DC-31")) }},
		{"another CA's certificate", "foreign_certificate", "", func(p prober) error { return p.refused(foreignCertificate(p.t, "DC-31")) }},
		{"expired certificate", "expired_certificate", "", func(p prober) error { return p.refused(c.issued("DC-21", baseDay(0, 0, 0).AddDate(-1, 0, 0))) }},
		{"a device not in service", "unknown_device", "", func(p prober) error { return p.refused(c.issued("DC-99", baseDay(0, 0, 0).AddDate(1, 0, 0))) }},
		{"garbage after TLS", "malformed_packet", "", func(p prober) error { return p.ended(thief, garbage(200)) }},
		{"MQTT 5", "protocol_version", "", func(p prober) error { return p.ended(thief, connectPacket("DC-21", 5)) }},
		{"another's client id", "client_id", "", func(p prober) error { return p.ended(thief, connectPacket("DC-31", 4)) }},
		{"256 MiB claimed", "oversized_packet", "", func(p prober) error { return p.session(thief, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}) }},
		{"another's topic", "wrong_topic", "", func(p prober) error {
			return p.session(thief, publishPacket(record.Topic("DC-31", record.ChannelUp), captured))
		}},
		{"garbage on the own topic", "bad_message", record.CodeMalformed, func(p prober) error {
			return errors.Join(p.published(thief, record.ChannelUp, garbage(500)), p.published(thief, record.ChannelAsk, garbage(500)),
				p.published(thief, record.ChannelUp, append([]byte("SKB1"), make([]byte, 450<<10)...)))
		}},
		{"a batch of DC-31 sealed by DC-21", "bad_message", record.CodeWrongDevice, func(p prober) error {
			return p.published(thief, record.ChannelUp, thief.batch(p.t, "DC-31", record.NewEpoch(), record.NewBootID(), 1))
		}},
		{"a batch sealed by nobody's key", "bad_message", record.CodeBadSignature, func(p prober) error {
			return p.published(thief, record.ChannelUp, stranger(p.t).batch(p.t, "DC-21", record.NewEpoch(), record.NewBootID(), 1))
		}},
		{"a captured batch, twice", "replayed_batch", record.CodeReplayed, func(p prober) error {
			return errors.Join(p.published(thief, record.ChannelUp, captured), p.published(thief, record.ChannelUp, captured))
		}},
	} {
		t.Run(attempt.name, func(t *testing.T) {
			if err := attempt.do(prober{t, c.mqtt, net.IPv4(127, 0, 9, byte(n+1))}); err != nil {
				t.Error(err)
			}
			c.found(t, attempt.finding, attempt.code, fmt.Sprintf("127.0.9.%d", n+1))
			c.cardBecomesRow(t, n)
			passages = n + 1
		})
	}
	c.nothingWasTaken(t, (passages+1)/2)
	c.sound()
}

// found waits for the row of a finding: of the broker, which knows the address,
// or of the hub, which knows the code.
func (c *city) found(t *testing.T, finding string, code record.Code, remote string) {
	t.Helper()
	eventually(t, 10*time.Second, "row for "+finding, func() bool {
		for _, d := range c.con.denials("kind=" + findingKind) {
			if d.Reason.Code != finding || d.Code != string(code) {
				continue
			}
			if code != "" || d.Device != "" || bytes.Contains([]byte(d.Detail), []byte(remote+":")) {
				return len(d.Basis) > 0 && d.Reason.Text != finding // a word for people
			}
		}
		return false
	})
}

// cardBecomesRow lets somebody through the other door, in or out by turns.
func (c *city) cardBecomesRow(t *testing.T, n int) {
	t.Helper()
	reader := "D31-in"
	if n%2 == 1 {
		reader = "D31-out"
	}
	c.pass(reader, cardP07, pinP07)
	eventually(t, 10*time.Second, "row of the card at "+reader, func() bool {
		l := c.con.stays("R31")
		return len(l) == n/2+1 && (l[n/2].Exited != nil) == (n%2 == 1)
	})
}

// nothingWasTaken checks what strangers left behind: rows about them, and no
// fact of theirs. The real DC-21 comes back and loses nothing.
func (c *city) nothingWasTaken(t *testing.T, stays int) {
	t.Helper()
	c.startAgain("DC-21")
	c.pass("D21-in", cardP07, "")
	eventually(t, 10*time.Second, "row of DC-21's door", func() bool { return len(c.con.stays("R21")) == 1 })
	for _, d := range c.con.denials("") {
		if d.Kind.Code == "hub.evidence_gap" || d.Reason.Code == "event_changed" || d.Reason.Code == "two_epochs" {
			t.Errorf("an attempt passed for evidence: %+v", d)
		}
	}
	if l := c.con.stays("R31"); len(l) != stays {
		t.Errorf("%d stays in R31, want the %d real ones", len(l), stays)
	}
}

// startAgain starts a controller and waits until the hub has heard from it.
func (c *city) startAgain(id string) {
	c.t.Helper()
	before := c.seen(id)
	c.agents[id].start()
	eventually(c.t, 30*time.Second, id+" heard of again", func() bool { return c.seen(id).After(before) && c.con.devicesReady(len(c.agents)) })
}

// seen is when the hub last heard from a controller.
func (c *city) seen(id string) time.Time {
	c.t.Helper()
	var today struct {
		Devices []struct {
			Device string    `json:"device"`
			Seen   time.Time `json:"seen"`
		} `json:"devices"`
	}
	if err := c.con.api("/api/v1/today", &today); err != nil {
		return time.Time{} // the hub may be down
	}
	for _, d := range today.Devices {
		if d.Device == id {
			return d.Seen
		}
	}
	return time.Time{}
}

// thief is what somebody holds who copied a controller's state folder.
type thief struct {
	cert   tls.Certificate
	signer *record.Signer
}

// stealIdentity stops a controller and copies its identity.
func (c *city) stealIdentity(id string) thief {
	c.t.Helper()
	c.agents[id].stop()
	cert, err := tls.LoadX509KeyPair(c.path(id+"/identity/device.crt"), c.path(id+"/identity/device.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	return newThief(c.t, cert)
}

func newThief(t *testing.T, cert tls.Certificate) thief {
	t.Helper()
	signer, err := record.NewSigner(cert.PrivateKey.(crypto.Signer))
	if err != nil {
		t.Fatal(err)
	}
	return thief{cert, signer}
}

// stranger has a key that nobody knows.
func stranger(t *testing.T) thief {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newThief(t, tls.Certificate{PrivateKey: key})
}

// batch is one event, sealed as its device would.
func (s thief) batch(t *testing.T, device record.DeviceID, epoch record.Epoch, boot record.BootID, sent uint64) []byte {
	t.Helper()
	event, err := record.Event{
		V: record.EventVersion, Device: device, Epoch: epoch, Seq: 1, Boot: boot, Wall: baseDay(9, 0, 0).UTC(), Quality: record.TimeSynced,
		Kind: record.KindEntered, Body: []byte(`{"door":"D21","room":"R21","level":2,"person":"P01"}`),
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	head := record.BatchHead{Device: device, Epoch: epoch, First: 1, Boot: boot, Sent: sent}
	return s.seal(t, head, [][]byte{event}, []record.Salt{record.NewSalt()})
}

func (s thief) seal(t *testing.T, head record.BatchHead, events [][]byte, salts []record.Salt) []byte {
	t.Helper()
	b, err := record.SealBatch(s.signer, head, events, salts)
	if err != nil {
		t.Fatal(err)
	}
	return b.Encode()
}

// captureBatch makes again, from the copied journal, a batch as the device has
// sent it: the newest of its boot, so that only sending it twice is wrong.
func (c *city) captureBatch(id string, s thief) []byte {
	c.t.Helper()
	events, salts := c.journaled(id)
	first, err := record.DecodeEvent(events[0])
	if err != nil {
		c.t.Fatal(err)
	}
	head := record.BatchHead{Device: first.Device, Epoch: first.Epoch, First: first.Seq, Boot: first.Boot, Sent: uint64(c.ctl.state().Clock.MonoNS)}
	return s.seal(c.t, head, events, salts)
}

// journaled reads a stopped controller's first journal segment as a thief of
// the board would: agent/internal/journal/format.go says how records lie.
func (c *city) journaled(id string) (events [][]byte, salts []record.Salt) {
	c.t.Helper()
	const dataStart, recordHead, saltAt = 4096, 72, 40
	files, err := filepath.Glob(c.path(id + "/journal/*"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			c.t.Fatal(err)
		}
		if !bytes.HasPrefix(b, []byte("SKJRNL1\n")) {
			continue
		}
		for b = b[dataStart:]; len(b) > recordHead; {
			n := int(binary.LittleEndian.Uint32(b[8:]))
			if n == 0 || n > len(b)-recordHead {
				break
			}
			events = append(events, bytes.Clone(b[recordHead:recordHead+n]))
			salts = append(salts, record.Salt(b[saltAt:saltAt+32]))
			b = b[(recordHead+n+7)&^7:]
		}
		break
	}
	if len(events) == 0 {
		c.t.Fatalf("no journal of %s among %v", id, files)
	}
	return events, salts
}

// issued is a device's certificate that our own CA signed.
func (c *city) issued(name string, until time.Time) *tls.Certificate {
	c.t.Helper()
	ca, err := tls.LoadX509KeyPair(c.path("hub/keys/ca.crt"), c.path("hub/keys/ca.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	return certificate(c.t, deviceName(name), until, ca.Leaf, ca.PrivateKey.(crypto.Signer))
}

func selfSigned(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	return certificate(t, deviceName(name), baseDay(0, 0, 0).AddDate(1, 0, 0), nil, nil)
}

// foreignCertificate is of a CA that calls itself as ours does.
func foreignCertificate(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "関森市 sekimori CA", Organization: []string{"関森市"}},
		NotBefore: time.Unix(0, 0), NotAfter: baseDay(0, 0, 0).AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return certificate(t, deviceName(name), baseDay(0, 0, 0).AddDate(1, 0, 0), ca, key)
}

func deviceName(name string) pkix.Name {
	return pkix.Name{CommonName: name, OrganizationalUnit: []string{"device"}}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate is a client certificate for a new key; without a CA it signs itself.
func certificate(t *testing.T, name pkix.Name, until time.Time, ca *x509.Certificate, caKey crypto.Signer) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: name, NotBefore: time.Unix(0, 0), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	if ca == nil {
		ca, caKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: spki}))
	if err != nil {
		t.Fatal(err)
	}
	return &cert
}

// prober talks to the devices' port from an address of its own, so that each
// attempt is counted by itself.
type prober struct {
	t    *testing.T
	addr string
	from net.IP
}

const probeWait = 10 * time.Second

func (p prober) dial() (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: p.from}, Timeout: probeWait}
	conn, err := d.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn, conn.SetDeadline(time.Now().Add(probeWait))
}

// tls makes a handshake with a certificate or none. A TLS 1.3 client learns
// that its certificate was refused only when it reads.
func (p prober) tls(cert *tls.Certificate) (*tls.Conn, error) {
	conn, err := p.dial()
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13} // strangers check nothing
	if cert != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	c := tls.Client(conn, conf)
	return c, c.Handshake()
}

// silent reports an error when the port says anything but goodbye.
func silent(conn net.Conn) error {
	b, err := io.ReadAll(conn)
	var timeout net.Error
	switch {
	case len(b) > 0 && !(len(b) == 4 && b[0] == 0x20 && b[3] != 0): // a CONNACK that refuses is a goodbye
		return fmt.Errorf("the port answered %x", b)
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("the port kept the connection open")
	}
	return nil
}

// plain sends bytes without TLS.
func (p prober) plain(b []byte) error {
	conn, err := p.dial()
	if err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	reply, err := io.ReadAll(conn)
	if len(reply) > 0 && reply[0] != 0x15 { // 0x15: a TLS alert
		return fmt.Errorf("the port answered %x (%v)", reply, err)
	}
	return nil
}

// refused tries to come in with a certificate that is none of ours.
func (p prober) refused(cert *tls.Certificate) error {
	conn, err := p.tls(cert)
	if conn == nil {
		return err
	}
	if err != nil {
		return nil
	}
	name := "DC-21"
	if cert != nil {
		name = cert.Leaf.Subject.CommonName
	}
	if _, err := conn.Write(connectPacket(name, 4)); err != nil {
		return nil
	}
	return silent(conn)
}

// ended sends first bytes under a good certificate and is hung up on.
func (p prober) ended(s thief, first []byte) error {
	conn, err := p.tls(&s.cert)
	if err != nil {
		return err
	}
	if _, err := conn.Write(first); err != nil {
		return err
	}
	return silent(conn)
}

// enter connects as the device does.
func (p prober) enter(s thief) (*tls.Conn, error) {
	conn, err := p.tls(&s.cert)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(connectPacket(s.cert.Leaf.Subject.CommonName, 4)); err != nil {
		return nil, err
	}
	ack := make([]byte, 4)
	if _, err := io.ReadFull(conn, ack); err != nil || !bytes.Equal(ack, []byte{0x20, 2, 0, 0}) {
		return nil, fmt.Errorf("CONNACK %x: %v", ack, err)
	}
	return conn, nil
}

// session misbehaves after a proper CONNECT and is hung up on.
func (p prober) session(s thief, b []byte) error {
	conn, err := p.enter(s)
	if err != nil {
		return err
	}
	if _, err := conn.Write(b); err != nil {
		return err
	}
	return silent(conn)
}

// published sends a payload that the broker has to pass on, and leaves politely.
func (p prober) published(s thief, ch record.Channel, payload []byte) error {
	conn, err := p.enter(s)
	if err != nil {
		return err
	}
	topic := record.Topic(record.DeviceID(s.cert.Leaf.Subject.CommonName), ch)
	if _, err := conn.Write(append(publishPacket(topic, payload), 0xe0, 0)); err != nil { // DISCONNECT
		return err
	}
	return silent(conn)
}

// connectPacket is an MQTT CONNECT with a clean session [MQTT 3.1.1 §3.1].
func connectPacket(client string, level byte) []byte {
	body := append(mqttText("MQTT"), level, 2, 0, 30)
	if level == 5 {
		body = append(body, 0) // no properties
	}
	return mqttPacket(0x10, append(body, mqttText(client)...))
}

// publishPacket is a PUBLISH with QoS 0.
func publishPacket(topic string, payload []byte) []byte {
	return mqttPacket(0x30, append(mqttText(topic), payload...))
}

func mqttText(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func mqttPacket(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func garbage(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	b[0] = 0xff // no packet type a client may send
	return b
}
