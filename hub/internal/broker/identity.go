package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"sekimori/internal/record"
)

// Role is the organisational unit of a client certificate.
type Role string

// The two roles. A device whose name is "hub" is still a device.
const (
	RoleHub    Role = "hub"
	RoleDevice Role = "device"
)

// HubName is the common name, and so the client id, of the hub's certificate.
const HubName = "hub"

// Identity is who a connection is, from its certificate alone [T-50].
type Identity struct {
	Role Role
	Name string
}

// String is the name as findings and logs show it.
func (i Identity) String() string { return i.Name }

// refusal is why a handshake or a packet was refused, as a finding.
type refusal struct {
	kind Kind
	err  error
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: %v", r.kind, r.err) }
func (r *refusal) Unwrap() error { return r.err }

func refuse(kind Kind, format string, args ...any) *refusal {
	return &refusal{kind: kind, err: fmt.Errorf(format, args...)}
}

// chain verifies a client's certificates within the TLS handshake, so that a
// stranger gets no further than that. An expired certificate of ours passes:
// it is refused by identify, when the client has proven that it holds the key
// and the finding can name it. [T-50] [T-51]
func (a *access) chain(cs tls.ConnectionState, now time.Time) error {
	if len(cs.PeerCertificates) == 0 {
		return refuse(KindNoCertificate, "client presented no certificate")
	}
	leaf := cs.PeerCertificates[0]
	err := a.verify(cs, now)
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		err = a.verify(cs, leaf.NotAfter)
	}
	if err != nil {
		return refuse(KindForeignCertificate, "certificate that calls itself %.64q: %w", leaf.Subject.CommonName, err)
	}
	if _, err := nameOf(leaf); err != nil {
		return &refusal{kind: KindForeignCertificate, err: err}
	}
	return nil
}

// identify names a client after the handshake and tells whether it may come in:
// the identity is proven, even if there is a refusal.
func (a *access) identify(cs tls.ConnectionState, now time.Time) (Identity, *refusal) {
	leaf := cs.PeerCertificates[0] // chain saw to it
	id, err := nameOf(leaf)
	if err != nil {
		return Identity{}, &refusal{kind: KindForeignCertificate, err: err}
	}
	if err := a.verify(cs, now); err != nil {
		return id, &refusal{kind: KindExpiredCertificate, err: err}
	}
	return id, a.inService(id, leaf)
}

func (a *access) verify(cs tls.ConnectionState, now time.Time) error {
	opts := x509.VerifyOptions{
		Roots: a.roots, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	return err
}

// inService applies the live lists to a certificate that is otherwise good.
func (a *access) inService(id Identity, leaf *x509.Certificate) *refusal {
	serial := leaf.SerialNumber.Text(16)
	if a.revoked[serial] {
		return &refusal{kind: KindRevokedCertificate, err: fmt.Errorf("certificate %s is revoked", serial)}
	}
	if id.Role == RoleDevice && !a.allow[id.Name] {
		return &refusal{kind: KindUnknownDevice, err: errors.New("device is not in service")}
	}
	return nil
}

func nameOf(leaf *x509.Certificate) (Identity, error) {
	if len(leaf.Subject.OrganizationalUnit) != 1 {
		return Identity{}, fmt.Errorf("certificate of %.64q: want one organisational unit, got %d", leaf.Subject.CommonName, len(leaf.Subject.OrganizationalUnit))
	}
	id := Identity{Role: Role(leaf.Subject.OrganizationalUnit[0]), Name: leaf.Subject.CommonName}
	switch id.Role {
	case RoleHub:
		if id.Name != HubName {
			return Identity{}, fmt.Errorf("hub certificate is named %.64q, want %q", id.Name, HubName)
		}
	case RoleDevice:
		if _, err := record.ParseDeviceID(id.Name); err != nil {
			return Identity{}, fmt.Errorf("device certificate: %w", err)
		}
	default:
		return Identity{}, fmt.Errorf("certificate of %.64q: unit %.64q is neither hub nor device", id.Name, string(id.Role))
	}
	return id, nil
}
