package broker

import (
	"slices"

	"sekimori/internal/record"
)

// publishRight tells whether id may publish to topic, and where it then goes:
// for a device the index in record.FromDevice, for the hub that in
// record.ToDevice. [T-50]
func publishRight(id Identity, topic string) (device string, index int, ok bool) {
	to, channel, err := record.ParseTopic(topic)
	if err != nil {
		return "", 0, false
	}
	device = string(to)
	if id.Role == RoleHub {
		index = slices.Index(record.ToDevice, channel)
		return device, index, index >= 0
	}
	index = slices.Index(record.FromDevice, channel)
	return device, index, index >= 0 && device == id.Name
}

// subscribeRight tells whether id may subscribe to filter and which of its
// subscriptions that is. A device names its own four topics exactly; only the
// hub has wildcards, and only one for each channel of devices. [T-50]
func subscribeRight(id Identity, filter string) (index int, ok bool) {
	if id.Role == RoleHub {
		index = slices.IndexFunc(record.FromDevice, func(c record.Channel) bool { return filter == record.HubFilter(c) })
		return index, index >= 0
	}
	device, channel, err := record.ParseTopic(filter)
	if err != nil || string(device) != id.Name {
		return 0, false
	}
	index = slices.Index(record.ToDevice, channel)
	return index, index >= 0
}

// deviceOf is the device of a topic that publishRight has let pass.
func deviceOf(topic string) string {
	device, _, _ := record.ParseTopic(topic)
	return string(device)
}
