package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/internal/record"
)

// core is what both the running hub and a command on a stopped one stand on:
// keys, memory, ledger, and who there is.
type core struct {
	settings Settings
	auth     *pki.Authority
	store    *sqlite.Store
	ledger   *ledger.Ledger
	members  *pki.Members
	people   *people.Directory
	registry *people.Registry
}

// openCore opens keys and store. changed is called when who may connect has
// changed. One process at a time can hold the store.
func openCore(ctx context.Context, s Settings, changed func()) (*core, error) {
	auth, err := openKeys(s)
	if err != nil {
		return nil, err
	}
	st, err := sqlite.Open(ctx, s.store(), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	c := &core{settings: s, auth: auth, store: st}
	if err := c.join(ctx, changed); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return c, nil
}

// openKeys opens the hub's keys; before Init there are none.
func openKeys(s Settings) (*pki.Authority, error) {
	if _, err := os.Stat(s.keys()); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s", errNoKeys, s.keys())
	}
	return pki.Open(s.keys())
}

func (c *core) join(ctx context.Context, changed func()) (err error) {
	if c.ledger, err = ledger.New(c.auth.LogKey()); err != nil {
		return err
	}
	if c.people, err = people.NewDirectory(ctx, c.store); err != nil {
		return err
	}
	c.members = pki.NewMembers(c.auth, c.store, c.ledger, changed)
	c.members.Resolve = c.people.Resolve
	c.registry = people.NewRegistry(c.store, c.ledger, c.auth.Sealer(), c.people, changed)
	return nil
}

func (c *core) close() error { return c.store.Close() }

// policies is the policy service, which only the running hub runs.
func (c *core) policies(p policy.Publisher, log *slog.Logger) *policy.Service {
	return policy.New(policy.Config{
		Store: c.store, Ledger: c.ledger, Cities: cities{c}, Keys: c.auth,
		Policies: c.auth.Signer(record.UsePolicy), Orders: c.auth.Signer(record.UseOrder), Publisher: p, Log: log.With("part", "policy"),
	})
}

// Init makes a municipality's keys. It returns where the root's private key
// waits to be taken away.
func Init(s Settings) (offline string, err error) {
	err = pki.Init(s.keys(), pki.Options{
		Municipality: s.Municipality, HubName: s.Name, MQTTAddr: s.Devices, Addresses: s.Addresses,
	})
	if err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	return filepath.Join(s.keys(), "offline"), nil
}
