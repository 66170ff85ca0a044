package broker

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"sekimori/internal/record"
)

// protocolLevel is MQTT 3.1.1.
const protocolLevel = 4

// connectAnswer judges a CONNECT. A nil refusal means accepted; code is the
// CONNACK that goes with a refusal, and 0 means to answer nothing
// [MQTT-3.1.0-1, MQTT-3.1.2-2].
func connectAnswer(id Identity, p *packets.ConnectPacket, decoding error) (code byte, why *refusal) {
	switch {
	// The version comes first: the tail of an MQTT 5 CONNECT does not decode.
	case p.ProtocolName == "MQTT" && p.ProtocolVersion != protocolLevel,
		p.ProtocolName == "MQIsdp":
		return packets.ErrRefusedBadProtocolVersion, refuse(KindProtocolVersion, "protocol %q level %d, only MQTT 3.1.1 is spoken", p.ProtocolName, p.ProtocolVersion)
	case decoding != nil:
		return 0, &refusal{kind: KindMalformedPacket, err: decoding}
	case p.ProtocolName != "MQTT":
		return 0, refuse(KindMalformedPacket, "protocol name %.16q", p.ProtocolName)
	case p.ReservedBit != 0, !p.WillFlag && (p.WillQos != 0 || p.WillRetain):
		return 0, refuse(KindMalformedPacket, "CONNECT with reserved flags")
	case p.ClientIdentifier != id.Name:
		return packets.ErrRefusedIDRejected, refuse(KindClientID, "client id %.64q", p.ClientIdentifier)
	case p.WillFlag:
		// A last will may never count as a sign of life or death [T-50], so
		// there is nothing it could be good for.
		return packets.ErrRefusedNotAuthorised, refuse(KindForbiddenFeature, "CONNECT with a will")
	case !p.CleanSession:
		return packets.ErrRefusedNotAuthorised, refuse(KindForbiddenFeature, "CONNECT that asks for a stored session")
	case p.UsernameFlag, p.PasswordFlag:
		return packets.ErrRefusedBadUsernameOrPassword, refuse(KindForbiddenFeature, "CONNECT with a user name or password")
	}
	return packets.Accepted, nil
}

// connect reads and answers the first packet of a client whose identity is
// proven; barred is why this identity may not come in all the same. The caller
// has set the deadline.
func (srv *Server) connect(conn net.Conn, remote string, id Identity, barred *refusal) (*session, bool) {
	frames := newFrameReader(conn)
	cp, err := frames.next(srv.limits.MaxConnect)
	p, isConnect := cp.(*packets.ConnectPacket)
	if !isConnect {
		why := firstPacket(err)
		if barred != nil {
			why = barred
		}
		srv.refuseConnect(remote, id, why)
		return nil, false
	}
	code, why := connectAnswer(id, p, err)
	if why == nil && barred != nil {
		code, why = packets.ErrRefusedNotAuthorised, barred
	}
	if why != nil {
		if code != 0 {
			// Whether the stranger hears the answer is its own affair.
			_, _ = conn.Write(encode(connack(code)))
		}
		srv.refuseConnect(remote, id, why)
		return nil, false
	}
	// A keepalive counts one and a half times [MQTT-3.1.2-24]; none, or a very
	// long one, is cut to what the hub needs to notice a dead connection.
	idle := time.Duration(p.Keepalive) * time.Second * 3 / 2
	if idle == 0 || idle > srv.limits.MaxIdle {
		idle = srv.limits.MaxIdle
	}
	return &session{
		srv: srv, conn: conn, frames: frames, remote: remote, id: id, idle: idle,
		out:        newOutbox(srv.limits.OutMessages, srv.limits.OutBytes),
		controls:   newBucket(srv.limits.ControlBurst, float64(srv.limits.ControlRate)),
		subscribed: make([]bool, max(len(record.ToDevice), len(record.FromDevice))),
		ended:      make(chan struct{}), done: make(chan struct{}),
	}, true
}

// firstPacket explains a first packet that is no CONNECT; nil for a client that
// only went away.
func firstPacket(err error) *refusal {
	switch {
	case err == nil:
		return refuse(KindMalformedPacket, "first packet is not CONNECT")
	case errors.Is(err, errOversized):
		return &refusal{kind: KindOversizedPacket, err: err}
	case errors.Is(err, errForbidden):
		return &refusal{kind: KindMalformedPacket, err: err}
	case errors.Is(err, errMalformed):
		return &refusal{kind: KindMalformedPacket, err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(KindSlowConnect, "no CONNECT in time")
	}
	return nil
}

func (srv *Server) refuseConnect(remote string, id Identity, why *refusal) {
	if why == nil {
		return
	}
	srv.findings.report(why.kind, remote, id.Name, "%v", why.err)
	srv.gate.blame(id.key(), time.Now())
}
