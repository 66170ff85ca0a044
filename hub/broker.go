package hub

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/brokerlink"
	"sekimori/hub/internal/ingest"
	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/pki"
	"sekimori/internal/record"
)

// BrokerCommand is the verb by which the hub starts its broker.
const BrokerCommand = broker.ChildCommand

// RunBroker is the broker's process: no store, no key but its TLS key, which
// comes with its settings on standard input.
func RunBroker(ctx context.Context, in io.Reader, out io.Writer, log *slog.Logger) error {
	return broker.RunChild(ctx, in, out, log)
}

// embedded is the broker that this hub keeps running.
type embedded struct {
	supervisor *broker.Supervisor
	findings   chan ledger.SecurityFinding
	ready      chan struct{} // closed when it first listens
}

// newEmbedded prepares the broker for the members of the moment.
func newEmbedded(ctx context.Context, listen string, auth *pki.Authority, members *pki.Members, log *slog.Logger) (*embedded, error) {
	e := &embedded{findings: make(chan ledger.SecurityFinding, 64), ready: make(chan struct{})}
	access, err := accessOf(ctx, auth, members)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	e.supervisor, err = broker.NewSupervisor(broker.SupervisorConfig{
		Broker: broker.Config{Listen: listen, Access: access},
		Log:    log,
		OnReady: func(addr string) {
			log.Info("broker listens", "addr", addr)
			once.Do(func() { close(e.ready) })
		},
		OnFinding: func(f broker.Finding) {
			select {
			case e.findings <- findingOf(f):
			case <-ctx.Done():
			}
		},
		OnExit: func(err error) { log.Error("broker ended and is started again", "err", err) },
	})
	return e, err
}

func findingOf(f broker.Finding) ledger.SecurityFinding {
	return ledger.SecurityFinding{
		Finding: string(f.Kind), Remote: f.Remote, Identity: f.Identity, Count: uint64(f.Count),
		Detail: f.Detail, First: f.At, Device: record.DeviceID(f.Identity),
	}
}

func accessOf(ctx context.Context, auth *pki.Authority, members *pki.Members) (broker.Access, error) {
	tls, err := auth.Broker()
	if err != nil {
		return broker.Access{}, err
	}
	allow, revoked, err := members.Access(ctx)
	return broker.Access{
		Allow: allow, Revoked: revoked, ClientCA: string(tls.ClientCA),
		ServerCert: string(tls.Cert), ServerKey: broker.Secret(tls.Key),
	}, err
}

// update follows who is a member.
func (e *embedded) update(ctx context.Context, auth *pki.Authority, members *pki.Members) error {
	access, err := accessOf(ctx, auth, members)
	if err != nil {
		return err
	}
	return e.supervisor.Update(access)
}

// feed hands what devices publish to ingest. While ingest is busy it does not
// return, so the broker slows the devices down and nothing is lost.
func feed(in *ingest.Ingest, log *slog.Logger) brokerlink.Handler {
	return func(ctx context.Context, m brokerlink.Message) {
		device, channel, err := record.ParseTopic(m.Topic)
		if err != nil {
			log.Warn("message on an unknown topic", "err", err)
			return
		}
		if err := in.Handle(ctx, ingest.Message{Device: device, Channel: channel, Payload: m.Payload}); err != nil && ctx.Err() == nil {
			log.Error("message not taken", "device", device, "err", err)
		}
	}
}
