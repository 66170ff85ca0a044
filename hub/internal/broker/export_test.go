package broker

import (
	"bytes"
	"net"
	"time"
)

// ServePlain serves one connection as if TLS had proven id.
func (srv *Server) ServePlain(conn net.Conn, id Identity) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(srv.limits.Handshake))
	s, ok := srv.connect(conn, "pipe", id, nil)
	if !ok {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	s.expires = time.Now().Add(time.Hour)
	s.idle = time.Minute
	s.run()
}

// ReadFrames decodes b until it ends or is refused, and tells how many bytes
// the reader's buffer grew to.
func ReadFrames(b []byte, limit int) (packets, grew int, err error) {
	f := newFrameReader(bytes.NewReader(b))
	for {
		if _, err = f.next(limit); err != nil {
			return packets, cap(f.buf), err
		}
		packets++
	}
}

// Errors of the guard.
var (
	ErrMalformed = errMalformed
	ErrOversized = errOversized
	ErrForbidden = errForbidden
)

// CloseListener gives the port back: connections then come by ServePlain only.
func (srv *Server) CloseListener() { srv.listener.Close() }
