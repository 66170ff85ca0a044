package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// stranger stands in the ledger for a login that is no account: what was typed
// there may be a password.
const stranger = "（登録のない利用者名）"

type signInPage struct {
	Login, Next, Problem string
}

func (c *console) signInForm(w http.ResponseWriter, r *http.Request) error {
	if visitorOf(r.Context()).Login != "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return c.show(w, r, http.StatusOK, "signin", "サインイン", signInPage{Next: next(r.URL.Query().Get("next"))})
}

// signIn checks a password [002-23(6)] [AS-08]. Whatever is wrong, the answer
// is one sentence; only being locked has its own, for names that exist and
// names that do not.
func (c *console) signIn(w http.ResponseWriter, r *http.Request) error {
	page := signInPage{Login: limit(r.PostFormValue("login"), maxText), Next: next(r.PostFormValue("next"))}
	refuse := func(status int, problem string) error {
		page.Problem = problem
		return c.show(w, r, status, "signin", "サインイン", page)
	}
	from := address(r.RemoteAddr)
	if wait := c.slow.allow(from); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return refuse(http.StatusTooManyRequests, "この端末からの試行が続いています。1分ほど待ってから、もう一度入力してください。")
	}
	who, locked, err := c.check(r.Context(), page.Login, r.PostFormValue("password"))
	if err != nil {
		return err
	}
	if who == nil {
		if err := c.recordSignIn(r.Context(), ledger.KindSignInFailed, page.Login, from); err != nil {
			return err
		}
		if locked {
			return refuse(http.StatusForbidden, "試行超過のため、しばらくサインインできません。時間をおいてやり直すか、システム管理者に解除を依頼してください。")
		}
		return refuse(http.StatusForbidden, "利用者名またはパスワードが違います。続けて間違えると、しばらくサインインできなくなります。")
	}
	// The fact first: nobody is signed in whose sign-in is not written down.
	if err := c.recordSignIn(r.Context(), ledger.KindSignedIn, page.Login, from); err != nil {
		return err
	}
	if err := c.sessions.RenewToken(r.Context()); err != nil {
		return fmt.Errorf("new session: %w", err)
	}
	c.sessions.Put(r.Context(), userKey, page.Login)
	http.Redirect(w, r, page.Next, http.StatusSeeOther)
	return nil
}

// check counts the attempt, then compares. who is nil when it is refused.
func (c *console) check(ctx context.Context, login, password string) (who *visitor, locked bool, err error) {
	now := clock.Now()
	_, known := c.Directory.User(login, now)
	name, a := attemptsName(login, known), c.Directory.Attempts(now)
	rule := rule{Limit: a.Limit, Within: time.Duration(a.Within), Lock: time.Duration(a.Lock)}
	var refused bool
	err = c.Memory.Update(ctx, func(tx store.Tx) (err error) {
		refused, locked, err = begin(tx, name, rule, now)
		return err
	})
	if err != nil || refused {
		return nil, locked, err
	}
	select { // each check takes 19 MiB
	case c.hashing <- struct{}{}:
		defer func() { <-c.hashing }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	_, err = c.Accounts.CheckPassword(ctx, login, limit(password, maxPassword))
	if errors.Is(err, people.ErrSignIn) {
		return nil, locked, nil
	}
	if err != nil {
		return nil, false, err
	}
	v, ok := c.visitor(login, now)
	if !ok {
		return nil, locked, nil
	}
	return &v, false, c.Memory.Update(ctx, func(tx store.Tx) error { return Unlock(tx, login) })
}

// maxPassword bounds what is hashed.
const maxPassword = 256

func (c *console) recordSignIn(ctx context.Context, kind record.Kind, login, from string) error {
	now := clock.Now()
	v, known := c.visitor(login, now)
	row := ledger.Row{Kind: kind, At: now.UTC(), Via: via}
	if known {
		row.Actor = &v.Who
	} else {
		login = stranger
	}
	var err error
	if row.Body, err = json.Marshal(ledger.SignedIn{User: login, Remote: from}); err != nil {
		return err
	}
	return c.Recorder.Record(ctx, []ledger.Fact{{Row: row}})
}

// via says in the ledger that a fact came through here.
const via = "console"

func (c *console) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := c.sessions.Destroy(r.Context()); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	http.Redirect(w, r, "/signin", http.StatusSeeOther)
	return nil
}

// next is where to go after signing in: a page of ours, never another site.
func next(path string) string {
	u, err := url.Parse(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) ||
		u.Host != "" || u.Scheme != "" || u.Path == "/signin" || u.Path == "/signout" {
		return "/"
	}
	return u.RequestURI()
}

// limit cuts a text to n characters.
func limit(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), n)])
}
