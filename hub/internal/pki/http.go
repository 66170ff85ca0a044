package pki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// maxRequest bounds a request's body; a P-256 request is under 1 KiB.
const maxRequest = 16 << 10

// Requests one address may make at once, and how soon it may make one more. A
// building's devices may share an address, so a dozen boards go through.
const (
	requestBurst  = 20
	requestRefill = 3 * time.Second
)

// Gate is what the handlers ask of Members.
type Gate interface {
	Enrol(ctx context.Context, req record.EnrolRequest, remote string) (record.EnrolReply, error)
	Renew(ctx context.Context, sealed []byte) (record.EnrolReply, error)
}

// Handler serves record.PathKeyList, PathEnrol and PathRenew. list is the
// sealed key list: it is public.
func Handler(g Gate, list func() []byte, log *slog.Logger) http.Handler {
	h := &handler{gate: g, list: list, log: log, limit: newLimiter(requestBurst, requestRefill)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+record.PathKeyList, h.keys)
	mux.HandleFunc("POST "+record.PathEnrol, h.enrol)
	mux.HandleFunc("POST "+record.PathRenew, h.renew)
	return mux
}

type handler struct {
	gate  Gate
	list  func() []byte
	log   *slog.Logger
	limit *limiter
}

func (h *handler) keys(w http.ResponseWriter, _ *http.Request) {
	head(w)
	if _, err := w.Write(h.list()); err != nil {
		h.log.Debug("key list not sent", "err", err)
	}
}

func (h *handler) enrol(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r)
	if !ok {
		return
	}
	var req record.EnrolRequest
	if err := record.DecodeBody(body, &req); err != nil {
		h.problem(w, r, record.Fail(record.CodeMalformed, err))
		return
	}
	reply, err := h.gate.Enrol(r.Context(), req, remoteOf(r))
	h.answer(w, r, reply, err)
}

func (h *handler) renew(w http.ResponseWriter, r *http.Request) {
	body, ok := h.body(w, r)
	if !ok {
		return
	}
	reply, err := h.gate.Renew(r.Context(), body)
	h.answer(w, r, reply, err)
}

// body reads a request that is within its limits, or answers it.
func (h *handler) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if !h.limit.allow(remoteOf(r)) {
		w.Header().Set("Retry-After", strconv.Itoa(int(requestRefill/time.Second)))
		h.write(w, http.StatusTooManyRequests, record.Problem{Code: record.CodeEnrolCode,
			JA: "登録の要求が多すぎます。1分ほど待ってから、もう一度行ってください。",
			EN: "Too many requests. Wait about a minute and try again."})
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		h.problem(w, r, record.Fail(record.CodeMalformed, fmt.Errorf("read the request: %w", err)))
		return nil, false
	}
	return body, true
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, reply record.EnrolReply, err error) {
	if err != nil {
		h.problem(w, r, err)
		return
	}
	h.write(w, http.StatusOK, reply)
}

// statuses maps codes to HTTP; a code that is not here is a failure of ours.
var statuses = map[record.Code]int{
	record.CodeMalformed:     http.StatusBadRequest,
	record.CodeBadSignature:  http.StatusForbidden,
	record.CodeWrongDevice:   http.StatusForbidden,
	record.CodeEnrolCode:     http.StatusForbidden,
	record.CodeUnknownDevice: http.StatusForbidden,
	record.CodeReplayed:      http.StatusConflict,
	record.CodeClockStep:     http.StatusConflict,
}

func (h *handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	code := record.CodeOf(err)
	status, known := statuses[code]
	if !known {
		code, status = record.CodeStoreFailed, http.StatusServiceUnavailable
	}
	if errors.Is(err, store.ErrFull) {
		status = http.StatusInsufficientStorage
	}
	h.log.Warn("request refused", "path", r.URL.Path, "remote", remoteOf(r), "code", code, "err", err)
	h.write(w, status, record.Problem{Code: code, JA: code.Text().JA, EN: code.Text().EN})
}

func (h *handler) write(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		h.log.Error("answer not encoded", "err", err)
		status, b = http.StatusInternalServerError, nil
	}
	head(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(b); err != nil {
		h.log.Debug("answer not sent", "err", err)
	}
}

// head gives the hub's time, which is the only clock a new board has, and keeps
// replies with secrets out of caches.
func head(w http.ResponseWriter) {
	w.Header().Set("Date", clock.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Cache-Control", "no-store")
}

func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
