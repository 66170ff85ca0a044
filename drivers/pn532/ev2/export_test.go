package ev2

import "encoding/hex"

// Same tells whether two keys are the same bytes.
func Same(a, b Key) bool { return a.secret() == b.secret() }

// SameSession tells whether two sessions hold the same.
func SameSession(a, b Session) bool {
	return Same(a.enc, b.enc) && Same(a.mac, b.mac) && a.ti == b.ti && a.counter == b.counter
}

// MustSession is a session as the application notes print one.
func MustSession(enc, mac, ti string) Session {
	e, err1 := ParseKey(enc)
	m, err2 := ParseKey(mac)
	b, err3 := hex.DecodeString(ti)
	if err1 != nil || err2 != nil || err3 != nil {
		panic("a vector is mistyped")
	}
	return Session{enc: e, mac: m, ti: [4]byte(b)}
}
