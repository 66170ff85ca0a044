package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"sekimori/agent/internal/files"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// ErrUnreached means that the hub did not answer at all.
var ErrUnreached = errors.New("hub not reached")

// maxReply bounds what a hub, or someone in its place, can make us read.
const maxReply = 1 << 20

// requestTimeout is generous: enrolment is done by a person who waits.
const requestTimeout = 30 * time.Second

// Enrol makes this device a member of the municipality that issued the code,
// and writes the identity into dir. The secret of the code is sent only to a
// hub that showed the root the code pins, over TLS to that root's CA. It
// returns the hub's time, which becomes the first last-known time.
//
// Errors carry record.CodeEnrolRoot (another hub), record.CodeEnrolCode
// (refused) or none (not reached).
func Enrol(ctx context.Context, dir, hub string, device record.DeviceID, code record.EnrolCode) (time.Time, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return time.Time{}, fmt.Errorf("enrol: %w", err)
	}
	root, sealed, list, err := fetchKeys(ctx, hub, code.Root)
	if err != nil {
		return time.Time{}, err
	}
	key, err := newKey()
	if err != nil {
		return time.Time{}, fmt.Errorf("make the device key: %w", err)
	}
	csr, err := request(key, device)
	if err != nil {
		return time.Time{}, err
	}
	var reply record.EnrolReply
	client := httpClient(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool(list.CA), ServerName: list.Hub, Time: issuedOrNow(list)})
	defer client.CloseIdleConnections()
	body := record.EnrolRequest{Device: device, Secret: code.Secret[:], CSR: csr}
	if err := post(ctx, client, "https://"+hub+record.PathEnrol, body, &reply); err != nil {
		return time.Time{}, err
	}
	cred, err := check(key, device, list, reply)
	if err != nil {
		return time.Time{}, fmt.Errorf("answer of the hub: %w", err)
	}
	return reply.HubTime, save(dir, key, root, sealed, reply.Certificate, cred)
}

// check looks at what the hub gave before anything depends on it.
func check(key crypto.Signer, device record.DeviceID, list record.KeyList, reply record.EnrolReply) (cred record.CredentialKey, err error) {
	if len(reply.CredentialKey) != len(cred) {
		return cred, fmt.Errorf("a credential key of %d bytes", len(reply.CredentialKey))
	}
	copy(cred[:], reply.CredentialKey)
	_, err = issued(key, device, list, reply.Certificate)
	return cred, err
}

// issuedOrNow lets a board in 1970 check the hub's certificate: the signed list
// was made at a time that has certainly passed.
func issuedOrNow(l record.KeyList) func() time.Time {
	return func() time.Time {
		if now := clock.Now(); now.After(l.Issued) {
			return now
		}
		return l.Issued
	}
}

// fetchKeys asks for the key list without trusting the connection: the list is
// worth something only if it is signed by the root whose hash was typed.
func fetchKeys(ctx context.Context, hub string, pin record.RootHash) (record.PublicKey, []byte, record.KeyList, error) {
	var root record.PublicKey
	var list record.KeyList
	client := httpClient(&tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}) // checked by the pin below
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hub+record.PathKeyList, nil)
	if err != nil {
		return root, nil, list, fmt.Errorf("hub address %q: %w", hub, err)
	}
	sealed, err := do(client, req)
	if err != nil {
		return root, nil, list, err
	}
	root, err = record.PeekRoot(sealed)
	if err != nil || record.HashRoot(root) != pin {
		return root, nil, list, record.Fail(record.CodeEnrolRoot, errors.New("the hub shows another root than the code"))
	}
	list, err = record.OpenKeyList(root, sealed)
	return root, sealed, list, err
}

func request(key crypto.Signer, device record.DeviceID) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: string(device)}}, key)
	if err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	return csr, nil
}

// save writes the certificate last and takes an old one away first: an identity
// without one is none, so whoever is interrupted is simply not enrolled.
func save(dir string, key crypto.Signer, root record.PublicKey, sealed, cert []byte, cred record.CredentialKey) error {
	id := &Identity{dir: dir}
	keyPEM, err := keyToPEM(key)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return files.Remove(id.path(certFile)) },
		func() error { return files.Write(id.path(keyFile), keyPEM) },
		func() error { return files.WriteJSON(id.path(rootFile), root) },
		func() error { return files.Write(id.path(listFile), sealed) },
		func() error { return files.Write(id.path(secretsFile), cred[:]) },
		func() error { return files.Write(id.path(certFile), cert) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("keep the identity: %w", err)
		}
	}
	return nil
}

// Renew asks for a new certificate for the same key, also after the old one has
// expired: the request is signed with the device key [T-51].
func (id *Identity) Renew(ctx context.Context, hub string, now func() time.Time) error {
	csr, err := request(id.key, id.device)
	if err != nil {
		return err
	}
	sealed, err := record.Seal(id.signer, record.TypeEnrol, record.RenewRequest{Device: id.device, CSR: csr, At: now()})
	if err != nil {
		return err
	}
	conf := id.TLS(now)
	conf.Certificates = nil // the old one may have expired; the signature inside is the proof
	client := httpClient(conf)
	defer client.CloseIdleConnections()
	var reply record.EnrolReply
	if err := post(ctx, client, "https://"+hub+record.PathRenew, json.RawMessage(sealed), &reply); err != nil {
		return err
	}
	list, err := record.OpenKeyList(id.root, reply.KeyList)
	if err != nil {
		return err
	}
	id.mu.Lock()
	newer := list.Serial > id.list.Serial
	if !newer {
		list = id.list // an older list is a replay, or from a hub that was restored
	}
	id.mu.Unlock()
	cert, err := issued(id.key, id.device, list, reply.Certificate)
	if err != nil {
		return fmt.Errorf("answer of the hub: %w", err)
	}
	if newer {
		err = files.Write(id.path(listFile), reply.KeyList)
	}
	if err == nil {
		err = files.Write(id.path(certFile), reply.Certificate)
	}
	if err != nil {
		return err
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.cert, id.list = cert, list
	return nil
}

func httpClient(conf *tls.Config) *http.Client {
	return &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true},
		// Nothing is sent where the code or the key list did not point to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func post(ctx context.Context, client *http.Client, url string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("hub address: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	reply, err := do(client, req)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(reply, into); err != nil {
		return fmt.Errorf("answer of the hub: %w", err)
	}
	return nil
}

// do returns the body of a 200, or the hub's Problem as an *record.Error.
func do(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreached, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, fmt.Errorf("answer of the hub: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return b, nil
	}
	var p record.Problem
	if json.Unmarshal(b, &p) != nil || p.Code == "" {
		return nil, fmt.Errorf("the hub answered %s", resp.Status)
	}
	return nil, record.Fail(p.Code, errors.New(p.EN))
}
