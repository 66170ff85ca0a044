package nfc

// UnderSession gives a card's answer to a command under a session that was
// agreed before.
func UnderSession(uid []byte, enc, mac Key, ti [4]byte, command []byte) []byte {
	a := applet{chip: Chip{UID: uid}, open: true, enc: enc, mac: mac, ti: ti}
	return a.exchange(command)
}
