package people

import (
	"context"
	"errors"
	"fmt"

	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// ErrSignIn is every failed sign-in: a stranger learns neither whether the
// account exists nor whether it has a password.
var ErrSignIn = errors.New("unknown account or wrong password")

// ErrNoUser means that no such account is declared.
var ErrNoUser = errors.New("no such account")

// SetPassword sets the password of a declared account.
func (r *Registry) SetPassword(ctx context.Context, login, password string) error {
	if _, ok := r.dir.User(login, clock.Now()); !ok {
		return fmt.Errorf("set password of %q: %w", login, ErrNoUser)
	}
	hash, err := HashPassword(password)
	if err != nil {
		return fmt.Errorf("set password of %q: %w", login, err)
	}
	name := passwordPrefix + login
	if err := r.store.Update(ctx, func(tx store.Tx) error { return tx.PutState(name, r.seal.Seal(name, []byte(hash))) }); err != nil {
		return fmt.Errorf("set password of %q: %w", login, err)
	}
	return nil
}

// nobody is compared against where there is no hash, so that an account that
// does not exist takes as long to refuse as one that does.
var nobody = parsedHash{memory: hashMemory, time: hashTime, lanes: hashLanes, salt: make([]byte, saltLen), sum: make([]byte, hashLen)}

// CheckPassword gives the person behind an account, or ErrSignIn. It takes tens
// of milliseconds and 19 MiB on purpose; whoever calls it limits the rate.
func (r *Registry) CheckPassword(ctx context.Context, login, password string) (record.PersonID, error) {
	hash, err := r.hashOf(ctx, login)
	if err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	user, declared := r.dir.User(login, clock.Now())
	if !hash.matches(password) || !declared || !r.dir.serves(user.Person, clock.Now()) {
		return "", ErrSignIn
	}
	return record.PersonID(user.Person), nil
}

func (r *Registry) hashOf(ctx context.Context, login string) (parsedHash, error) {
	hash := nobody
	err := r.store.View(ctx, func(tx store.ReadTx) error {
		sealed, err := tx.State(passwordPrefix + login)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := r.seal.Open(passwordPrefix+login, sealed)
		if err != nil {
			return err
		}
		hash, err = parseHash(PasswordHash(text))
		return err
	})
	return hash, err
}
