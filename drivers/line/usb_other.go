//go:build !linux && !windows

package line

import "go.bug.st/serial"

// listOS knows paths only: what an adapter says of itself cannot be asked here
// without C.
func listOS() ([]PortInfo, error) {
	paths, err := serial.GetPortsList()
	if err != nil {
		return nil, err
	}
	var ports []PortInfo
	for _, p := range paths {
		ports = append(ports, PortInfo{Path: p})
	}
	return ports, nil
}
