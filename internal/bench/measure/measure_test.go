package measure_test

import (
	"testing"
	"time"

	"sekimori/internal/bench/measure"
)

func TestQuantiles(t *testing.T) {
	var all measure.Times
	for n := 100; n > 0; n-- {
		all = append(all, time.Duration(n))
	}
	if got, want := all.Quantiles(), (measure.Quantiles{N: 100, P50: 50, P95: 95, P99: 99}); got != want {
		t.Errorf("of 1 to 100: %+v, want %+v", got, want)
	}
	one := measure.Times{7}
	if got, want := one.Quantiles().Minus(2), (measure.Quantiles{N: 1, P50: 5, P95: 5, P99: 5}); got != want {
		t.Errorf("of one value: %+v, want %+v", got, want)
	}
	if got := (measure.Times{}).Quantiles(); got != (measure.Quantiles{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestRulerSyncs(t *testing.T) {
	r, err := measure.NewRuler(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	q, perSecond, err := r.For(20 * time.Millisecond)
	if err != nil || q.N == 0 || q.P50 <= 0 || perSecond <= 0 {
		t.Errorf("%+v, %f a second, %v", q, perSecond, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
