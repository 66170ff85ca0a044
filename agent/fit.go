package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"sekimori/agent/internal/keyring"
	"sekimori/drivers"
	"sekimori/drivers/fingerprint"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
	"sekimori/drivers/pn532"
	"sekimori/drivers/wiegand"
	"sekimori/internal/record"
)

// fitted is one reader of the settings, made. What it is besides a
// drivers.Reader is for an installer's acts.
type fitted struct {
	settings ReaderSettings
	driver   drivers.Reader
	bus      *osdp.Bus           // of an OSDP reader that has what it needs
	module   *fingerprint.Reader // of a fingerprint module that has what it needs
}

// fitting is every reader by its ID.
type fitting map[string]*fitted

func (s Settings) ring() keyring.Ring {
	return keyring.Open(filepath.Join(filepath.Clean(s.State), "keys"), record.DeviceID(s.Device))
}

// fit makes every reader by its driver; it opens no port. The switch is the
// whole list of drivers a settings file can name.
func (s Settings) fit(lines drivers.Lines, ring keyring.Ring, log *slog.Logger) (fitting, error) {
	made := fitting{}
	onBus := map[string][]osdp.ReaderConfig{}
	for _, d := range s.Doors {
		for _, r := range d.Readers {
			f := &fitted{settings: r}
			made[r.ID] = f
			var err error
			switch r.Driver {
			case driverWiegand:
				f.driver, err = r.wiegand(lines)
			case driverOSDP:
				var c osdp.ReaderConfig
				if c, err = r.osdp(ring); err == nil {
					onBus[r.Bus] = append(onBus[r.Bus], c)
				}
			case driverPN532:
				f.driver, err = r.pn532(ring)
			case driverFingerprint:
				if f.module, err = r.fingerprint(ring); err == nil {
					f.driver = f.module
				}
			}
			var without *uncommissioned
			if errors.As(err, &without) {
				log.Error("reader not served", "reader", r.ID, "err", err)
				f.driver, err = without, nil
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return made, s.buses(made, onBus, log)
}

// buses makes the buses that have a reader to talk to.
func (s Settings) buses(made fitting, onBus map[string][]osdp.ReaderConfig, log *slog.Logger) error {
	for _, b := range s.Buses {
		readers := onBus[b.ID]
		if len(readers) == 0 {
			continue
		}
		bus, err := osdp.NewBus(osdp.Config{Baud: b.Baud, Readers: readers, Log: log}, line.Serial(b.Port, b.Baud))
		if err != nil {
			return fmt.Errorf("bus %s: %w", b.ID, err)
		}
		for i, driver := range bus.Readers() {
			f := made[readers[i].Reader]
			f.driver, f.bus = driver, bus
		}
	}
	return nil
}

func (r ReaderSettings) wiegand(lines drivers.Lines) (drivers.Reader, error) {
	rules, _, err := r.rules()
	if err != nil {
		return nil, err
	}
	low := func(name string) bool { return slices.Contains(r.ActiveLow, name) }
	return wiegand.New(wiegand.Config{
		Reader: r.ID, D0: r.D0, D1: r.D1, Tamper: r.Tamper, LED: r.LED, Buzzer: r.Buzzer, Hold: r.Hold,
		TamperActiveLow: low("tamper"), LEDActiveLow: low("led"), BuzzerActiveLow: low("buzzer"), HoldActiveLow: low("hold"),
		KeyGap: r.KeyGap.D(), Rules: rules,
	}, lines)
}

func (r ReaderSettings) osdp(ring keyring.Ring) (osdp.ReaderConfig, error) {
	c := osdp.ReaderConfig{Reader: r.ID, Address: byte(r.Address), Checksum: r.Checksum, Biometric: r.Biometric}
	if !r.secure() {
		return c, nil
	}
	secret, err := r.secret(ring, keyring.UseOSDP)
	if err != nil {
		return c, err
	}
	key := osdp.Key(secret)
	c.Key = &key
	return c, nil
}

func (r ReaderSettings) pn532(ring keyring.Ring) (drivers.Reader, error) {
	c := pn532.Config{Reader: r.ID, Form: r.form()}
	if r.proof() == record.ProofCryptographic {
		secret, err := r.secret(ring, keyring.UseCards)
		if err != nil {
			return nil, err
		}
		key, err := pn532.ParseSiteKey(hex.EncodeToString(secret))
		if err != nil {
			return nil, err
		}
		c.Proof = r.CardKey.proof(key)
	}
	return pn532.New(c, line.Serial(r.Port, r.baud()))
}

func (r ReaderSettings) fingerprint(ring keyring.Ring) (*fingerprint.Reader, error) {
	c := fingerprint.Config{Reader: r.ID, Address: r.Address, SecurityLevel: byte(r.Level)}
	if r.secure() {
		secret, err := r.secret(ring, keyring.UseFingerprint)
		if err != nil {
			return nil, err
		}
		password, err := modulePassword(secret)
		if err != nil {
			return nil, err
		}
		c.Password = &password
	}
	return fingerprint.New(c, line.Serial(r.Port, r.baud()))
}

func (r ReaderSettings) baud() int {
	switch {
	case r.Baud != 0:
		return r.Baud
	case r.Driver == driverPN532:
		return pn532.DefaultBaud
	}
	return fingerprint.DefaultBaud
}

// secret is what the reader shares with this device; without it the reader is
// uncommissioned, whatever the reason.
func (r ReaderSettings) secret(ring keyring.Ring, use keyring.Use) (keyring.Secret, error) {
	secret, found, err := ring.Get(record.ReaderID(r.ID), use)
	switch {
	case err != nil:
		return nil, &uncommissioned{r.ID, err.Error()}
	case !found && use == keyring.UseCards:
		return nil, &uncommissioned{r.ID, "proof is demanded of its cards and there is no key for it: sekimori-agent readers card-key " + r.ID}
	case !found:
		return nil, &uncommissioned{r.ID, "its link is to be secure and it was never commissioned: sekimori-agent readers commission " + r.ID}
	}
	return secret, nil
}

// uncommissioned stands in the place of a reader that must not be talked to yet:
// one whose key this device does not have. It hears nothing, asks nothing, and
// says why; the rest of the door is served [T-22].
type uncommissioned struct{ reader, why string }

func (u *uncommissioned) Error() string { return fmt.Sprintf("reader %s: %s", u.reader, u.why) }

// Sentence is for the person at the terminal.
func (u *uncommissioned) Sentence() string {
	return "この機器は " + u.reader + " の鍵を持っていないので、話しません。据付なら sekimori-agent readers commission " + u.reader + " で鍵を渡してください(カードの鍵は card-key)。"
}

// Run implements drivers.Reader.
func (u *uncommissioned) Run(ctx context.Context, sink drivers.Sink) error {
	sink.Health(drivers.Health{Reader: u.reader, Detail: u.why})
	<-ctx.Done()
	return nil
}

// Show implements drivers.Reader.
func (*uncommissioned) Show(drivers.Signal) {}
