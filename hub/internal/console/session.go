package console

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/internal/record"
)

// How long a session lives: without use, and at most.
const (
	idleLimit    = 30 * time.Minute
	sessionLimit = 8 * time.Hour
	// touchEvery is how much later an expiry must be to be worth a write: every
	// click would otherwise be a durable transaction beside ingest's.
	touchEvery = time.Minute
)

// sessionPrefix is where sessions lie in the store, by the hash of their token.
const sessionPrefix = "console/session/"

// userKey is the one value of a session: the login of who signed in.
const userKey = "user"

// sessions keeps who is signed in. scs makes tokens and cookies; the store
// keeps the rest over a restart.
type sessions struct{ *scs.SessionManager }

func newSessions(m Memory, log *slog.Logger) *sessions {
	s := scs.New()
	s.Store = &sessionStore{memory: m, log: log}
	s.Lifetime, s.IdleTimeout, s.HashTokenInStore = sessionLimit, idleLimit, true
	s.Cookie.Name = "__Host-sekimori" // Secure, Path=/ and no Domain, or browsers refuse it
	s.Cookie.Secure, s.Cookie.HttpOnly, s.Cookie.SameSite, s.Cookie.Persist = true, true, http.SameSiteStrictMode, false
	return &sessions{s}
}

// token is the request's session token.
func (s *sessions) token(r *http.Request) string {
	c, err := r.Cookie(s.Cookie.Name)
	if err != nil {
		return ""
	}
	return c.Value
}

// peek loads the session without counting as use: an open page alone does not
// keep a session alive.
func (s *sessions) peek(ctx context.Context, token string) (login string, err error) {
	ctx, err = s.Load(ctx, token)
	if err != nil {
		return "", err
	}
	return s.GetString(ctx, userKey), nil
}

// visitor is who sent a request.
type visitor struct {
	Login string
	Who   ledger.Resolved
}

type visitorKey struct{}

func visitorOf(ctx context.Context) visitor {
	v, _ := ctx.Value(visitorKey{}).(visitor)
	return v
}

// visitor finds the person of an account as they are now: an account that has
// ended ends its sessions with the next request.
func (c *console) visitor(login string, now time.Time) (visitor, bool) {
	user, ok := c.Directory.User(login, now)
	if login == "" || !ok {
		return visitor{}, false
	}
	who, ok := c.Directory.Resolve(record.PersonID(user.Person), now)
	return visitor{Login: login, Who: who}, ok
}

// kept is a session as stored.
type kept struct {
	Until time.Time `json:"until"`
	Data  []byte    `json:"data"`
}

// sessionStore is scs's store over the hub's.
type sessionStore struct {
	memory Memory
	log    *slog.Logger
}

var _ scs.CtxStore = (*sessionStore)(nil)

// FindCtx reads a session that has not ended. scs counts a session's life on
// the machine's clock, so this does too, whatever clock business follows.
func (s *sessionStore) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	k, err := s.find(ctx, token)
	if errors.Is(err, store.ErrNotFound) || err == nil && !time.Now().Before(k.Until) {
		return nil, false, nil
	}
	return k.Data, err == nil, err
}

func (s *sessionStore) find(ctx context.Context, token string) (k kept, err error) {
	err = s.memory.View(ctx, func(tx store.ReadTx) error {
		b, err := tx.State(sessionPrefix + token)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &k)
	})
	return k, err
}

// CommitCtx keeps a session. A disk that is full ends no session: people must be
// able to read while it is cleared, so only what changes a session must succeed.
func (s *sessionStore) CommitCtx(ctx context.Context, token string, data []byte, until time.Time) error {
	old, err := s.find(ctx, token)
	same := err == nil && string(old.Data) == string(data)
	if same && until.Sub(old.Until) < touchEvery {
		return nil
	}
	b, err := json.Marshal(kept{until.UTC(), data})
	if err != nil {
		return err
	}
	err = s.memory.Update(ctx, func(tx store.Tx) error {
		if !same {
			if err := dropEnded(tx, time.Now()); err != nil {
				return err
			}
		}
		return tx.PutState(sessionPrefix+token, b)
	})
	if err != nil && same {
		s.log.Warn("a session was not prolonged", "err", err)
		return nil
	}
	return err
}

// dropEnded forgets sessions that are over; it runs when one begins.
func dropEnded(tx store.Tx, now time.Time) error {
	all, err := tx.States(sessionPrefix)
	if err != nil {
		return err
	}
	for name, b := range all {
		var k kept
		if json.Unmarshal(b, &k) == nil && now.Before(k.Until) {
			continue
		}
		if err := tx.DeleteState(name); err != nil {
			return err
		}
	}
	return nil
}

// DeleteCtx ends a session.
func (s *sessionStore) DeleteCtx(ctx context.Context, token string) error {
	return s.memory.Update(ctx, func(tx store.Tx) error {
		err := tx.DeleteState(sessionPrefix + token)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
}

// Find, Commit and Delete complete scs.Store; scs calls the others.
func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}
func (s *sessionStore) Commit(token string, b []byte, until time.Time) error {
	return s.CommitCtx(context.Background(), token, b, until)
}
func (s *sessionStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
