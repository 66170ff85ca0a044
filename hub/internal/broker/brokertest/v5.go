package brokertest

// ConnectV5 is an MQTT 5 CONNECT with a session expiry property, as a current
// client library sends it first (MQTT 5.0, 3.1).
func ConnectV5(id string) []byte {
	b := []byte{
		0x10, 0, // CONNECT, length below
		0, 4, 'M', 'Q', 'T', 'T', 5,
		0x02,  // clean start
		0, 30, // keepalive
		5, 0x11, 0, 0, 0, 60, // properties: session expiry 60 s
		0, byte(len(id)),
	}
	b = append(b, id...)
	b[1] = byte(len(b) - 2)
	return b
}

// SubscribeV5 is the MQTT 5 SUBSCRIBE whose options byte is missing: nine bytes
// that end a broker known to us (mochi-mqtt/server issue 501).
func SubscribeV5() []byte {
	return []byte{0x82, 0x07, 0x00, 0x01, 0x00, 0x00, 0x02, 'a', '/'}
}
