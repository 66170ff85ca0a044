// Package agent is the program beside a door: it reads readers and lines,
// decides by the policy it holds, writes down what happened before it acts, and
// delivers that to the hub when the hub is there.
//
//	① readers ─ drivers ─┐                    ┌─ ③ journal ─ ④ uplink ═▶ hub
//	   lines ────────────┴─▶ door ─ ② decide ─┤
//	                                          └─ relay, lamps
//
// A maker of door controllers embeds it: fill in a Config with readers of one's
// own (anything that is a drivers.Reader) and call Run. The command
// sekimori-agent does the same from a settings file.
package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"sekimori/agent/internal/decide"
	"sekimori/agent/internal/door"
	"sekimori/agent/internal/facts"
	"sekimori/agent/internal/host"
	"sekimori/agent/internal/identity"
	"sekimori/agent/internal/journal"
	"sekimori/agent/internal/journal/disk"
	"sekimori/agent/internal/obey"
	"sekimori/agent/internal/timekeeper"
	"sekimori/agent/internal/uplink"
	"sekimori/agent/internal/watch"
	"sekimori/drivers"
	"sekimori/internal/record"
	"sekimori/internal/version"
)

// Config of an agent in the role door.
type Config struct {
	Device   string        // the device's code, as enrolled: "DC-31"
	StateDir string        // journal, policy, identity; only this program's user may read it
	Hub      Hub           //
	Lines    drivers.Lines // the bank all doors' lines are on; closed by Run
	Doors    []Door        //
	Inputs   []Input       // auxiliary contacts
	Outputs  []Output      // lamps, buzzers, contacts for others
	Journal  Journal       // zero: defaults
	Log      *slog.Logger  // nil: slog.Default

	// Ready is called when doors are served and facts can be written, whether
	// or not the hub is there; Alive at intervals while all is well. Both may
	// be nil. A service tells them to its supervisor.
	Ready, Alive func()
}

// Hub is where the hub is.
type Hub struct {
	MQTT      string        // host:port
	HTTPS     string        // host:port, for enrolment and renewal
	Heartbeat time.Duration // 0: 30 s
}

// Journal bounds the journal; zero fields are defaults (256 MiB, 90 days).
type Journal struct {
	MaxBytes int64
	Keep     time.Duration
}

// Door is one door's wiring. Names are those of the line bank; Tamper may be
// empty.
type Door struct {
	Code    string
	Relay   Line
	Contact Line
	REX     Line
	Fire    Line
	Tamper  Line
	Readers []Reader
}

// Line is a line and its polarity.
type Line struct {
	Name      string
	ActiveLow bool
}

// Reader is a reader at a door. A side of a door may have several: what is
// presented at one of them is presented at that side.
type Reader struct {
	ID     string
	Out    bool // it stands inside and lets out
	Driver drivers.Reader

	// What the ledger says of it [T-22].
	Kind  string       // the driver's name; empty: "custom"
	Proof record.Proof // what it can show of who stands before it; empty: a number only

	// Secure says that the link proves both ends: readings without that proof
	// (Authenticated false) are not believed.
	Secure bool
	// Form, where set, is how the numbers it reads are written before they are
	// looked up, for a reader that gives the whole number of a card's chip.
	Form *drivers.Form
}

const (
	defaultHeartbeat = 30 * time.Second
	aliveEvery       = 5 * time.Second
	renewLook        = 10 * time.Minute
	renewPause       = 24 * time.Hour      // after a renewal, should the hub give less than renewBefore
	renewBefore      = 90 * 24 * time.Hour // [T-51]
)

// ErrNotEnrolled: call Enrol first.
var ErrNotEnrolled = identity.ErrNotEnrolled

// Enrol makes this device a member of the municipality whose hub issued code.
// It writes the identity into the state folder and sets the last-known time.
func Enrol(ctx context.Context, c Config, code string) error {
	parsed, err := record.ParseEnrolCode(code)
	if err != nil {
		return err
	}
	device, err := record.ParseDeviceID(c.Device)
	if err != nil {
		return err
	}
	hubTime, err := identity.Enrol(ctx, c.identityDir(), c.Hub.HTTPS, device, parsed)
	if err != nil {
		return err
	}
	return errors.Join(timekeeper.Begin(c.StateDir, host.BootID(), hubTime), host.GiveBack(c.StateDir))
}

// Checkpoint is the newest signed checkpoint of the hub's ledger that this
// device keeps as a witness.
func Checkpoint(c Config) ([]byte, error) { return watch.Export(c.StateDir) }

func (c Config) identityDir() string { return filepath.Join(c.StateDir, "identity") }

// agent is one Run.
type agent struct {
	Config
	device   record.DeviceID
	boot     record.BootID
	id       *identity.Identity
	time     *timekeeper.Keeper
	journal  *journal.Journal
	facts    *facts.Writer
	doors    *door.Controller
	policies *obey.Policies
	orders   *obey.Orders
	witness  *watch.Witness
	panel    alarms
}

// Run serves the doors until ctx ends. Stopping order: uplink and doors
// together, then the last-known time, then the journal, then the lines.
func Run(ctx context.Context, c Config) (err error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Hub.Heartbeat <= 0 {
		c.Hub.Heartbeat = defaultHeartbeat
	}
	defer func() { err = errors.Join(err, c.Lines.Close()) }()
	a := &agent{Config: c, boot: host.BootID()}
	if a.device, err = record.ParseDeviceID(c.Device); err != nil {
		return err
	}
	if a.id, err = identity.Open(c.identityDir(), a.device); err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.time.Close(), a.journal.Close()) }()
	return a.serve(ctx)
}

// open prepares everything that must be there before a door is touched.
func (a *agent) open(ctx context.Context) error {
	anomaly, err := a.openFacts(ctx)
	if err != nil {
		return err
	}
	if err := a.begin(ctx, anomaly); err != nil {
		return errors.Join(err, a.journal.Close())
	}
	return nil
}

// openFacts makes facts possible. anomaly is not nil when the clock is not
// believed.
func (a *agent) openFacts(ctx context.Context) (anomaly *record.ClockSet, err error) {
	a.time, anomaly = timekeeper.Open(a.StateDir, a.boot)
	if err := a.openJournal(ctx); err != nil {
		return nil, err
	}
	a.facts = facts.New(a.device, a.boot, a.time, a.journal)
	return anomaly, nil
}

func (a *agent) openJournal(ctx context.Context) (err error) {
	notice := func(p journal.Position, n journal.Notice) ([]byte, error) { return a.notice(p, n) }
	a.journal, err = journal.Open(ctx, disk.OS{}, filepath.Join(a.StateDir, "journal"), journal.Options{
		Notice: notice, MaxBytes: a.Journal.MaxBytes, Keep: a.Journal.Keep,
	})
	return err
}

// begin writes the first facts of this start and puts the cached policy in force.
func (a *agent) begin(ctx context.Context, anomaly *record.ClockSet) error {
	stats, err := a.journal.Stats()
	if err != nil {
		return err
	}
	a.write(ctx, record.KindBooted, record.Booted{Version: version.Version, Cut: stats.Torn})
	if anomaly != nil {
		a.Log.Warn("clock not believed", "os", anomaly.Before, "last_known", anomaly.After)
		a.write(ctx, record.KindClockAnomaly, anomaly)
	}
	if err := a.fitPanel(); err != nil {
		return err
	}
	a.doors = &door.Controller{
		Doors: a.wiring(), Lines: a.Lines, Facts: watched{a.facts, a.panel.lamps}, Clock: a.time,
		Memory: door.File(filepath.Join(a.StateDir, "doors.json")), Key: a.id.CredentialKey(), Log: a.Log,
	}
	a.doors.Init()
	a.policies = obey.NewPolicies(a.StateDir, a.device, a.keys(record.UsePolicy), a.facts, a.doors)
	a.orders = obey.NewOrders(a.StateDir, a.device, a.keys(record.UseOrder), orderTime{a.time}, a.facts, a.doors)
	a.witness, err = watch.Open(a.StateDir, func() string { return a.id.Keys().LogKey })
	// What cannot be read any more must not keep the doors from being served.
	a.warn("checkpoint", err)
	a.warn("policy", a.policies.Resume(ctx, a.doors.Preload))
	a.warn("orders", a.orders.Resume(ctx))
	for _, d := range a.Config.Doors {
		a.write(ctx, record.KindDoorEquipped, d.equipped())
	}
	return nil
}

// equipped is what the ledger is told of a door at each start: which doors a
// copied number opens is a question of what is fitted [T-22].
func (d Door) equipped() record.DoorEquipped {
	out := record.DoorEquipped{Door: record.DoorCode(d.Code)}
	for _, r := range d.Readers {
		fitted := record.ReaderFitted{Reader: record.ReaderID(r.ID), Direction: record.DirectionIn, Driver: r.Kind, Proof: r.Proof, Secure: r.Secure}
		if r.Out {
			fitted.Direction = record.DirectionOut
		}
		fitted.Driver = cmp.Or(fitted.Driver, "custom")
		fitted.Proof = cmp.Or(fitted.Proof, record.ProofUIDOnly)
		out.Readers = append(out.Readers, fitted)
	}
	return out
}

func (a *agent) warn(what string, err error) {
	if err != nil {
		a.Log.Error("not resumed", "what", what, "err", err)
	}
}

// write is for facts whose loss must not keep the doors from being served: a
// full journal refuses entry by itself and counts what it could not write.
func (a *agent) write(ctx context.Context, kind record.Kind, body any) {
	if err := a.facts.Write(ctx, kind, body, true); err != nil {
		a.Log.Error("fact not written down", "kind", kind, "err", err)
	}
}

func (a *agent) keys(use record.KeyUse) func() []record.PublicKey {
	return func() []record.PublicKey { return a.id.Keys().For(use) }
}

func (a *agent) wiring() []door.Door {
	in := func(l Line) door.Input { return door.Input{Line: l.Name, ActiveLow: l.ActiveLow} }
	var out []door.Door
	for _, d := range a.Config.Doors {
		w := door.Door{
			Code: record.DoorCode(d.Code), Relay: door.Output{Line: d.Relay.Name, ActiveLow: d.Relay.ActiveLow},
			Contact: in(d.Contact), REX: in(d.REX), Fire: in(d.Fire), Tamper: in(d.Tamper),
		}
		for _, r := range d.Readers {
			direction := record.DirectionIn
			if r.Out {
				direction = record.DirectionOut
			}
			w.Readers = append(w.Readers, door.Reader{ID: record.ReaderID(r.ID), Direction: direction, Secure: r.Secure, Form: r.Form, Driver: r.Driver})
		}
		out = append(out, w)
	}
	return out
}

// serve runs doors and uplink. The doors do not wait for the hub; when one of
// the two fails for good the other stops too and the error is returned.
func (a *agent) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.doors.Run(ctx) })
	g.Go(func() error { return a.runPanel(ctx) })
	g.Go(func() error { return uplink.Run(ctx, a.uplink()) })
	g.Go(func() error { return a.housekeeping(ctx) })
	g.Go(func() error { return a.renewing(ctx) })
	return g.Wait()
}

func (a *agent) uplink() uplink.Config {
	return uplink.Config{
		Device: a.device, Server: a.Hub.MQTT, TLS: func() *tls.Config { return a.id.TLS(a.time.TLSTime) }, Boot: a.boot,
		Signer: a.id.Signer(), Receipts: a.keys(record.UseReceipt),
		Outbox: outbox{a.journal}, Clock: a.time, Facts: a.facts, Witness: a.witness,
		Policies: a.policies, Orders: a.orders, Status: a.status,
		Heard: func(ctx context.Context) { _ = a.doors.Send(ctx, decide.HubHeard{}) },
		Every: a.Hub.Heartbeat, Log: a.Log.With("part", "uplink"),
	}
}

// housekeeping tells the supervisor that the doors are served, and then that
// their loop still turns, and keeps the last-known time fresh on disk.
func (a *agent) housekeeping(ctx context.Context) error {
	for !a.doors.Turns(ctx) {
		if ctx.Err() != nil {
			return nil
		}
	}
	if a.Ready != nil {
		a.Ready()
	}
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if a.Alive != nil && a.doors.Turns(ctx) {
			a.Alive()
		}
		if err := a.time.Save(); err != nil {
			a.Log.Error("last-known time not saved", "err", err)
		}
	}
}

// renewing renews the certificate in good time. It asks no more than that the
// clock be past the moment for it, because a device whose certificate has ended
// reaches no hub that would confirm its clock.
func (a *agent) renewing(ctx context.Context) error {
	var said string // why it did not work, so that a hub away for days is told once
	for {
		wait := renewLook
		if a.time.Now().Wall.Add(renewBefore).After(a.id.Until()) {
			err := a.id.Renew(ctx, a.Hub.HTTPS, a.time.TLSTime)
			switch text := fmt.Sprint(err); {
			case ctx.Err() != nil:
			case err == nil:
				a.Log.Info("certificate renewed", "until", a.id.Until())
				said, wait = "", renewPause
			case text != said:
				a.Log.Warn("certificate not renewed", "until", a.id.Until(), "err", err)
				said = text
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (a *agent) status() record.Status {
	s := record.Status{Version: version.Version, CertUntil: a.id.Until()}
	if j, err := a.journal.Stats(); err == nil {
		s.Epoch, s.LastSeq, s.Acked = record.Epoch(j.Epoch), j.Last, j.Acked
		s.JournalUse = int(100 * (j.Max - j.Free) / max(j.Max, 1))
	}
	s.Readers, s.Doors = a.doors.Status()
	return s
}

// notice builds the rows the journal writes by itself.
func (a *agent) notice(p journal.Position, n journal.Notice) ([]byte, error) {
	switch n.Kind {
	case journal.EpochStarted:
		body := record.EpochStarted{Previous: record.Epoch(n.Previous), LastSeq: n.PreviousLast}
		for _, g := range n.Gaps {
			body.Damage += fmt.Sprintf("%s: %d to %d lost. ", g.Epoch, g.From, g.To)
		}
		return a.journalRow(p, record.KindEpochStarted, body)
	case journal.Full:
		return a.journalRow(p, record.KindJournalFull, record.JournalFull{Lost: n.Refused})
	}
	return nil, fmt.Errorf("journal notice %d", n.Kind)
}

func (a *agent) journalRow(p journal.Position, kind record.Kind, body any) ([]byte, error) {
	return facts.Event(a.device, a.boot, a.time.Now(), p, kind, body)
}

// orderTime shows the clock to orders.
type orderTime struct{ k *timekeeper.Keeper }

func (t orderTime) Wall() time.Time    { return t.k.Now().Wall }
func (t orderTime) Allow(to time.Time) { t.k.Allow(to) }
