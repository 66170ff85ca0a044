package broker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
)

// The child process and its parent speak JSON lines. The child gets, on stdin,
// one Config and then any number of Access; the end of stdin means that the
// parent is gone, and so is the child. On stdout it says, as reports: ready
// once, findings as they come, or one failure before it exits with status 1.
// stderr is its log.

// report is one line of a child's stdout; exactly one field is set.
type report struct {
	Ready   string   `json:"ready,omitempty"` // address it listens on
	Finding *Finding `json:"finding,omitempty"`
	Failure *failure `json:"failure,omitempty"`
}

type failure struct {
	Code  string `json:"code"`
	Cause string `json:"cause"`
}

// maxLine bounds a line in either direction: an Access of a large municipality
// is some hundred KiB.
const maxLine = 8 << 20

// RunChild is the whole of the child process. It returns when stdin ends, ctx
// ends, or the broker fails; the caller exits with a non-zero status on error.
func RunChild(ctx context.Context, stdin io.Reader, stdout io.Writer, log *slog.Logger) error {
	out := &lineWriter{w: stdout}
	err := runChild(ctx, stdin, out, log)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Code: CodeChild, Cause: err}
		}
		out.write(report{Failure: &failure{Code: e.Code, Cause: e.Cause.Error()}})
	}
	return err
}

func runChild(ctx context.Context, stdin io.Reader, out *lineWriter, log *slog.Logger) error {
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, maxLine)
	if !lines.Scan() {
		return fail(CodeConfig, "no configuration on stdin: %w", errors.Join(io.ErrUnexpectedEOF, lines.Err()))
	}
	var cfg Config
	if err := json.Unmarshal(lines.Bytes(), &cfg); err != nil {
		return fail(CodeConfig, "configuration: %w", err)
	}
	srv, err := Listen(cfg, func(f Finding) { out.write(report{Finding: &f}) }, log)
	if err != nil {
		return err
	}
	out.write(report{Ready: srv.Addr()})

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// This goroutine is not waited for: a read of stdin cannot be interrupted,
	// and the process ends with RunChild.
	go func() {
		defer stop()
		takeUpdates(lines, srv, log)
	}()
	return srv.Run(ctx)
}

func takeUpdates(lines *bufio.Scanner, srv *Server, log *slog.Logger) {
	for lines.Scan() {
		var u Access
		err := json.Unmarshal(lines.Bytes(), &u)
		if err == nil {
			err = srv.Update(u)
		}
		if err != nil {
			log.Error("broker: update refused, the lists stay as they were", "err", err)
		}
	}
}

// lineWriter writes reports, one line each. A failed write means that the
// parent is gone; the end of stdin says so too.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lineWriter) write(r report) {
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(b, '\n'))
}
