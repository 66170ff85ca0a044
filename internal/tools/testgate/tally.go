package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// addTally adds one run to the file, a JSON object a line.
func addTally(file string, c counts) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("write the tally: %w", err)
	}
	return errors.Join(json.NewEncoder(f).Encode(c), f.Close())
}

// printSum prints a line for each run, and last the sum: "N passed, N failed, N skipped".
func printSum(out io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("no run has left its numbers: %w", err)
	}
	defer f.Close()
	var all counts
	for d := json.NewDecoder(f); ; {
		var c counts
		if err := d.Decode(&c); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("read the tally: %w", err)
		}
		fmt.Fprintf(out, "%-10s %6d passed %4d failed %4d skipped %8.1fs\n", c.Label, c.Passed, c.Failed, c.Skipped, c.Seconds)
		all.Passed, all.Failed, all.Skipped = all.Passed+c.Passed, all.Failed+c.Failed, all.Skipped+c.Skipped
	}
	fmt.Fprintln(out, all)
	return nil
}
