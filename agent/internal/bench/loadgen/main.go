// Command loadgen is the devices of `make bench`: real agents without doors, as
// many as are wanted, in one process. It is built for measuring and is not
// installed anywhere.
//
//	loadgen load   journals ─▶ uplinks ═ MQTT ═▶ the hub under test
//	loadgen door   a card in memory ─▶ agent.Run ─▶ a relay in memory
//
// It stands below agent/internal because it is made of the agent's own parts:
// enrolment, journal, signing and uplink are those of the program at a door.
// Enrolment codes come on standard input, one "DEVICE CODE" a line, then an empty
// line. Each result goes to standard output as one line of JSON; load begins its
// next measurement when it reads another line, so that the bench can let the hub
// come to rest between them.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"sekimori/internal/record"
)

// options are the flags.
type options struct {
	https, mqtt string        // the hub under test
	dir         string        // on the disk that is measured
	ram         string        // for the journals of load's many devices, whose disks are elsewhere
	each        int           // events of the backlog of each device
	rate        int           // events a second, all devices together
	steady      time.Duration // for so long
	alone       int           // events of the one device that comes back after long
	door        string        // door of the first device
	cards       int           // to be presented there
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("loadgen load|door")
	}
	var o options
	f := flag.NewFlagSet("loadgen "+args[0], flag.ContinueOnError)
	f.StringVar(&o.https, "https", "", "hub, host:port")
	f.StringVar(&o.mqtt, "mqtt", "", "broker, host:port")
	f.StringVar(&o.dir, "dir", "", "folder on the disk that is measured")
	f.StringVar(&o.ram, "ram", "", "folder in memory")
	f.IntVar(&o.each, "each", 3000, "backlog of each device, events")
	f.IntVar(&o.rate, "rate", 1000, "steady events a second")
	f.DurationVar(&o.steady, "steady", 20*time.Second, "how long")
	f.IntVar(&o.alone, "alone", 200_000, "backlog of one device, events")
	f.StringVar(&o.door, "door", "", "door of the device")
	f.IntVar(&o.cards, "cards", 500, "cards presented")
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	codes, err := readCodes(lines)
	if err != nil {
		return err
	}
	say := json.NewEncoder(out).Encode
	switch args[0] {
	case "load":
		return load(ctx, o, codes, say, func() error {
			if !lines.Scan() {
				return errors.New("nobody wants the next measurement")
			}
			return nil
		})
	case "door":
		result, err := door(ctx, o, codes)
		if err != nil {
			return err
		}
		return say(result)
	}
	return fmt.Errorf("no command %q", args[0])
}

// issued is a device and the code it may enrol with.
type issued struct {
	device record.DeviceID
	code   string
}

func readCodes(lines *bufio.Scanner) (list []issued, err error) {
	for lines.Scan() && lines.Text() != "" {
		device, code, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			return nil, errors.New("a line of standard input is not DEVICE CODE")
		}
		list = append(list, issued{record.DeviceID(device), code})
	}
	if len(list) == 0 {
		return nil, errors.New("no device on standard input")
	}
	return list, lines.Err()
}
