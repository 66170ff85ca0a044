package line

import (
	"slices"
	"strings"

	"go.bug.st/serial/enumerator"
)

func listOS() ([]PortInfo, error) {
	found, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, err
	}
	var ports []PortInfo
	for _, f := range found {
		p := PortInfo{Path: f.Name, Description: strings.TrimSpace(f.Manufacturer + " " + f.Product)}
		if f.IsUSB {
			p.Vendor, p.Product, p.Serial = strings.ToLower(f.VID), strings.ToLower(f.PID), strings.TrimSpace(f.SerialNumber)
		}
		ports = append(ports, p)
	}
	unletter(ports)
	slices.SortFunc(ports, func(a, b PortInfo) int { return strings.Compare(a.Path, b.Path) })
	return ports, nil
}
