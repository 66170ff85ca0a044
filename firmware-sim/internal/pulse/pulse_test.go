package pulse_test

import (
	"strings"
	"testing"
	"time"

	"sekimori/firmware-sim/internal/cards"
	"sekimori/firmware-sim/internal/pulse"
)

// decode reads a train back as a plain observer would: falling edges in order.
func decode(edges []pulse.Edge) string {
	var s strings.Builder
	for _, e := range edges {
		if e.Level {
			continue
		}
		if e.One {
			s.WriteByte('1')
		} else {
			s.WriteByte('0')
		}
	}
	return s.String()
}

func mustBits(t *testing.T, s string) cards.Bits {
	t.Helper()
	b, err := cards.ParseBits(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTrains(t *testing.T) {
	card := mustBits(t, "26:06181cc0")
	const bits = "00000110000110000001110011"
	for _, c := range []struct {
		name  string
		train []pulse.Edge
		want  string
	}{
		{"card", pulse.Card(card, pulse.Default, pulse.None), bits},
		{"short", pulse.Card(card, pulse.Default, pulse.Short), bits[:23]},
		{"parity", pulse.Card(card, pulse.Default, pulse.Parity), bits[:25] + "0"},
		{"glitch", pulse.Card(card, pulse.Default, pulse.Glitch), bits[:14] + bits[13:]},
		{"key 5, four bits", pulse.Key('5', pulse.Burst4, pulse.Default), "0101"},
		{"key *, four bits", pulse.Key('*', pulse.Burst4, pulse.Default), "1010"},
		{"key #, four bits", pulse.Key('#', pulse.Burst4, pulse.Default), "1011"},
		{"key 1, eight bits", pulse.Key('1', pulse.Burst8, pulse.Default), "11100001"},
		{"key 0, eight bits", pulse.Key('0', pulse.Burst8, pulse.Default), "11110000"},
	} {
		if got := decode(c.train); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTiming(t *testing.T) {
	card := mustBits(t, "37:0000000000")
	train := pulse.Card(card, pulse.Default, pulse.None)
	if len(train) != 74 {
		t.Fatalf("%d edges", len(train))
	}
	for i := 0; i < len(train); i += 2 {
		if train[i].After != time.Duration(i/2)*2*time.Millisecond || train[i+1].After-train[i].After != 50*time.Microsecond {
			t.Fatalf("bit %d: %+v %+v", i/2, train[i], train[i+1])
		}
	}
	var low [2]bool
	both := false
	for _, e := range pulse.Card(card, pulse.Default, pulse.Overlap) {
		i := 0
		if e.One {
			i = 1
		}
		low[i] = !e.Level
		both = both || (low[0] && low[1])
	}
	if !both || low[0] || low[1] {
		t.Error("overlap must hold both lines low once, and let both go")
	}
}

func TestCheck(t *testing.T) {
	if err := pulse.Default.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []pulse.Timing{
		{},
		{Width: time.Millisecond, Interval: 2 * time.Millisecond, KeyGap: time.Second},
		{Width: 50 * time.Microsecond, Interval: 100 * time.Microsecond, KeyGap: time.Second},
		{Width: 50 * time.Microsecond, Interval: 20 * time.Millisecond, KeyGap: time.Millisecond},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}
