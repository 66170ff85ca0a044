package broker

import (
	"sync"

	"sekimori/internal/record"
)

// message waits in a lane for the hub to read it.
type message struct {
	topic   string
	payload []byte
}

// lane holds the messages of one device and one channel, in order. It belongs to
// the device and not to a connection: what was taken from a device that then
// reconnects is still delivered first.
type lane struct {
	queue  []message
	bytes  int
	queued bool          // in the ring of its channel
	space  chan struct{} // closed when a message leaves; nil while nobody waits
}

// peer is one identity.
type peer struct {
	lanes   []lane   // by index in record.FromDevice
	session *session // nil while not connected
}

// router joins devices and hub. The hub's writer takes one message of one
// device at a time, in turn, so that a device with a backlog delays another by
// no more than one message.
type router struct {
	limits Limits
	wake   chan struct{} // one slot: something for the hub to read

	mu      sync.Mutex
	devices map[string]*peer
	hub     *session
	rings   [][]*lane     // per channel, lanes with messages, next first
	turn    int           // channel to serve next: small questions do not wait behind a backlog
	backlog int           // bytes in all lanes
	starved chan struct{} // closed when backlog has shrunk; nil while nobody waits
}

func newRouter(l Limits) *router {
	return &router{limits: l, wake: make(chan struct{}, 1), devices: map[string]*peer{}, rings: make([][]*lane, len(record.FromDevice))}
}

// attach makes s the session of its identity and returns the one it replaces,
// which the caller ends before s goes on [MQTT-3.1.4-2].
func (r *router) attach(s *session) (old *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.id.Role == RoleHub {
		old, r.hub = r.hub, s
		return old
	}
	p := r.devices[s.id.Name]
	if p == nil {
		p = &peer{lanes: make([]lane, len(record.FromDevice))}
		r.devices[s.id.Name] = p
	}
	old, p.session = p.session, s
	return old
}

// detach forgets s unless another session has taken its place.
func (r *router) detach(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.id.Role == RoleHub {
		if r.hub == s {
			r.hub = nil
		}
		return
	}
	if p := r.devices[s.id.Name]; p != nil && p.session == s {
		p.session = nil
		r.forgetLocked(s.id.Name, p)
	}
}

// forgetLocked drops a peer that holds nothing.
func (r *router) forgetLocked(name string, p *peer) {
	for i := range p.lanes {
		if len(p.lanes[i].queue) > 0 {
			return
		}
	}
	if p.session == nil {
		delete(r.devices, name)
	}
}

// sessions are all connected clients.
func (r *router) sessions() []*session {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*session
	if r.hub != nil {
		out = append(out, r.hub)
	}
	for _, p := range r.devices {
		if p.session != nil {
			out = append(out, p.session)
		}
	}
	return out
}

// subscribe switches one of s's subscriptions.
func (r *router) subscribe(s *session, index int, on bool) {
	r.mu.Lock()
	s.subscribed[index] = on
	r.mu.Unlock()
	if s.id.Role == RoleHub {
		poke(r.wake)
	}
}

// toHub puts a device's message in its lane and waits while there is no room:
// the device's connection is then not read, and TCP slows the device down.
// It reports false when s ended first.
func (r *router) toHub(s *session, index int, m message) bool {
	for {
		wait := r.offer(s, index, m)
		if wait == nil {
			poke(r.wake)
			return true
		}
		select {
		case <-wait.space:
		case <-wait.starved:
		case <-s.ended:
			return false
		}
	}
}

type waits struct{ space, starved <-chan struct{} }

// offer queues m, or returns what to wait for before trying again.
func (r *router) offer(s *session, index int, m message) *waits {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.devices[s.id.Name]
	if p == nil || p.session != s { // replaced: s.ended is closed or about to be
		return &waits{}
	}
	l := &p.lanes[index]
	// An empty lane always has room, so that no device depends on the others'
	// backlog being worked off.
	if len(l.queue) > 0 {
		if len(l.queue) >= r.limits.LaneMessages || l.bytes+len(m.payload) > r.limits.LaneBytes {
			return &waits{space: lazyChan(&l.space)}
		}
		if r.backlog+len(m.payload) > r.limits.Backlog {
			return &waits{space: lazyChan(&l.space), starved: lazyChan(&r.starved)}
		}
	}
	l.queue = append(l.queue, m)
	l.bytes += len(m.payload)
	r.backlog += len(m.payload)
	if !l.queued {
		l.queued = true
		r.rings[index] = append(r.rings[index], l)
	}
	return nil
}

func lazyChan(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

func release(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

// nextForHub takes the next message for the hub session s.
func (r *router) nextForHub(s *session) (message, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hub != s {
		return message{}, false
	}
	for range r.rings {
		index := r.turn
		r.turn = (r.turn + 1) % len(r.rings)
		if s.subscribed[index] && len(r.rings[index]) > 0 {
			return r.takeLocked(index), true
		}
	}
	return message{}, false
}

func (r *router) takeLocked(index int) message {
	l := r.rings[index][0]
	r.rings[index][0] = nil
	r.rings[index] = r.rings[index][1:]
	m := l.queue[0]
	l.queue[0] = message{}
	l.queue = l.queue[1:]
	l.bytes -= len(m.payload)
	r.backlog -= len(m.payload)
	if len(l.queue) > 0 {
		r.rings[index] = append(r.rings[index], l)
	} else {
		l.queue, l.queued = nil, false
		r.forgetGoneLocked(m.topic)
	}
	release(&l.space)
	if r.backlog < r.limits.Backlog/4*3 {
		release(&r.starved)
	}
	return m
}

// forgetGoneLocked drops the peer of topic if it left and its last message has
// been taken.
func (r *router) forgetGoneLocked(topic string) {
	name := deviceOf(topic)
	if p := r.devices[name]; p != nil && p.session == nil {
		r.forgetLocked(name, p)
	}
}

// toDevice is where a message of the hub goes: the session of a connected
// device that subscribed to it, or nil. Nothing is kept for the absent [T-52].
func (r *router) toDevice(device string, index int) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.devices[device]
	if p == nil || p.session == nil || !p.session.subscribed[index] {
		return nil
	}
	return p.session
}
