package brokertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// StormConfig says what to throw at a broker. The same seed throws the same
// packets, though not with the same timing.
type StormConfig struct {
	Addr    string
	Logins  []Login // used in turn; a device that is logged in twice ends its own first connection
	Seed    uint64
	Packets int // to send in all
	Conns   int // at the same time
	Slow    int // further connections that begin a packet and then only hold on
}

// Login is how one connection of a storm presents itself.
type Login struct {
	ID  string      // device
	TLS *tls.Config // nil is plain TCP
}

// StormReport is what was thrown.
type StormReport struct {
	Packets int // written; a broker that hangs up at the first bad one reads fewer
	Conns   int // connections that got as far as TCP
	Refused int // connections that failed before the first packet
}

// burst is how many packets one connection sends on average before it ends.
const burst = 40

// Storm sends mutated packets of MQTT 3.1.1 and 5 until cfg.Packets are out or
// ctx ends: bits flipped, cut short, joined, repeated, with lengths that lie.
func Storm(ctx context.Context, cfg StormConfig) StormReport {
	var sent, conns, refused atomic.Int64
	var workers, slow sync.WaitGroup
	slowCtx, stopSlow := context.WithCancel(ctx)
	for i := range cfg.Slow {
		slow.Go(func() { holdOn(slowCtx, cfg, i) })
	}
	for w := range cfg.Conns {
		workers.Go(func() {
			rng := rand.New(rand.NewPCG(cfg.Seed, uint64(w)))
			// Each worker has logins of its own, as far as there are enough.
			for i := w; ctx.Err() == nil && sent.Load() < int64(cfg.Packets); i += cfg.Conns {
				who := cfg.Logins[i%len(cfg.Logins)]
				conn, err := login(ctx, cfg.Addr, who.TLS)
				if conn == nil {
					refused.Add(1)
					continue
				}
				conns.Add(1)
				if err != nil {
					refused.Add(1)
				} else {
					sent.Add(int64(rage(conn, who.ID, rng, Seeds(who.ID))))
				}
				conn.Close()
			}
		})
	}
	workers.Wait()
	stopSlow()
	slow.Wait()
	return StormReport{Packets: int(sent.Load()), Conns: int(conns.Load()), Refused: int(refused.Load())}
}

// login opens a connection; the first result is nil if not even TCP came about.
func login(ctx context.Context, addr string, cfg *tls.Config) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	// Without this a long storm runs out of ports in TIME_WAIT.
	_ = raw.(*net.TCPConn).SetLinger(0)
	if cfg == nil {
		return raw, nil
	}
	conn := tls.Client(raw, cfg)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn, conn.HandshakeContext(ctx)
}

// rage sends one burst and waits shortly for the broker to have read it.
func rage(conn net.Conn, id string, rng *rand.Rand, seeds [][]byte) (sent int) {
	var out bytes.Buffer
	if rng.IntN(10) > 0 { // now and then without CONNECT
		_ = ConnectPacket(id).Write(&out)
		sent++
	}
	for n := 1 + rng.IntN(2*burst); n > 0; n-- {
		out.Write(mutate(rng, seeds))
		sent++
	}
	out.Write([]byte{0xe0, 0x00}) // DISCONNECT: a broker that is still there hangs up
	deadline := time.Now().Add(time.Second)
	_ = conn.SetWriteDeadline(deadline)
	_, _ = conn.Write(out.Bytes()) // fails when the broker has had enough
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = io.Copy(io.Discard, conn)
	return sent
}

// mutate makes the next packet; most of them begin well, so that a connection
// lives long enough for the rest.
func mutate(rng *rand.Rand, seeds [][]byte) []byte {
	p := bytes.Clone(seeds[rng.IntN(harmless(seeds))])
	switch rng.IntN(40) {
	default: // as it is, or with another payload
		if p[0]&0xf0 == 0x30 && len(p) > 4 {
			p[len(p)-1] = byte(rng.Uint32())
		}
		return p
	case 0: // bits
		for range 1 + rng.IntN(4) {
			p[rng.IntN(len(p))] ^= 1 << rng.IntN(8)
		}
	case 1: // the end
		p = p[:rng.IntN(len(p))]
	case 2: // a length that claims up to 256 MiB
		p = append([]byte{p[0], byte(rng.Uint32()) | 0x80, byte(rng.Uint32()) | 0x80, byte(rng.Uint32()) | 0x80, byte(rng.Uint32() & 0x7f)}, p...)
	case 3: // two in one
		q := seeds[rng.IntN(len(seeds))]
		p = append(p[:rng.IntN(len(p))], q[rng.IntN(len(q)):]...)
	case 4: // noise
		p = make([]byte, 1+rng.IntN(64))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
	case 5: // another type or other flags
		p[0] = byte(rng.Uint32())
	case 6: // one of the hostile seeds as it is
		p = seeds[rng.IntN(len(seeds))]
	}
	return p
}

// holdOn opens one connection after another, begins a packet, and waits.
func holdOn(ctx context.Context, cfg StormConfig, i int) {
	for ctx.Err() == nil {
		conn, err := login(ctx, cfg.Addr, cfg.Logins[i%len(cfg.Logins)].TLS)
		if conn == nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		if err == nil {
			_, _ = conn.Write([]byte{0x10, 0x7f, 0x00})
			_, _ = io.Copy(io.Discard, conn) // until the broker has had enough
		}
		stop()
		conn.Close()
	}
}

// Seeds are packets to mutate: first those a device may send in a session, then
// those that no device of ours sends.
func Seeds(id string) [][]byte {
	topic := "sekimori/1/" + id + "/"
	return append(allowed(topic), hostileSeeds(id, topic)...)
}

// harmless is how many of the seeds are allowed ones.
func harmless(seeds [][]byte) int { return min(len(seeds), allowedSeeds) }

const allowedSeeds = 6

func allowed(topic string) [][]byte {
	qos1 := published(topic+"up", 256)
	qos1.Qos, qos1.MessageID = 1, 9
	return [][]byte{
		raw(published(topic+"up", 16)),
		raw(published(topic+"ask", 0)),
		raw(published(topic+"up", 3_000)),
		raw(qos1),
		raw(subscribed(topic+"receipt", topic+"policy", topic+"order", topic+"answer")),
		raw(packets.NewControlPacket(packets.Pingreq)),
	}
}

func hostileSeeds(id, topic string) [][]byte {
	unsubscribe := packets.NewControlPacket(packets.Unsubscribe).(*packets.UnsubscribePacket)
	unsubscribe.MessageID, unsubscribe.Topics = 3, []string{topic + "order"}
	retained := published(topic+"up", 4)
	retained.Retain = true
	will := ConnectPacket(id)
	will.WillFlag, will.WillTopic, will.WillMessage = true, topic+"up", []byte("on")
	return [][]byte{
		raw(unsubscribe), raw(retained), raw(will), raw(ConnectPacket(id)), ConnectV5(id), SubscribeV5(),
		raw(published("sekimori/1/+/up", 8)), raw(published("", 8)), raw(subscribed("#")), raw(subscribed("$SYS/#", "+/+")),
		raw(packets.NewControlPacket(packets.Pubrec)), raw(packets.NewControlPacket(packets.Pubrel)),
		raw(packets.NewControlPacket(packets.Connack)), raw(packets.NewControlPacket(packets.Suback)),
		{0xf0, 0x02, 0x00, 0x00},                         // AUTH, MQTT 5
		{0xe0, 0x02, 0x04, 0x00},                         // DISCONNECT with a reason, MQTT 5
		{0x32, 0x08, 0x00, 0x01, 't', 0, 1, 3, 0x23, 10}, // PUBLISH with a topic alias, MQTT 5
		{0x30, 0xff, 0xff, 0xff, 0x7f},                   // 256 MiB to come
		{0x82, 0x02, 0x00, 0x01}, {0x30, 0x00}, {0x00, 0x00},
	}
}

func published(topic string, size int) *packets.PublishPacket {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = topic, bytes.Repeat([]byte{'x'}, size)
	return p
}

func subscribed(filters ...string) *packets.SubscribePacket {
	p := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	p.MessageID, p.Topics, p.Qoss = 2, filters, make([]byte, len(filters))
	return p
}

func raw(p packets.ControlPacket) []byte {
	var b bytes.Buffer
	_ = p.Write(&b) // memory takes everything
	return b.Bytes()
}
