package settings

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time in settings: "500ms", "5s", "1h30m", "30d". The
// unit is always written, because a bare 5 is seconds to one reader and minutes
// to the next. A day is 24 hours: Japan has no daylight saving.
type Duration time.Duration

// Every is d as a setting, for defaults.
func Every(d time.Duration) Duration { return Duration(d) }

// D is the length as Go counts it.
func (d Duration) D() time.Duration { return time.Duration(d) }

// units, largest first: a length is written in this order, each at most once.
var units = []struct {
	name string
	size time.Duration
}{
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

// String is the shortest form ParseDuration reads back: "1h30m", "30d", "0s".
func (d Duration) String() string {
	rest, b := time.Duration(d), strings.Builder{}
	for _, u := range units {
		if n := rest / u.size; n != 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest -= n * u.size
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

var (
	durationForm = regexp.MustCompile(`^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$`)
	errDuration  = errors.New(`not a length of time such as "500ms", "5s", "1h30m" or "30d"`)
)

// ParseDuration reads a length of time, largest unit first, whole numbers.
func ParseDuration(s string) (Duration, error) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil || s == "" {
		return 0, fmt.Errorf("%q: %w", s, errDuration)
	}
	var sum time.Duration
	for i, digits := range m[1:] {
		if digits == "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > int64((math.MaxInt64-sum)/units[i].size) {
			return 0, fmt.Errorf("%q: longer than can be counted: %w", s, errDuration)
		}
		sum += time.Duration(n) * units[i].size
	}
	return Duration(sum), nil
}
