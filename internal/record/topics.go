package record

import (
	"fmt"
	"strings"
)

// Channel is the last element of a topic.
type Channel string

const (
	ChannelUp      Channel = "up"      // device → hub: Batch.Encode
	ChannelAsk     Channel = "ask"     // device → hub: sealed Ask
	ChannelReceipt Channel = "receipt" // hub → device: sealed Receipt
	ChannelPolicy  Channel = "policy"  // hub → device: PolicyMessage, JSON
	ChannelOrder   Channel = "order"   // hub → device: sealed Order
	ChannelAnswer  Channel = "answer"  // hub → device: sealed Answer
)

// FromDevice and ToDevice list the channels of each direction.
var (
	FromDevice = []Channel{ChannelUp, ChannelAsk}
	ToDevice   = []Channel{ChannelReceipt, ChannelPolicy, ChannelOrder, ChannelAnswer}
)

const topicPrefix = "sekimori/1/"

// Topic is sekimori/1/<device>/<channel>.
func Topic(d DeviceID, c Channel) string { return topicPrefix + string(d) + "/" + string(c) }

// ParseTopic is the reverse of Topic. It accepts no wildcard and no unknown channel.
func ParseTopic(t string) (DeviceID, Channel, error) {
	rest, ok := strings.CutPrefix(t, topicPrefix)
	device, channel, found := strings.Cut(rest, "/")
	if !ok || !found {
		return "", "", fmt.Errorf("topic %q is not of the form %s<device>/<channel>", t, topicPrefix)
	}
	id, err := ParseDeviceID(device)
	if err != nil {
		return "", "", err
	}
	switch c := Channel(channel); c {
	case ChannelUp, ChannelAsk, ChannelReceipt, ChannelPolicy, ChannelOrder, ChannelAnswer:
		return id, c, nil
	}
	return "", "", fmt.Errorf("topic %q has no known channel", t)
}

// HubFilter subscribes the hub to one channel of all devices.
func HubFilter(c Channel) string { return topicPrefix + "+/" + string(c) }
