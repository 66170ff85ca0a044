package osdp

// Data is the data of a command or a reply, for tests of the codec.
func Data(v interface{ appendData([]byte) []byte }) []byte { return v.appendData(nil) }
