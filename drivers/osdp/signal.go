package osdp

import "sekimori/drivers"

// shown is how long a lamp may show a signal without a new one, ×100 ms: the
// reader itself goes back to red when the controller has died.
const shown = 300

var steadyRed = Blink{On: 1, OnColor: Red, OffColor: Red}

// lamp sets lamp 0 of reader 0: for good, and for a while unless temp is nil.
func lamp(permanent Blink, temp *Blink, for100ms uint16) LED {
	l := Lamp{TempControl: 1, PermControl: 1, Perm: permanent}
	if temp != nil {
		l.TempControl, l.Temp, l.For = 2, *temp, for100ms
	}
	return LED{Lamps: []Lamp{l}}
}

func lampOf(s drivers.Signal) LED {
	switch s {
	case drivers.SignalGranted:
		return lamp(steadyRed, &Blink{On: 1, OnColor: Green, OffColor: Green}, shown)
	case drivers.SignalDenied:
		return lamp(steadyRed, &Blink{On: 2, Off: 2, OnColor: Red, OffColor: Black}, 15)
	case drivers.SignalAskMore:
		return lamp(steadyRed, &Blink{On: 1, OnColor: Amber, OffColor: Amber}, shown)
	}
	return lamp(steadyRed, nil, 0)
}

func soundOf(s drivers.Signal) Buz {
	if s == drivers.SignalGranted {
		return Buz{Tone: 2, On: 1, Off: 1, Count: 1}
	}
	return Buz{Tone: 2, On: 10, Off: 1, Count: 1}
}
