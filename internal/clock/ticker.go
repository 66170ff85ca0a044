package clock

import (
	"context"
	"time"
)

// Every calls f each period until ctx ends. A late call does not make the next
// one come sooner, so a jump of the clock causes one call and not a burst.
func Every(ctx context.Context, period time.Duration, f func()) {
	t := NewTimer(period)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f()
			t.Reset(period)
		}
	}
}
