package broker_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/hub/internal/broker"
	"sekimori/hub/internal/broker/brokertest"
)

// A storm of hostile packets, from a valid device and from strangers, at the
// child process as it runs in the hub: the process lives on, its memory stays
// bounded, and a good device's round trips go on throughout. [T-50]
func TestStorm(t *testing.T) {
	n := 50_000
	if s := os.Getenv("SEKIMORI_FUZZ_PACKETS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("SEKIMORI_FUZZ_PACKETS: %v", err)
		}
	}
	ca := brokertest.NewCA(t)
	cfg := childConfig(t, ca)
	logins := stormLogins(t, ca)
	for _, l := range logins {
		cfg.Allow = append(cfg.Allow, l.ID)
	}
	// The limits that would end the storm early are out of the way: it is to
	// reach the decoder.
	cfg.Limits = broker.Limits{ViolationBurst: 1 << 30, MaxUnauthAddr: 1_000, ControlRate: 1 << 20, ControlBurst: 1 << 20}
	v := supervise(t, cfg)
	addr := await(t, v.ready, "child")
	pid := childPID(t)
	good := stormPair(t, ca, addr)

	done := make(chan brokertest.StormReport, 1)
	go func() {
		done <- brokertest.Storm(context.Background(), brokertest.StormConfig{
			Addr: addr, Logins: logins, Seed: 20260401, Packets: n, Conns: 8, Slow: 16,
		})
	}()
	seen := map[broker.Kind]int{}
	trips, slowest := 0, time.Duration(0)
	for {
		slowest = max(slowest, good.roundTrip())
		trips++
		select {
		case r := <-done:
			good.roundTrip()
			rss := peakRSS(t, pid)
			t.Logf("%d packets on %d connections (%d refused); %d round trips beside them, slowest %s; child's peak RSS %d MiB",
				r.Packets, r.Conns, r.Refused, trips, slowest, rss>>20)
			if r.Packets < n {
				t.Errorf("only %d packets of %d", r.Packets, n)
			}
			// What the decoder is there to refuse was refused by it.
			for _, kind := range []broker.Kind{broker.KindMalformedPacket, broker.KindOversizedPacket, broker.KindWrongTopic,
				broker.KindForbiddenFeature, broker.KindPlainTCP, broker.KindNoCertificate, broker.KindForeignCertificate} {
				if seen[kind] == 0 {
					t.Errorf("no finding %s in %v", kind, seen)
				}
			}
			if rss > 192<<20 {
				t.Errorf("child grew to %d MiB", rss>>20)
			}
			if childPID(t) != pid {
				t.Error("the child was replaced")
			}
			return
		case f := <-v.findings:
			seen[f.Kind] += f.Count
		case err := <-v.exits:
			t.Fatalf("the child ended: %v", err)
		default:
		}
	}
}

// stormLogins are eight devices of ours that went bad, and some strangers, who
// share a name, for each of them.
func stormLogins(t *testing.T, ca *brokertest.CA) []brokertest.Login {
	t.Helper()
	foreign := brokertest.NewCA(t).Device(t, "DC-40")
	var logins []brokertest.Login
	for i := range 8 {
		id := fmt.Sprintf("DC-4%d", i)
		bad := ca.Device(t, id)
		logins = append(logins, brokertest.Login{ID: id, TLS: ca.ClientTLS(&bad)})
	}
	logins = append(logins, logins...)
	for i := range 8 {
		logins = append(logins, []brokertest.Login{
			{ID: "DC-40", TLS: ca.ClientTLS(&foreign)}, {ID: "DC-41", TLS: ca.ClientTLS(nil)}, {ID: "DC-42"},
		}[i%3])
	}
	return logins
}

// stormPair is a good device and the hub at a child's address.
func stormPair(t *testing.T, ca *brokertest.CA, addr string) *pair {
	t.Helper()
	f := &fixture{tb: t, ca: ca, addr: addr}
	return f.pair()
}

// peakRSS is the largest resident size of a process so far, in bytes.
func peakRSS(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}
