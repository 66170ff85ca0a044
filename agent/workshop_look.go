package agent

import (
	"context"
	"fmt"
	"io"
	"time"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/drivers/osdp"
)

// ListPorts shows the serial ports of this computer and the names by which they
// survive re-plugging.
func ListPorts(out io.Writer) error {
	ports, err := line.List()
	if err != nil {
		return err
	}
	if len(ports) == 0 {
		fmt.Fprintln(out, "シリアルポートはありません (no serial ports)。")
		return nil
	}
	rows := [][]string{{"ポート", "設定に書く名前", "USB シリアル番号", "製品"}}
	for _, p := range ports {
		rows = append(rows, []string{p.Path, p.Pin, p.Serial, p.Description})
	}
	return columns(out, rows)
}

// List shows the readers of the settings and how far each is believed.
func (w *Workshop) List() error {
	rows := [][]string{{"読取装置", "扉", "向き", "種類", "認証", "見せるもの", "つなぎ先"}}
	for _, d := range w.settings.Doors {
		for _, r := range d.Readers {
			rows = append(rows, []string{r.ID, d.ID, sideWords[r.Direction], r.Driver, w.trustOf(r), proofWords[r.proof()], w.placeOf(r)})
		}
	}
	return columns(w.out, rows)
}

func (w *Workshop) placeOf(r ReaderSettings) string {
	name, baud := w.port(r)
	switch r.Driver {
	case driverWiegand:
		return r.D0 + "/" + r.D1
	case driverOSDP:
		return fmt.Sprintf("%s %d 番地%d", name, baud, r.Address)
	}
	return fmt.Sprintf("%s %d", name, baud)
}

func (w *Workshop) trustOf(r ReaderSettings) string {
	if !r.secure() {
		return "なし"
	}
	var err error
	if r.Driver == driverOSDP {
		_, err = r.osdp(w.ring)
	} else {
		_, err = r.fingerprint(w.ring)
	}
	if err != nil {
		return "鍵がない(commission が要る)"
	}
	return "あり"
}

// Blink makes the reader that one is looking for show itself for a minute, or
// until ctx ends.
func (w *Workshop) Blink(ctx context.Context, id string) error {
	r, err := w.looking(id)
	if err != nil {
		return err
	}
	if r.Driver == driverPN532 {
		return told{fmt.Errorf("%s: a PN532 has no lamp", id), "PN532 にはランプもブザーもないので、光らせて探すことはできません。"}
	}
	return w.with(ctx, r, &hearing{}, online, func(ctx context.Context, j job) error {
		w.say("%s を 1 分間光らせます(Ctrl+C で終わり)。", id)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if j.bus != nil {
			return blinkOSDP(ctx, j.bus, id)
		}
		for on := true; ; on = !on {
			j.driver.Show(map[bool]drivers.Signal{true: drivers.SignalAskMore, false: drivers.SignalIdle}[on])
			if pause(ctx, 700*time.Millisecond) != nil {
				j.driver.Show(drivers.SignalIdle)
				return nil
			}
		}
	})
}

func blinkOSDP(ctx context.Context, bus *osdp.Bus, id string) error {
	r, err := bus.Reader(id)
	if err != nil {
		return err
	}
	if err := r.Blink(ctx, true); err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return r.Blink(last, false)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Quality measures the line to a reader for a time: errors per thousand, and
// where the reader is polled the reply times.
func (w *Workshop) Quality(ctx context.Context, id string, lasts time.Duration) error {
	r, err := w.looking(id)
	if err != nil {
		return err
	}
	return w.with(ctx, r, &hearing{}, online, func(ctx context.Context, j job) error {
		w.say("%s の線を %v 測ります(Ctrl+C で途中まで)。", id, lasts)
		before, _ := j.now()
		var measured *osdp.Reader
		if j.bus != nil {
			if measured, err = j.bus.Reader(id); err != nil {
				return err
			}
			measured.ResetQuality()
		}
		_ = pause(ctx, lasts)
		after, _ := j.now()
		if measured != nil {
			w.say("%v", measured.Quality())
		} else {
			w.say("%s", figures(before, after))
		}
		return nil
	})
}

// figures are the counters of a driver between two moments.
func figures(before, after drivers.Health) string {
	frames, noise, retries := after.Frames-before.Frames, after.Noise-before.Noise, after.Retries-before.Retries
	rate := 0.0
	if total := frames + noise; total > 0 {
		rate = 1000 * float64(noise+retries) / float64(total)
	}
	return fmt.Sprintf("電文 %d · 誤り %.1f/1000 (破損 %d 再送 %d)", frames, rate, noise, retries)
}

// Watch shows what a reader says, in words, until ctx ends; all shows the polls
// with nothing to report too. Card numbers and typed keys are not shown.
func (w *Workshop) Watch(ctx context.Context, id string, all bool) error {
	r, err := w.looking(id)
	if err != nil {
		return err
	}
	h := &hearing{
		reading: func(r drivers.Reading) { w.say("%s %s", stamp(), ReadingWords(r)) },
	}
	var last string
	h.change = func(now drivers.Health) {
		if text := HealthWords(now); text != last {
			last = text
			w.say("%s %s", stamp(), text)
		}
	}
	return w.with(ctx, r, h, straightaway, func(ctx context.Context, j job) error {
		if j.bus != nil {
			defer j.bus.Tap(func(t osdp.Trace) {
				if all || !routine(t.Frame) {
					w.say("%v", t)
				}
			})()
		}
		<-ctx.Done()
		return nil
	})
}

// routine tells a question with nothing in it and its answer.
func routine(f osdp.Frame) bool {
	const poll, ack = 0x60, 0x40
	return !f.Reply && f.Code == poll || f.Reply && f.Code == ack
}

func stamp() string { return time.Now().Format("15:04:05.000") }

// WatchPort listens on a port without sending anything, as beside a controller
// that is already there, and shows OSDP frames in words.
func WatchPort(ctx context.Context, out io.Writer, port string, baud int, all bool) error {
	p, err := line.Serial(port, baud)()
	if err != nil {
		return fmt.Errorf("%w: %w", errHardware, err)
	}
	defer p.Close()
	defer context.AfterFunc(ctx, func() { p.Close() })()
	if err := p.SetReadTimeout(line.NoTimeout); err != nil {
		return err
	}
	var scan osdp.Scanner
	var buf [256]byte
	for {
		n, err := p.Read(buf[:])
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		scan.Feed(buf[:n])
		for f, ok := scan.Next(); ok; f, ok = scan.Next() {
			if all || !routine(f) {
				fmt.Fprintln(out, osdp.Trace{At: time.Now(), Sent: !f.Reply, Frame: f, Text: frameWords(f)})
			}
		}
	}
}

// frameWords is a frame of somebody else's conversation in words.
func frameWords(f osdp.Frame) string {
	if f.Secure() {
		return fmt.Sprintf("%02X 暗号の中は見えません", f.Code)
	}
	if f.Reply {
		if r, err := osdp.ParseReply(f.Code, f.Data); err == nil {
			return osdp.ReplyWords(r)
		}
	} else if c, err := osdp.ParseCommand(f.Code, f.Data); err == nil {
		return osdp.CommandWords(c)
	}
	return fmt.Sprint(f)
}
