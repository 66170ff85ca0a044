package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// loadgen is the process of the bench's devices.
type loadgen struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	faults bytes.Buffer
	asked  bool // the first measurement begins by itself
}

// startLoadgen starts one of its commands with enrolment codes.
func (b *bench) startLoadgen(ctx context.Context, codes, command string, args ...string) (*loadgen, error) {
	args = append([]string{command, "-https", b.town.https, "-mqtt", b.town.mqtt, "-dir", b.town.dir}, args...)
	g := &loadgen{cmd: exec.CommandContext(ctx, filepath.Join(b.tools, "loadgen"), args...)}
	g.cmd.Stderr = &g.faults
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if g.in, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	g.out = json.NewDecoder(out)
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = io.WriteString(g.in, codes+"\n")
	return g, err
}

// next reads the next result, having asked for it.
func (g *loadgen) next(into any) error {
	if g.asked {
		if _, err := io.WriteString(g.in, "next\n"); err != nil {
			return fmt.Errorf("loadgen: %w", err)
		}
	}
	g.asked = true
	if err := g.out.Decode(into); err != nil {
		return fmt.Errorf("loadgen: no result: %w", err)
	}
	return nil
}

// end waits for the process, which an error has ended or the last result.
func (g *loadgen) end() error {
	if err := g.in.Close(); err != nil {
		return err
	}
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("loadgen: %w: %s", err, &g.faults)
	}
	return nil
}
