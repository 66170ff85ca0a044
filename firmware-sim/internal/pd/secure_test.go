package pd_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"strings"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/pd"
)

// key is a reader's own, made for these tests.
var key = pd.Key{0xC0, 0xC1, 0xC2, 0xC3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// The examples of annex E of SIA's specification: SCBK-D, RND.A of the
// controller and RND.B of the reader, and all that follows from them.
const (
	annexRndA   = "B0 B1 B2 B3 B4 B5 B6 B7"
	annexRndB   = "A0 A1 A2 A3 A4 A5 A6 A7"
	annexEnc    = "BF 8D C2 A8 32 9A CB 8C 67 C6 D0 CD 9A 45 16 82"
	annexMAC1   = "5E 86 C6 76 60 3B DE E2 D8 BE AF E1 78 63 73 32"
	annexMAC2   = "6F DA 86 E8 57 77 7E 81 13 20 35 75 82 39 17 2E"
	annexClient = "FD E5 D2 F4 28 EC 16 31 24 71 EA 3C 02 BD 77 96"
	annexServer = "26 D3 35 6E 07 76 2D 26 28 01 FC 8E 66 65 A8 91"
	annexRMAC   = "B2 A3 00 57 EB 98 BA 22 29 EC 1F 87 56 62 B5 24"
)

// annexReader is fresh from the factory and draws the nonce of annex E.
func annexReader(t *testing.T) *acu {
	nonce := unhex(t, annexRndB)
	return &acu{t: t, pd: pd.New(pd.Config{Serial: 1, Baud: 9600, Security: pd.Install, Random: func(b []byte) { copy(b, nonce) }})}
}

// exchange sends a frame and decodes the answer.
func (a *acu) exchange(f pd.Frame) pd.Frame {
	a.t.Helper()
	b := a.pd.Handle(f, a.now)
	if b == nil {
		a.t.Fatal("silence")
	}
	got, err := pd.Decode(b[1:])
	if err != nil {
		a.t.Fatal(err)
	}
	return got
}

// TestAnnexE holds the handshake against the specification's own numbers.
func TestAnnexE(t *testing.T) {
	a := annexReader(t)
	ccrypt := a.exchange(pd.Frame{Seq: 0, CRC: true, Security: []byte{3, 0x11, 0}, Code: pd.CmdChallenge, Data: unhex(t, annexRndA)})
	uid := "02 53 4B 01 01 01 00 00" // vendor, model, version, serial
	if want := unhex(t, uid+annexRndB+annexClient); ccrypt.Code != pd.ReplyCCrypt || !bytes.Equal(ccrypt.Data, want) {
		t.Fatalf("CCRYPT % X, want % X", ccrypt.Data, want)
	}
	if !bytes.Equal(ccrypt.Security, []byte{3, 0x12, 0}) {
		t.Errorf("its security block is % X", ccrypt.Security)
	}
	rmac := a.exchange(pd.Frame{Seq: 1, CRC: true, Security: []byte{3, 0x13, 0}, Code: pd.CmdCryptogram, Data: unhex(t, annexServer)})
	if rmac.Code != pd.ReplyRMAC || !bytes.Equal(rmac.Data, unhex(t, annexRMAC)) || !bytes.Equal(rmac.Security, []byte{3, 0x14, 1}) {
		t.Fatalf("RMAC_I %+v", rmac)
	}
	if s := a.pd.Status(a.now); !s.SecureLink || !s.DefaultLink {
		t.Errorf("%+v", s)
	}
}

// TestAnnexEChecks pins the CRC and the sum of annex E: COMSET to everybody, and
// ID.
func TestAnnexEChecks(t *testing.T) {
	for want, f := range map[string]pd.Frame{
		"FF 53 7F 0D 00 04 6E 00 80 25 00 00 6E 38": {Addr: 0x7F, CRC: true, Code: pd.CmdComSet, Data: unhex(t, "00 80 25 00 00")},
		"FF 53 00 09 00 04 61 00 C0 66":             {CRC: true, Code: pd.CmdID, Data: []byte{0}},
		"FF 53 7F 0C 00 00 6E 00 80 25 00 00 0F":    {Addr: 0x7F, Code: pd.CmdComSet, Data: unhex(t, "00 80 25 00 00")},
		"FF 53 00 08 00 00 61 00 44":                {Code: pd.CmdID, Data: []byte{0}},
	} {
		if got := f.Encode(); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("got % X, want %s", got, want)
		}
	}
}

// peer is a controller's secure channel in the plainest way there is, from the
// specification's text and sharing nothing with the reader: message and MAC are
// built byte by byte.
type peer struct {
	*acu
	enc, mac1, mac2 cipher.Block
	command, reply  []byte // the last MAC of each side
	seq             byte
}

func mustAES(t testing.TB, k []byte) cipher.Block {
	c, err := aes.NewCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// annexPeer has the session keys of annex E as printed there.
func annexPeer(t *testing.T) *peer {
	a := annexReader(t)
	a.exchange(pd.Frame{Seq: 0, CRC: true, Security: []byte{3, 0x11, 0}, Code: pd.CmdChallenge, Data: unhex(t, annexRndA)})
	a.exchange(pd.Frame{Seq: 1, CRC: true, Security: []byte{3, 0x13, 0}, Code: pd.CmdCryptogram, Data: unhex(t, annexServer)})
	return &peer{acu: a, seq: 1, enc: mustAES(t, unhex(t, annexEnc)), mac1: mustAES(t, unhex(t, annexMAC1)), mac2: mustAES(t, unhex(t, annexMAC2)), reply: unhex(t, annexRMAC)}
}

func (p *peer) cbc(iv, message []byte) []byte {
	padded := append([]byte(nil), message...)
	if len(padded)%16 != 0 {
		padded = append(padded, 0x80)
		for len(padded)%16 != 0 {
			padded = append(padded, 0)
		}
	}
	mac := append([]byte(nil), iv...)
	for n := 0; n < len(padded); n += 16 {
		for i := range mac {
			mac[i] ^= padded[n+i]
		}
		if n+16 == len(padded) {
			p.mac2.Encrypt(mac, mac)
		} else {
			p.mac1.Encrypt(mac, mac)
		}
	}
	return mac
}

func inverse(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0xFF
	}
	return out
}

// write is a command of the session as bytes for the line, without the mark.
func (p *peer) write(code byte, data ...byte) []byte {
	p.seq = p.seq%3 + 1
	kind := byte(0x15)
	if len(data) > 0 {
		kind = 0x17
		data = append(append([]byte(nil), data...), 0x80)
		for len(data)%16 != 0 {
			data = append(data, 0)
		}
		cipher.NewCBCEncrypter(p.enc, inverse(p.reply)).CryptBlocks(data, data)
	}
	size := 5 + 2 + 1 + len(data) + 4 + 2 // header, security block, code, MAC, CRC
	b := append([]byte{0x53, 0, byte(size), byte(size >> 8), 0x0C | p.seq, 2, kind, code}, data...)
	p.command = p.cbc(p.reply, b)
	b = append(b, p.command[:4]...)
	crc := uint16(0x1D0F)
	for _, x := range b {
		crc ^= uint16(x) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return append(b, byte(crc), byte(crc>>8))
}

// send is one exchange of the session; the answer must be of it too.
func (p *peer) send(code byte, data ...byte) (byte, []byte) {
	p.t.Helper()
	f, err := pd.Decode(p.write(code, data...))
	if err != nil {
		p.t.Fatal(err)
	}
	b := p.pd.Handle(f, p.now)
	if len(b) < 15 || b[1] != 0x53 || b[2] != 0x80 {
		p.t.Fatalf("answered % X", b)
	}
	return p.open(b[1:])
}

func (p *peer) open(b []byte) (byte, []byte) {
	p.t.Helper()
	end := len(b) - 6 // MAC and CRC
	if b[4]&8 == 0 || b[5] != 2 || b[6] != 0x16 && b[6] != 0x18 {
		p.t.Fatalf("answered out of the session: % X", b)
	}
	mac := p.cbc(p.command, b[:end])
	if !bytes.Equal(mac[:4], b[end:end+4]) {
		p.t.Fatalf("MAC % X, want % X", b[end:end+4], mac[:4])
	}
	p.reply = mac
	data := append([]byte(nil), b[8:end]...)
	if b[6] == 0x16 {
		return b[7], data
	}
	cipher.NewCBCDecrypter(p.enc, inverse(p.command)).CryptBlocks(data, data)
	for len(data) > 0 && data[len(data)-1] == 0 {
		data = data[:len(data)-1]
	}
	if len(data) == 0 || data[len(data)-1] != 0x80 {
		p.t.Fatalf("padding % X", data)
	}
	return b[7], data[:len(data)-1]
}

func (p *peer) want(code byte, data []byte, send byte, with ...byte) {
	p.t.Helper()
	if c, d := p.send(send, with...); c != code || !bytes.Equal(d, data) {
		p.t.Fatalf("%#x was answered %#x % x, want %#x % x", send, c, d, code, data)
	}
}

// TestSecureDialogue: status, a card, keys, a command with 16 bytes of data, a
// refusal, all in one session.
func TestSecureDialogue(t *testing.T) {
	p := annexPeer(t)
	p.want(pd.ReplyLStatR, []byte{0, 1}, pd.CmdPoll)
	p.want(pd.ReplyLStatR, []byte{0, 0}, pd.CmdPoll)
	p.want(pd.ReplyAck, nil, pd.CmdPoll)
	card, err := cards.Encode("h10301", 12, 12345)
	if err != nil {
		t.Fatal(err)
	}
	p.pd.Card(card)
	p.pd.Keys("7007#")
	p.want(pd.ReplyRaw, []byte{0, 1, 26, 0, 0x06, 0x18, 0x1c, 0xc0}, pd.CmdPoll)
	p.want(pd.ReplyKeypad, []byte{0, 5, '7', '0', '0', '7', 0x0D}, pd.CmdPoll)
	p.want(pd.ReplyAck, nil, pd.CmdText, append([]byte{0, 1, 0, 1, 1, 10}, "0123456789"...)...) // exactly one block
	if l := p.pd.Look(p.now); l.Text != "0123456789" {
		t.Errorf("the display says %q", l.Text)
	}
	p.want(pd.ReplyNak, []byte{3}, 0x9F)
	p.want(pd.ReplyAck, nil, pd.CmdPoll)
}

// TestRepeatInSession: the same bytes again get the same bytes again, and the
// chain of MACs does not move.
func TestRepeatInSession(t *testing.T) {
	p := annexPeer(t)
	wire := p.write(pd.CmdPoll)
	f, err := pd.Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	first := p.pd.Handle(f, 0)
	if again := p.pd.Handle(f, 0); !bytes.Equal(first, again) || p.pd.Counts.Repeats != 1 {
		t.Fatalf("% X then % X", first, again)
	}
	if code, _ := p.open(first[1:]); code != pd.ReplyLStatR {
		t.Fatalf("%#x", code)
	}
	p.want(pd.ReplyLStatR, []byte{0, 0}, pd.CmdPoll)
	f.Code = pd.CmdID // the same number, other bytes
	wantCode(t, p.exchange(f), pd.ReplyNak, 4)
}

// TestSessionEnds: whatever breaks the channel is answered in clear by NAK 6,
// and nothing is done.
func TestSessionEnds(t *testing.T) {
	buz := []byte{0, 2, 1, 1, 1}
	cases := map[string]func(p *peer) pd.Frame{
		"wrong MAC": func(p *peer) pd.Frame {
			b, ok := pd.SpoilMAC(append([]byte{0xFF}, p.write(pd.CmdBuz, buz...)...))
			if !ok {
				p.t.Fatal("there is a MAC")
			}
			f, err := pd.Decode(b[1:])
			if err != nil {
				p.t.Fatal(err)
			}
			return f
		},
		"clear command":    func(*peer) pd.Frame { return pd.Frame{Seq: 2, CRC: true, Code: pd.CmdBuz, Data: buz} },
		"unknown security": func(*peer) pd.Frame { return pd.Frame{Seq: 2, CRC: true, Security: []byte{2, 0x19}, Code: pd.CmdPoll} },
		"reply's security": func(*peer) pd.Frame { return pd.Frame{Seq: 2, CRC: true, Security: []byte{2, 0x16}, Code: pd.CmdPoll} },
		"no MAC": func(*peer) pd.Frame {
			return pd.Frame{Seq: 2, CRC: true, Security: []byte{2, 0x15}, Code: pd.CmdPoll, Data: []byte{1, 2, 3}}
		},
		"cryptogram twice": func(p *peer) pd.Frame {
			return pd.Frame{Seq: 2, CRC: true, Security: []byte{3, 0x13, 0}, Code: pd.CmdCryptogram, Data: unhex(p.t, annexServer)}
		},
	}
	for name, bad := range cases {
		t.Run(name, func(t *testing.T) {
			p := annexPeer(t)
			wantCode(t, p.exchange(bad(p)), pd.ReplyNak, 6)
			if s := p.pd.Status(p.now); s.SecureLink || s.Look.BuzzCmds != 0 {
				t.Errorf("afterwards: %+v", s)
			}
		})
	}
	p := annexPeer(t)
	p.now = 8 * time.Second
	f, err := pd.Decode(p.write(pd.CmdPoll))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, p.exchange(f), pd.ReplyNak, 6) // 8 s of silence
}

// TestKeepActive puts the end of the silent session off.
func TestKeepActive(t *testing.T) {
	p := annexPeer(t)
	p.want(pd.ReplyAck, nil, pd.CmdKeepActive, 0x30, 0x75) // 30,000 ms
	p.now = 29 * time.Second
	p.want(pd.ReplyLStatR, []byte{0, 1}, pd.CmdPoll)
}

// TestOwnKey: a reader with its own key wants it, and says little without.
func TestOwnKey(t *testing.T) {
	a := &acu{t: t, pd: pd.New(pd.Config{Serial: 1, Baud: 9600, Security: pd.Own, Key: key})}
	if f := a.send(0, pd.CmdID, 0); f.Code != pd.ReplyPDID {
		t.Fatalf("ID: %#x", f.Code)
	}
	if f := a.send(1, pd.CmdCap, 0); f.Code != pd.ReplyPDCap || !bytes.Contains(f.Data, []byte{9, 1, 0}) {
		t.Fatalf("CAP: %#x % x", f.Code, f.Data)
	}
	wantCode(t, a.send(2, pd.CmdPoll), pd.ReplyNak, 6)
	wantCode(t, a.send(3, pd.CmdKeySet, append([]byte{1, 16}, make([]byte, 16)...)...), pd.ReplyNak, 6)
	challenge := func(seq, which byte) pd.Frame {
		return a.exchange(pd.Frame{Seq: seq, CRC: true, Security: []byte{3, 0x11, which}, Code: pd.CmdChallenge, Data: unhex(t, annexRndA)})
	}
	wantCode(t, challenge(1, 0), pd.ReplyNak, 6) // SCBK-D
	if f := challenge(2, 1); f.Code != pd.ReplyCCrypt || !bytes.Equal(f.Security, []byte{3, 0x12, 1}) {
		t.Fatalf("%+v", f)
	}
	f := a.exchange(pd.Frame{Seq: 3, CRC: true, Security: []byte{3, 0x13, 1}, Code: pd.CmdCryptogram, Data: make([]byte, 16)})
	wantCode(t, f, pd.ReplyNak, 6)
	if c := a.pd.Counts; c.BadProofs != 1 || c.Handshakes != 0 || a.pd.Status(0).SecureLink {
		t.Errorf("%+v", c)
	}
	careless := &acu{t: t, pd: pd.New(pd.Config{Baud: 9600, Security: pd.Own, Key: key, AllowClear: true})}
	wantCode(t, careless.send(0, pd.CmdPoll), pd.ReplyLStatR, 0, 1)
}

// TestKeySet: the key is taken in the session only, ends the life of SCBK-D and
// outlives power.
func TestKeySet(t *testing.T) {
	keyset := append([]byte{1, 16}, key[:]...)
	clear := annexReader(t)
	wantCode(t, clear.send(0, pd.CmdKeySet, keyset...), pd.ReplyNak, 6)

	p := annexPeer(t)
	p.want(pd.ReplyNak, []byte{9}, pd.CmdKeySet, append([]byte{2, 16}, key[:]...)...)
	p.want(pd.ReplyAck, nil, pd.CmdKeySet, keyset...)
	p.want(pd.ReplyLStatR, []byte{0, 1}, pd.CmdPoll) // this session goes on
	p.pd.PowerCycle()
	if k := p.pd.Kept(); k.Security != pd.Own || k.Key != key {
		t.Fatal("the key did not outlive a power cut")
	}
	again := pd.New(pd.Config{Baud: 9600, Security: pd.Install})
	again.Restore(p.pd.Kept())
	a := &acu{t: t, pd: again}
	wantCode(t, a.exchange(pd.Frame{Seq: 0, CRC: true, Security: []byte{3, 0x11, 0}, Code: pd.CmdChallenge, Data: unhex(t, annexRndA)}), pd.ReplyNak, 6)
	again.Wipe()
	if k := again.Kept(); k.Security != pd.Install || k.Key != (pd.Key{}) || !again.Boxed() {
		t.Error("the wiped reader remembers")
	}
}

// TestStranger: a reader that was swapped proves another key.
func TestStranger(t *testing.T) {
	a := &acu{t: t, pd: pd.New(pd.Config{Serial: 1, Baud: 9600, Security: pd.Own, Key: key})}
	challenge := func() []byte {
		f := a.exchange(pd.Frame{Seq: 0, CRC: true, Security: []byte{3, 0x11, 1}, Code: pd.CmdChallenge, Data: unhex(t, annexRndA)})
		if len(f.Data) != 32 {
			t.Fatalf("%+v", f)
		}
		return f.Data
	}
	proves := func(d []byte) bool { // by the text of the specification
		seed := make([]byte, 16)
		copy(seed, append([]byte{1, 0x82}, unhex(t, annexRndA)[:6]...))
		mustAES(t, key[:]).Encrypt(seed, seed)
		proof := append(unhex(t, annexRndA), d[8:16]...)
		mustAES(t, seed).Encrypt(proof, proof)
		return bytes.Equal(proof, d[16:])
	}
	if !proves(challenge()) {
		t.Fatal("the reader does not prove its own key")
	}
	a.pd.Stranger(1)
	if proves(challenge()) {
		t.Error("the stranger knows the key")
	}
	if !proves(challenge()) {
		t.Error("the reader did not come back")
	}
}

func TestKeysRedactThemselves(t *testing.T) {
	for _, verb := range []string{"%v", "%s", "%x", "%+v", "%#v", "%d"} {
		if s := fmt.Sprintf(verb, key); strings.Contains(strings.ToLower(s), "c0c1") || s != "[key]" {
			t.Errorf("%s shows %s", verb, s)
		}
	}
	if _, err := pd.ParseKey("c0c1c2c3"); err == nil || strings.Contains(err.Error(), "c0c1") {
		t.Errorf("%v", err)
	}
	if k, err := pd.ParseKey(key.Hex()); err != nil || k != key {
		t.Errorf("%v %v", k, err)
	}
}
