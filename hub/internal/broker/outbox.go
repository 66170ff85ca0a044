package broker

import "sync"

// outbox holds encoded packets that wait for one client to read them. It never
// blocks its producers: a full outbox is the client's fault, and the caller
// disconnects it.
type outbox struct {
	maxMessages, maxBytes int
	wake                  chan struct{} // one slot: something to write

	mu    sync.Mutex
	queue [][]byte
	bytes int
}

func newOutbox(maxMessages, maxBytes int) *outbox {
	return &outbox{maxMessages: maxMessages, maxBytes: maxBytes, wake: make(chan struct{}, 1)}
}

// push takes p, or reports that the client does not keep up.
func (o *outbox) push(p []byte) bool {
	o.mu.Lock()
	ok := len(o.queue) < o.maxMessages && (len(o.queue) == 0 || o.bytes+len(p) <= o.maxBytes)
	if ok {
		o.queue = append(o.queue, p)
		o.bytes += len(p)
	}
	o.mu.Unlock()
	if ok {
		poke(o.wake)
	}
	return ok
}

func (o *outbox) pop() ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil, false
	}
	p := o.queue[0]
	o.queue[0] = nil
	o.queue = o.queue[1:]
	o.bytes -= len(p)
	return p, true
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
