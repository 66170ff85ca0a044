package console_test

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sekimori/hub/internal/wareki"
)

func fiscalYear(t time.Time) string { return strconv.Itoa(wareki.FiscalYear(t)) }

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

var totalOf = regexp.MustCompile(`data-total>(\d+)<`)

// total is how many rows a list says it has.
func total(body string) int {
	m := totalOf.FindStringSubmatch(body)
	if m == nil {
		return -1
	}
	return atoi(m[1])
}

// events is an open event stream.
type events struct {
	lines *bufio.Scanner
	end   context.CancelFunc
}

type sse struct{ name, id, data string }

func (b *browser) stream(t *testing.T, path, last string) *events {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+b.w.addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s %s", path, resp.Status, resp.Header.Get("Content-Type"))
	}
	s := bufio.NewScanner(resp.Body)
	s.Buffer(nil, 1<<20)
	return &events{s, cancel}
}

// read is the next event; false when the stream has ended.
func (e *events) read() (sse, bool) {
	var got sse
	for e.lines.Scan() {
		name, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch name {
		case "event":
			got.name = value
		case "id":
			got.id = value
		case "data":
			got.data += value + "\n"
		case "":
			if got.name != "" {
				return got, true
			}
		}
	}
	return got, false
}

// next is the next event of a name.
func (e *events) next(t *testing.T, name string) sse {
	t.Helper()
	for {
		got, ok := e.read()
		if !ok {
			t.Fatalf("the stream ended before %q: %v", name, e.lines.Err())
		}
		if got.name == name {
			return got
		}
	}
}
