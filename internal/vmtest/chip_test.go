//go:build vmtest && linux

package vmtest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chip is a chip of gpio-sim: the board's end of it is /dev/<name>, ours is two
// files for each line (Documentation/admin-guide/gpio/gpio-sim.rst).
type chip struct {
	made  string         // its folder in configfs
	label string         // what settings name: a name such as gpiochip1 may be another's next time
	name  string         // "gpiochip0", as long as it is plugged in
	wires string         // folder of the sim_gpioN folders
	lines map[string]int // line name → offset
}

const simulators = "/sys/kernel/config/gpio-sim"

// makeChip adds a chip with these named lines to the machine. label tells it
// from the others.
func makeChip(label string, names ...string) (*chip, error) {
	c := &chip{made: filepath.Join(simulators, label), label: label, lines: map[string]int{}}
	bank := c.made + "/bank0"
	if err := os.MkdirAll(bank, 0o755); err != nil {
		return nil, err
	}
	set := func(file string, value any) error {
		return os.WriteFile(filepath.Join(bank, file), fmt.Append(nil, value), 0o644)
	}
	if err := set("label", label); err != nil {
		return nil, err
	}
	if err := set("num_lines", len(names)); err != nil {
		return nil, err
	}
	for i, n := range names {
		c.lines[n] = i
		if err := os.Mkdir(fmt.Sprintf("%s/line%d", bank, i), 0o755); err != nil {
			return nil, err
		}
		if err := set(fmt.Sprintf("line%d/name", i), n); err != nil {
			return nil, err
		}
	}
	return c, c.plug(true)
}

// plug puts the chip into the machine or pulls it out, as a USB or I²C expander.
func (c *chip) plug(in bool) error {
	live := "0"
	if in {
		live = "1"
	}
	if err := os.WriteFile(c.made+"/live", []byte(live), 0o644); err != nil || !in {
		return err
	}
	device, err := os.ReadFile(c.made + "/dev_name")
	if err != nil {
		return err
	}
	name, err := os.ReadFile(c.made + "/bank0/chip_name")
	if err != nil {
		return err
	}
	c.name = strings.TrimSpace(string(name))
	c.wires = filepath.Join("/sys/devices/platform", strings.TrimSpace(string(device)), c.name)
	return nil
}

// remove takes the chip out of the machine for good.
func (c *chip) remove() error {
	err := c.plug(false)
	for _, n := range c.lines {
		err = errors.Join(err, os.Remove(fmt.Sprintf("%s/bank0/line%d", c.made, n)))
	}
	return errors.Join(err, os.Remove(c.made+"/bank0"), os.Remove(c.made))
}

func (c *chip) file(line, what string) string {
	return fmt.Sprintf("%s/sim_gpio%d/%s", c.wires, c.lines[line], what)
}

// wire is the far end of one line.
type wire struct{ pull *os.File }

func (c *chip) wire(t *testing.T, line string) wire {
	t.Helper()
	f, err := os.OpenFile(c.file(line, "pull"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return wire{f}
}

var pulls = map[bool][]byte{false: []byte("pull-down"), true: []byte("pull-up")}

// set pulls the line; the kernel has seen the edge when it returns.
func (w wire) set(high bool) error {
	_, err := w.pull.WriteAt(pulls[high], 0)
	return err
}

func (c *chip) set(t *testing.T, line string, high bool) {
	t.Helper()
	if err := os.WriteFile(c.file(line, "pull"), pulls[high], 0); err != nil {
		t.Fatal(err)
	}
}

// level is what a meter at the pin would show, whoever drives it.
func (c *chip) level(t *testing.T, line string) bool {
	t.Helper()
	b, err := os.ReadFile(c.file(line, "value"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b)) == "1"
}
