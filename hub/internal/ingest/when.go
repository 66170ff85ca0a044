package ingest

import (
	"time"

	"sekimori/internal/record"
)

// Before this no sekimori was installed, and after the other no time.Time can
// be kept everywhere it must go. Clocks outside are broken, whatever they say
// of themselves.
var (
	earliest = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ahead is how far an unconfirmed clock may run before the hub's.
const ahead = 24 * time.Hour

// when is the effective time of an event [T-38, T-39]: what a confirmed clock
// said; otherwise what the device's later knowledge of that boot says (推定);
// otherwise what the clock said, with its own quality. A reading that cannot
// be is replaced by the time of receipt and stays 未同期; the event keeps what
// the device said.
func when(e record.Event, dating []record.BootClock, received time.Time) (time.Time, record.TimeQuality) {
	at, quality := e.Wall.UTC(), e.Quality
	switch quality {
	case record.TimeSynced:
	case record.TimeEstimated, record.TimeUnsynced:
		for _, d := range dating {
			if d.Boot == e.Boot && inRange(d.Zero) {
				at, quality = d.Zero.Add(e.Mono).UTC(), record.TimeEstimated
				break
			}
		}
	default:
		quality = record.TimeUnsynced
	}
	if !inRange(at) || quality != record.TimeSynced && at.After(received.Add(ahead)) {
		return received, record.TimeUnsynced
	}
	return at, quality
}

func inRange(t time.Time) bool { return t.After(earliest) && t.Before(latest) }
