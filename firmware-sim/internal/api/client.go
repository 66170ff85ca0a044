package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"sekimori/firmware-sim/internal/problem"
	"sekimori/firmware-sim/internal/world"
)

// Client speaks to a running simulator. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// Dial makes a client for "http://127.0.0.1:PORT" or for the path of a socket.
// It does not connect yet.
func Dial(addr string) *Client {
	if strings.HasPrefix(addr, "http://") {
		return &Client{base: strings.TrimSuffix(addr, "/"), http: &http.Client{}}
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", addr)
	}
	return &Client{base: "http://sim", http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ErrNotRunning: nothing answers at the address.
var ErrNotRunning = errors.New("no sekimori-sim answers")

// Get reads path into a value. A refusal is a *problem.Error.
func (c *Client) Get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

// Post sends an act.
func (c *Client) Post(ctx context.Context, path string, in any) (Done, error) {
	var d Done
	err := c.do(ctx, http.MethodPost, path, in, &d)
	return d, err
}

// State looks at everything.
func (c *Client) State(ctx context.Context) (world.State, error) {
	var s world.State
	err := c.Get(ctx, "/v1/state", &s)
	return s, err
}

// Timeline reads a door's story after an event.
func (c *Client) Timeline(ctx context.Context, door string, after uint64) (world.Timeline, error) {
	var t world.Timeline
	err := c.Get(ctx, fmt.Sprintf("/v1/doors/%s/timeline?after=%d", url.PathEscape(door), after), &t)
	return t, err
}

// Wait asks for /v1/wait with the query.
func (c *Client) Wait(ctx context.Context, query url.Values) (world.State, error) {
	var s world.State
	err := c.Get(ctx, "/v1/wait?"+query.Encode(), &s)
	return s, err
}

// Reader is the path of an act at a reader.
func Reader(id, act string) string { return "/v1/readers/" + url.PathEscape(id) + "/" + act }

// Door is the path of an act on a door.
func Door(id, act string) string { return "/v1/doors/" + url.PathEscape(id) + "/" + act }

func (c *Client) do(ctx context.Context, method, path string, in, into any) error {
	var send io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("make the request: %w", err)
		}
		send = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, send)
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var f failure
		if err := json.Unmarshal(data, &f); err != nil || f.Error == nil {
			return fmt.Errorf("the simulator answered %s", res.Status)
		}
		return f.Error
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("understand the answer: %w", err)
	}
	return nil
}

// Refused tells whether err is a refusal with the code.
func Refused(err error, code string) bool {
	var p *problem.Error
	return errors.As(err, &p) && p.Code == code
}
