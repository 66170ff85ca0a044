package broker

import (
	"strings"

	"sekimori/internal/record"
)

// kind is the last level of a topic `sekimori/1/<device>/<kind>`.
type kind string

// Directions are fixed by kind: a device writes up and ask, the hub the rest.
const (
	kindUp      kind = "up"
	kindAsk     kind = "ask"
	kindReceipt kind = "receipt"
	kindPolicy  kind = "policy"
	kindOrder   kind = "order"
	kindAnswer  kind = "answer"
)

const topicPrefix = "sekimori/1/"

// toHub are the kinds a device may publish; their index numbers lanes and the
// hub's subscriptions.
var toHub = [2]kind{kindUp, kindAsk}

// toDevice are the kinds a device may subscribe; their index numbers a
// session's subscriptions.
var toDevice = [4]kind{kindReceipt, kindPolicy, kindOrder, kindAnswer}

func topicOf(device string, k kind) string { return topicPrefix + device + "/" + string(k) }

// splitTopic takes an exact topic apart; wildcards and foreign shapes are not ok.
func splitTopic(topic string) (device string, k kind, ok bool) {
	rest, found := strings.CutPrefix(topic, topicPrefix)
	if !found {
		return "", "", false
	}
	device, last, found := strings.Cut(rest, "/")
	if !found {
		return "", "", false
	}
	if _, err := record.ParseDeviceID(device); err != nil {
		return "", "", false
	}
	return device, kind(last), true
}

// publishRight tells whether id may publish to topic, and where it then goes:
// for a device the index in toHub, for the hub the index in toDevice. [T-50]
func publishRight(id Identity, topic string) (device string, index int, ok bool) {
	device, k, ok := splitTopic(topic)
	if !ok {
		return "", 0, false
	}
	if id.Role == RoleHub {
		index, ok = indexOf(toDevice[:], k)
		return device, index, ok
	}
	index, ok = indexOf(toHub[:], k)
	return device, index, ok && device == id.Name
}

// subscribeRight tells whether id may subscribe to filter and which of its
// subscriptions that is. A device names its own four topics exactly; only the
// hub has wildcards, and only these two. [T-50]
func subscribeRight(id Identity, filter string) (index int, ok bool) {
	if id.Role == RoleHub {
		for i, k := range toHub {
			if filter == topicPrefix+"+/"+string(k) {
				return i, true
			}
		}
		return 0, false
	}
	device, k, ok := splitTopic(filter)
	if !ok || device != id.Name {
		return 0, false
	}
	return indexOf(toDevice[:], k)
}

func indexOf(kinds []kind, k kind) (int, bool) {
	for i := range kinds {
		if kinds[i] == k {
			return i, true
		}
	}
	return 0, false
}
