package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"sekimori/agent/internal/host"
	"sekimori/agent/internal/keyring"
	"sekimori/drivers"
	"sekimori/drivers/fingerprint"
	"sekimori/drivers/osdp"
	"sekimori/internal/record"
)

// Commission gives a reader its own key, or a module its password, within a
// time. The secret is in the keyring before the reader is told it, and in use
// only when the reader has proved it; the act is a fact of the journal
// [T-22, T-23]. replace gives a new one to a reader that has one.
func (w *Workshop) Commission(ctx context.Context, id string, within time.Duration, replace bool) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	use := keyring.Use(r.Driver)
	if use != keyring.UseOSDP && use != keyring.UseFingerprint {
		return told{fmt.Errorf("%s: driver %s has no key", id, r.Driver), "この種類の読取装置に渡す鍵はありません。鍵を渡せるのは osdp と fingerprint です。"}
	}
	_, has, err := w.ring.Get(record.ReaderID(id), use)
	if err != nil {
		return err
	}
	if has && !replace {
		return fmt.Errorf("%s: %w", id, errHasKey)
	}
	return w.act(ctx, func(write writing) error {
		secret, err := w.ring.Prepare(record.ReaderID(id), use, func() keyring.Secret { return newSecret(use) })
		if err != nil {
			return err
		}
		if r.Link = "clear"; has {
			r.Link = linkSecure
		}
		began := time.Now()
		err = w.with(ctx, r, &hearing{}, there, func(ctx context.Context, j job) error {
			w.say("%s に鍵を渡します(期限 %v)。", id, within)
			return w.give(ctx, j, id, secret, within)
		})
		work := record.ReaderWork{Reader: record.ReaderID(id), Lasted: time.Since(began), Verified: err == nil}
		if err != nil {
			if errors.Is(err, osdp.ErrUnsure) || errors.Is(err, osdp.ErrNotKept) || errors.Is(err, osdp.ErrDeadline) || errors.Is(err, fingerprint.ErrNotKept) {
				err = errors.Join(err, write(record.KindReaderCommissioned, work)) // it may have a key now, unproved
			}
			return err
		}
		if err := errors.Join(w.ring.Keep(record.ReaderID(id), use), write(record.KindReaderCommissioned, work)); err != nil {
			return err
		}
		w.say("%s は自分の鍵を証明しました。設定が link: secure なら、次の起動からこの鍵だけで通信します。", id)
		return nil
	})
}

func (w *Workshop) give(ctx context.Context, j job, id string, secret keyring.Secret, within time.Duration) error {
	if j.module == nil {
		return j.bus.Commission(ctx, id, osdp.Key(secret), within)
	}
	password, err := modulePassword(secret)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	wiped, err := j.module.Commission(ctx, password)
	if wiped > 0 {
		w.say("持ち込まれた登録 %d 件を消しました。", wiped)
	}
	return advise(err)
}

func newSecret(use keyring.Use) keyring.Secret {
	if use == keyring.UseOSDP {
		key := osdp.NewKey()
		return key[:]
	}
	for {
		s := make(keyring.Secret, 4)
		rand.Read(s)
		if _, err := modulePassword(s); err == nil { // not the factory's
			return s
		}
	}
}

// CardKey keeps the key with which the cards at a reader prove themselves, 32
// hexadecimal digits.
func (w *Workshop) CardKey(id, text string) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	if r.Driver != driverPN532 {
		return told{fmt.Errorf("%s: driver %s asks no card for proof", id, r.Driver), "カードの証明を確かめられるのは driver が pn532 の読取装置だけです。"}
	}
	key, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != 16 {
		return told{errors.New("a card key is 32 hexadecimal digits"), "カードの鍵は 16 進 32 桁です。"}
	}
	if err := errors.Join(w.ring.Put(record.ReaderID(id), keyring.UseCards, key), w.giveBack()); err != nil {
		return err
	}
	w.say("%s のカードの鍵を保管しました。proof: cryptographic なら、次の起動から、証明できないカードでは開きません。", id)
	return nil
}

// writing writes the fact of an act; it does nothing on a device without a
// journal.
type writing func(record.Kind, record.ReaderWork) error

// act opens the journal before anything is done, so that nothing is done that
// cannot be written down.
func (w *Workshop) act(ctx context.Context, do func(writing) error) (err error) {
	defer func() { err = errors.Join(err, w.giveBack()) }()
	write, closing, err := w.book(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	if write == nil {
		write = func(record.Kind, record.ReaderWork) error { return nil }
	}
	return do(write)
}

// giveBack leaves nothing behind that the service's user cannot read, where the
// work was done with sudo.
func (w *Workshop) giveBack() error { return host.GiveBack(w.settings.Identity().StateDir) }

// advise says in Japanese what became of an act of a fingerprint module.
func advise(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return told{err, fingerprint.Advice(err)}
}

// module works with the fingerprint module of that ID.
func (w *Workshop) module(ctx context.Context, id string, do func(context.Context, *fingerprint.Reader) error) error {
	r, err := w.reader(id)
	if err != nil {
		return err
	}
	if r.Driver != driverFingerprint {
		return told{fmt.Errorf("%s is no fingerprint module", id), "この読取装置は指紋モジュールではありません。"}
	}
	return w.with(ctx, r, &hearing{}, online, func(ctx context.Context, j job) error { return do(ctx, j.module) })
}

// change does something to the templates of a module, counts them, and writes
// the fact [003-5D, T-23].
func (w *Workshop) change(ctx context.Context, id string, kind record.Kind, slot uint16, do func(context.Context, *fingerprint.Reader) error) error {
	return w.act(ctx, func(write writing) error {
		return w.module(ctx, id, func(ctx context.Context, m *fingerprint.Reader) error {
			if err := do(ctx, m); err != nil {
				return advise(err)
			}
			work := record.ReaderWork{Reader: record.ReaderID(id), Slot: slot, Verified: true}
			left, counting := m.Count(ctx)
			if counting == nil {
				work.Left = &left
				w.say("登録は %d 件です。", left)
			}
			return errors.Join(advise(counting), write(kind, work))
		})
	})
}

// Enrol makes a template of a finger at slot.
func (w *Workshop) Enrol(ctx context.Context, id string, slot uint16) error {
	return w.change(ctx, id, record.KindTemplateEnrolled, slot, func(ctx context.Context, m *fingerprint.Reader) error {
		return m.Enrol(ctx, slot, func(s fingerprint.Step) { w.say("%v", s) })
	})
}

// Delete deletes the template at slot and makes sure that it is gone.
func (w *Workshop) Delete(ctx context.Context, id string, slot uint16) error {
	return w.change(ctx, id, record.KindTemplateDeleted, slot, func(ctx context.Context, m *fingerprint.Reader) error {
		return m.Delete(ctx, slot)
	})
}

// Wipe deletes every template and makes sure that none is left.
func (w *Workshop) Wipe(ctx context.Context, id string) error {
	return w.change(ctx, id, record.KindModuleWiped, 0, func(ctx context.Context, m *fingerprint.Reader) error { return m.Wipe(ctx) })
}

// Count tells how many templates a module holds, and where.
func (w *Workshop) Count(ctx context.Context, id string) error {
	return w.module(ctx, id, func(ctx context.Context, m *fingerprint.Reader) error {
		n, err := m.Count(ctx)
		if err != nil {
			return advise(err)
		}
		slots, err := m.Slots(ctx)
		if err != nil {
			return advise(err)
		}
		w.say("%s: 登録 %d 件、場所 %v", id, n, slots)
		return nil
	})
}

var _ drivers.Sink = (*hearing)(nil)
