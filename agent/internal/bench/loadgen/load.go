package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/agent/internal/uplink"
	"sekimori/internal/bench/measure"
	"sekimori/internal/record"
)

// Drain is a backlog on its way to the hub.
type Drain struct {
	Events     int
	Took       time.Duration // from the first connection's leave to send to the last receipt
	PerSecond  float64
	LoadgenCPU float64 // cores that this process took
	Filled     float64 // events a second that a journal took before, each durable; of one device
}

// Steady is a rate that was held. Latency runs from handing the event to the
// device's journal to the hub's receipt for it.
type Steady struct {
	PerSecond  float64
	Latency    measure.Quantiles
	LoadgenCPU float64
}

// atOnce is how many devices connect at a time: the broker takes 64 that have
// not proven who they are from one address.
const atOnce = 16

// load runs three measurements: a steady rate, a backlog at every device, and a
// long backlog at one device, the last of codes.
func load(ctx context.Context, o options, codes []issued, say func(any) error, wait func() error) error {
	if len(codes) < 2 {
		return errors.New("load needs two devices or more")
	}
	ctx, cancel := context.WithCancel(ctx)
	running := &sync.WaitGroup{}
	defer running.Wait()
	defer cancel()
	many, err := enrolAll(ctx, o, codes[:len(codes)-1])
	if err != nil {
		return err
	}
	if _, err := drain(ctx, running, o, many); err != nil { // connects them; there is little to send
		return fmt.Errorf("connect: %w", err)
	}
	held, err := steady(ctx, o, many)
	if err := errors.Join(err, say(held)); err != nil {
		return fmt.Errorf("steady rate: %w", err)
	}
	if err := wait(); err != nil {
		return err
	}
	all, err := backlogs(ctx, running, o, many)
	if err := errors.Join(err, say(all)); err != nil {
		return fmt.Errorf("backlogs: %w", err)
	}
	if err := wait(); err != nil {
		return err
	}
	one, err := alone(ctx, running, o, codes[len(codes)-1])
	return errors.Join(err, say(one), each(many, (*device).close))
}

// backlogs lets all devices come back at once.
func backlogs(ctx context.Context, running *sync.WaitGroup, o options, devices []*device) (Drain, error) {
	for _, d := range devices {
		d.leave()
	}
	if err := each(devices, func(d *device) error { return d.fill(ctx, o.each, 1) }); err != nil {
		return Drain{}, err
	}
	return drain(ctx, running, o, devices)
}

// alone lets one device come back after a long time.
func alone(ctx context.Context, running *sync.WaitGroup, o options, is issued) (Drain, error) {
	d, err := newDevice(ctx, o, is, o.https, filepath.Join(o.dir, string(is.device)))
	if err != nil {
		return Drain{}, err
	}
	began := time.Now()
	if err := d.fill(ctx, o.alone, writers); err != nil {
		return Drain{}, err
	}
	filled := float64(o.alone) / time.Since(began).Seconds()
	out, err := drain(ctx, running, o, []*device{d})
	out.Filled = filled
	return out, errors.Join(err, d.close())
}

// writers is how many facts wait for one sync of a journal at a time.
const writers = 64

func each(list []*device, do func(*device) error) error {
	var g errgroup.Group
	for _, d := range list {
		g.Go(func() error { return do(d) })
	}
	return g.Wait()
}

// enrolAll enrols the devices as if they stood in several buildings: one address
// may enrol twenty at once and then one each three seconds.
func enrolAll(ctx context.Context, o options, codes []issued) ([]*device, error) {
	const perBuilding = 18
	var devices []*device
	for n, is := range codes {
		via, err := building(ctx, o.https, n/perBuilding)
		if err != nil {
			return nil, err
		}
		d, err := newDevice(ctx, o, is, via.Addr().String(), filepath.Join(o.ram, string(is.device)))
		if err := errors.Join(err, via.Close()); err != nil {
			return nil, err
		}
		devices = append(devices, d)
	}
	return devices, nil
}

// building is an address from which devices reach the hub, on this machine one
// of 127.0.1.0/24.
func building(ctx context.Context, hub string, n int) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n))}}
	go func() { // ends with the listener, and each connection with its two ends
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := from.DialContext(ctx, "tcp", hub)
			if err != nil {
				in.Close()
				continue
			}
			go join(in, out)
			go join(out, in)
		}
	}()
	return l, nil
}

func join(to, from net.Conn) {
	defer to.Close()
	_, _ = to.(*net.TCPConn).ReadFrom(from) // either end may close first; the request itself tells what failed
}

// fill writes n facts of passages, side by side as asked.
func (d *device) fill(ctx context.Context, n, side int) error {
	var g errgroup.Group
	for w := range side {
		g.Go(func() error {
			for i := w; i < n; i += side {
				if err := d.passage(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// passage writes one of the four facts of a person's way in and out. Each device
// has a room of its own and ten people, who enter in turn.
func (d *device) passage(ctx context.Context, i int) error {
	kinds := [4]record.Kind{record.KindGranted, record.KindEntered, record.KindGranted, record.KindExited}
	p := record.Passage{Door: record.DoorCode(d.id), Room: record.RoomCode(d.id), Level: 2, Direction: record.DirectionIn, Reader: record.ReaderID(d.id + "-in"),
		Person: record.PersonID(fmt.Sprintf("%s-%d", d.id, i/4%10)), Credential: "0000012345", Method: record.MethodCard, UIDOnly: true, Grant: fmt.Sprintf("%s-%d", d.id, i/2)}
	if i%4 >= 2 {
		p.Direction = record.DirectionOut
	}
	return d.facts.Write(ctx, kinds[i%4], p, false)
}

// drain connects the devices, which are not connected, waits until the hub has answered each, lets all of
// them send at once, and waits for the last receipt.
func drain(ctx context.Context, running *sync.WaitGroup, o options, devices []*device) (Drain, error) {
	var out Drain
	gate := make(chan struct{})
	slots := make(chan struct{}, atOnce)
	for _, d := range devices {
		d.mu.Lock()
		d.started, d.ready = false, make(chan struct{})
		d.mu.Unlock()
		c := d.uplink(o.mqtt)
		c.Outbox = &gated{outbox: outbox{d}, gate: gate}
		slots <- struct{}{}
		d.come(ctx, c)
		running.Go(func() {
			select {
			case <-d.ready:
			case <-ctx.Done():
			}
			<-slots
		})
	}
	for _, d := range devices {
		if err := await(ctx, d.ready, time.Minute, "the hub's answer to "+string(d.id)); err != nil {
			return out, err
		}
	}
	var whole []<-chan struct{}
	for _, d := range devices {
		out.Events += int(d.last() - d.reached())
		whole = append(whole, d.until(d.last()))
	}
	cpu, began := cpuTime(), time.Now()
	close(gate)
	for i, w := range whole {
		if err := await(ctx, w, 5*time.Minute, "the last receipt of "+string(devices[i].id)); err != nil {
			return out, err
		}
	}
	out.Took = time.Since(began)
	out.PerSecond = float64(out.Events) / out.Took.Seconds()
	out.LoadgenCPU = (cpuTime() - cpu).Seconds() / out.Took.Seconds()
	return out, nil
}

func await(ctx context.Context, c <-chan struct{}, within time.Duration, what string) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(within):
		return fmt.Errorf("not within %v: %s", within, what)
	}
}

// gated holds the sender back until the gate opens. Only the sender's goroutine
// uses it.
type gated struct {
	outbox
	gate chan struct{}
	open bool
}

func (g *gated) After(e record.Epoch, seq uint64, n, bytes int) ([]uplink.Entry, error) {
	select {
	case <-g.gate:
		g.open = true
		return g.outbox.After(e, seq, n, bytes)
	default:
		return nil, nil
	}
}

func (g *gated) Changed() <-chan struct{} {
	if !g.open {
		return g.gate
	}
	return g.outbox.Changed()
}

// steady writes at a rate, the devices in turn, and waits for the receipts.
func steady(ctx context.Context, o options, devices []*device) (Steady, error) {
	var out Steady
	for _, d := range devices {
		d.mu.Lock()
		d.timing = true
		d.mu.Unlock()
	}
	gap := time.Second * time.Duration(len(devices)) / time.Duration(o.rate)
	began, cpu := time.Now(), cpuTime()
	var g errgroup.Group
	for n, d := range devices {
		next := began.Add(gap * time.Duration(n) / time.Duration(len(devices)))
		g.Go(func() error {
			for i := 0; next.Sub(began) < o.steady; i++ {
				if err := pause(ctx, time.Until(next)); err != nil {
					return err
				}
				next = next.Add(gap)
				if err := d.passage(ctx, i); err != nil {
					return err
				}
			}
			return await(ctx, d.until(d.last()), time.Minute, "receipts of "+string(d.id))
		})
	}
	if err := g.Wait(); err != nil {
		return out, err
	}
	took := time.Since(began)
	var all measure.Times
	for _, d := range devices {
		d.mu.Lock()
		all = append(all, d.took...)
		d.timing = false
		d.mu.Unlock()
	}
	out.PerSecond = float64(len(all)) / took.Seconds()
	out.Latency = all.Quantiles()
	out.LoadgenCPU = (cpuTime() - cpu).Seconds() / took.Seconds()
	return out, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
