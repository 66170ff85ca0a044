package people

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// Start is an instant something begins: "2026-04-01" is its first moment in
// JST, "2026-04-01T09:00+09:00" is exact.
type Start struct{ time.Time }

// End is the instant something is over, exclusive: "2026-06-30" is the end of
// that day, as people write a last day; "2026-07-01T00:00+09:00" is exact.
type End struct{ time.Time }

// UnmarshalText reads a day or an instant.
func (s *Start) UnmarshalText(b []byte) error { return s.read(string(b), 0) }

// UnmarshalText reads a last day or an instant.
func (e *End) UnmarshalText(b []byte) error {
	var s Start
	if err := s.read(string(b), 1); err != nil {
		return err
	}
	e.Time = s.Time
	return nil
}

func (s *Start) read(text string, days int) error {
	if t, err := time.ParseInLocation(time.DateOnly, text, clock.JST); err == nil {
		s.Time = t.AddDate(0, 0, days)
		return nil
	}
	for _, form := range []string{"2006-01-02T15:04Z07:00", time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			s.Time = t.In(clock.JST)
			return nil
		}
	}
	return errors.New("日付は 2026-04-01、日時は 2026-04-01T09:00+09:00 と書きます / write a day as 2026-04-01, an instant as 2026-04-01T09:00+09:00")
}

// Day is a day in JST.
type Day record.Date

// UnmarshalText reads "2026-06-15".
func (d *Day) UnmarshalText(b []byte) error {
	if _, err := time.Parse(time.DateOnly, string(b)); err != nil {
		return errors.New("日付は 2026-06-15 と書きます / write a day as 2026-06-15")
	}
	*d = Day(b)
	return nil
}

// dayOf is the day in JST that t lies in.
func dayOf(t time.Time) Day { return Day(t.In(clock.JST).Format(time.DateOnly)) }

// next is the day after d; d is well-formed.
func (d Day) next() Day {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return ""
	}
	return Day(t.AddDate(0, 0, 1).Format(time.DateOnly))
}

// Hours is a span of a day, "9:00-17:00"; it ends before its end and may not
// cross midnight.
type Hours record.Span

// UnmarshalText reads "9:00-17:00".
func (h *Hours) UnmarshalText(b []byte) error {
	from, to, ok := strings.Cut(string(b), "-")
	start, err1 := minutes(from)
	end, err2 := minutes(to)
	if !ok || err1 != nil || err2 != nil || start >= end {
		return errors.New("時間帯は 9:00-17:00 のように、0:00 から 24:00 の間で書きます / write hours as 9:00-17:00, between 0:00 and 24:00")
	}
	*h = Hours{From: start, To: end}
	return nil
}

// MarshalText is what UnmarshalText reads.
func (h Hours) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%d:%02d-%d:%02d", h.From/60, h.From%60, h.To/60, h.To%60), nil
}

var timeOfDay = regexp.MustCompile(`^([0-9]{1,2}):([0-5][0-9])$`)

func minutes(s string) (int, error) {
	m := timeOfDay.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("time %q", s)
	}
	hour, err1 := strconv.Atoi(m[1])
	minute, err2 := strconv.Atoi(m[2])
	if total := hour*60 + minute; err1 == nil && err2 == nil && total <= 24*60 {
		return total, nil
	}
	return 0, fmt.Errorf("time %q", s)
}
