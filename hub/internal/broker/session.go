package broker

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sekimori/internal/clock"
)

// session is one accepted connection. Its reader is the goroutine that serves
// the connection; the writer is a second one that the reader waits for.
//
//	accepted CONNECT ─▶ attach (ends an older session of the identity) ─▶ CONNACK
//	  ─▶ reader ⇄ writer ─▶ ended (by peer, violation, takeover, revocation) ─▶ detach
type session struct {
	srv      *Server
	conn     net.Conn
	frames   *frameReader
	remote   string // address without port
	id       Identity
	serial   string    // of the certificate, hexadecimal
	expires  time.Time // end of the certificate
	idle     time.Duration
	out      *outbox
	controls bucket

	ended   chan struct{} // closed by end: both goroutines leave
	done    chan struct{} // closed when nothing of the session is left
	endOnce sync.Once

	subscribed []bool // guarded by router.mu; by index in record.ToDevice, the hub's in record.FromDevice
}

// end closes the connection without ceremony; a peer that does not read must
// not be able to delay it.
func (s *session) end() {
	s.endOnce.Do(func() {
		close(s.ended)
		abort(s.conn)
	})
}

// violate reports why the session ends and counts it against the identity.
func (s *session) violate(kind Kind, format string, args ...any) {
	s.srv.findings.report(kind, s.remote, s.id.Name, format, args...)
	s.srv.gate.blame(s.id.key(), time.Now())
}

// run serves the session until it ends.
func (s *session) run() {
	defer close(s.done)
	if old := s.srv.router.attach(s); old != nil {
		s.srv.findings.report(KindTakeover, s.remote, s.id.Name, "new connection from %s replaces one from %s", s.conn.RemoteAddr(), old.conn.RemoteAddr())
		old.end()
		<-old.done
	}
	defer s.srv.router.detach(s)
	defer s.end()
	// Update looks at attached sessions only: what changed before is seen here.
	s.srv.evict(s, s.srv.access.Load())
	s.out.push(encode(connack(packets.Accepted)))

	var writer sync.WaitGroup
	writer.Go(func() {
		defer s.end()
		defer s.contain()
		s.write()
	})
	s.read()
	s.end()
	writer.Wait()
}

// contain turns a panic into a finding and the end of this connection only.
func (s *session) contain() {
	if p := recover(); p != nil {
		s.srv.panicked(s.remote, s.id.Name, p)
	}
}

func (srv *Server) panicked(remote, identity string, p any) {
	srv.findings.report(KindPanic, remote, identity, "%v", p)
	srv.log.Error("broker: connection ended by a panic", "remote", remote, "identity", identity, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

func (s *session) read() {
	defer s.contain()
	for {
		cp, err := s.receive()
		if err == nil {
			err = s.handle(cp)
		}
		if err != nil {
			s.explain(err)
			return
		}
	}
}

// receive waits for a packet as long as the keepalive allows, and for its rest
// as long as one packet may take (a slow-loris sends a byte a minute).
func (s *session) receive() (packets.ControlPacket, error) {
	if !s.frames.buffered() {
		// An error here shows again in the read.
		_ = s.conn.SetReadDeadline(time.Now().Add(s.idle))
		if err := s.frames.await(); err != nil {
			return nil, err
		}
		_ = s.conn.SetReadDeadline(time.Now().Add(s.srv.limits.Packet))
	}
	return s.frames.next(s.srv.limits.MaxPacket)
}

// errLeft is a client's own orderly or disorderly end.
var errLeft = errors.New("client left")

// explain turns the reason a session ended into a finding, if it is one.
func (s *session) explain(err error) {
	var r *refusal
	switch {
	case errors.As(err, &r):
		s.violate(r.kind, "%v", r.err)
	case errors.Is(err, errOversized):
		s.violate(KindOversizedPacket, "%v", err)
	case errors.Is(err, errForbidden):
		s.violate(KindForbiddenFeature, "%v", err)
	case errors.Is(err, errMalformed):
		s.violate(KindMalformedPacket, "%v", err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errLeft):
		// A cut cable looks like this: the hub sees the device go silent.
	}
}

func (s *session) handle(cp packets.ControlPacket) error {
	if _, ok := cp.(*packets.PublishPacket); !ok && !s.controls.take(time.Now()) {
		return refuse(KindFlood, "more than %d control packets a second", s.srv.limits.ControlRate)
	}
	switch p := cp.(type) {
	case *packets.PublishPacket:
		return s.publish(p)
	case *packets.SubscribePacket:
		return s.subscribe(p)
	case *packets.UnsubscribePacket:
		return s.unsubscribe(p)
	case *packets.PingreqPacket:
		if clock.Now().After(s.expires) {
			return refuse(KindExpiredCertificate, "certificate ended at %s while connected", s.expires.UTC().Format(time.RFC3339))
		}
		return s.send(packets.NewControlPacket(packets.Pingresp))
	case *packets.PubackPacket:
		return malformed("PUBACK for a message of QoS 0")
	case *packets.DisconnectPacket:
		return errLeft
	default: // a second CONNECT [MQTT-3.1.0-2]
		return malformed("%T within a session", cp)
	}
}

func (s *session) publish(p *packets.PublishPacket) error {
	device, index, ok := publishRight(s.id, p.TopicName)
	if !ok {
		return refuse(KindWrongTopic, "publish to %.100q", p.TopicName)
	}
	if s.id.Role == RoleHub {
		s.deliver(device, index, p)
	} else if !s.srv.router.toHub(s, index, message{topic: p.TopicName, payload: p.Payload}) {
		return errLeft
	}
	if p.Qos == 0 {
		return nil
	}
	ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
	ack.MessageID = p.MessageID
	return s.send(ack)
}

// deliver hands a message of the hub to a device that listens. A device that
// does not keep up is disconnected and asks again later (go-back-N); it never
// slows the hub or another device down.
func (s *session) deliver(device string, index int, p *packets.PublishPacket) {
	to := s.srv.router.toDevice(device, index)
	if to == nil {
		return
	}
	if err := to.sendEncoded(encodePublish(p.TopicName, p.Payload)); err != nil {
		to.explain(err)
		to.end()
	}
}

func (s *session) subscribe(p *packets.SubscribePacket) error {
	ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
	ack.MessageID = p.MessageID
	// The whole packet is judged before any of it takes effect.
	var indexes []int
	for i, filter := range p.Topics {
		if p.Qoss[i] > 2 {
			return malformed("SUBSCRIBE with QoS %d", p.Qoss[i]) // [MQTT-3.8.3-4]
		}
		index, ok := subscribeRight(s.id, filter)
		if !ok {
			return refuse(KindWrongTopic, "subscribe to %.100q", filter)
		}
		indexes = append(indexes, index)
		ack.ReturnCodes = append(ack.ReturnCodes, 0) // QoS 0 is granted, whatever was asked
	}
	// SUBACK goes into the queue first, so that it precedes what it allows.
	if err := s.send(ack); err != nil {
		return err
	}
	for _, index := range indexes {
		s.srv.router.subscribe(s, index, true)
	}
	return nil
}

func (s *session) unsubscribe(p *packets.UnsubscribePacket) error {
	for _, filter := range p.Topics {
		index, ok := subscribeRight(s.id, filter)
		if !ok {
			return refuse(KindWrongTopic, "unsubscribe from %.100q", filter)
		}
		s.srv.router.subscribe(s, index, false)
	}
	ack := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
	ack.MessageID = p.MessageID
	return s.send(ack)
}

func (s *session) send(p packets.ControlPacket) error { return s.sendEncoded(encode(p)) }

func (s *session) sendEncoded(b []byte) error {
	if !s.out.push(b) {
		return refuse(KindSlowConsumer, "%d packets or %d bytes wait unread", s.out.maxMessages, s.out.maxBytes)
	}
	return nil
}

// write sends what waits until the session ends.
func (s *session) write() {
	w := bufio.NewWriterSize(&deadlineWriter{s: s}, 4<<10)
	var fromDevices chan struct{}
	if s.id.Role == RoleHub {
		fromDevices = s.srv.router.wake
	}
	for {
		more, err := s.writeOne(w)
		if err == nil && !more {
			if err = w.Flush(); err == nil {
				select {
				case <-s.out.wake:
				case <-fromDevices:
				case <-s.ended:
					return
				}
			}
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.violate(KindSlowConsumer, "read nothing for %s", s.srv.limits.Write)
			}
			return
		}
	}
}

func (s *session) writeOne(w *bufio.Writer) (more bool, err error) {
	p, ok := s.out.pop()
	if !ok && s.id.Role == RoleHub {
		var m message
		if m, ok = s.srv.router.nextForHub(s); ok {
			p = encodePublish(m.topic, m.payload)
		}
	}
	if !ok {
		return false, nil
	}
	_, err = w.Write(p)
	return true, err
}

// deadlineWriter gives each write to a device a deadline. The hub has none: it
// may stand still while it commits, and devices then wait (back pressure); a
// hub that is gone is noticed by its missing pings.
type deadlineWriter struct{ s *session }

func (d *deadlineWriter) Write(b []byte) (int, error) {
	if d.s.id.Role == RoleDevice {
		// An error here shows again in the write.
		_ = d.s.conn.SetWriteDeadline(time.Now().Add(d.s.srv.limits.Write))
	}
	return d.s.conn.Write(b)
}

func connack(code byte) packets.ControlPacket {
	p := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
	p.ReturnCode = code
	return p
}
