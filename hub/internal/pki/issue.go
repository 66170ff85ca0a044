package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"

	"sekimori/internal/record"
)

// issuer signs certificates with the CA's key.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue signs a certificate for pub that ends at until, and returns it as DER
// with its serial number in hexadecimal.
func (i *issuer) issue(template *x509.Certificate, pub crypto.PublicKey, until time.Time) (der []byte, serial string, err error) {
	template.SerialNumber = newSerial()
	template.NotBefore, template.NotAfter = longAgo, until.UTC().Truncate(time.Second)
	if template.NotAfter.After(i.cert.NotAfter) {
		template.NotAfter = i.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err = x509.CreateCertificate(rand.Reader, template, i.cert, pub, i.key)
	if err != nil {
		return nil, "", fmt.Errorf("sign the certificate of %s: %w", template.Subject.CommonName, err)
	}
	return der, template.SerialNumber.Text(16), nil
}

// pair makes a P-256 key and its certificate, both as PEM.
func (i *issuer) pair(template *x509.Certificate, until time.Time) (keyOut, certOut []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, _, err := i.issue(template, key.Public(), until)
	if err != nil {
		return nil, nil, err
	}
	if keyOut, err = keyPEM(key); err != nil {
		return nil, nil, err
	}
	return keyOut, certPEM(der), nil
}

// newSerial is 127 random bits: never zero, never negative.
func newSerial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b)
}

func selfSign(key crypto.Signer, o Options, now time.Time) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: o.Municipality + " sekimori CA", Organization: []string{o.Municipality}},
		NotBefore:    longAgo, NotAfter: now.AddDate(caYears, 0, 0).Truncate(time.Second),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	return der, nil
}

// serverTemplate serves HTTPS and the broker under every name the hub has.
func serverTemplate(o Options) *x509.Certificate {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: o.HubName, Organization: []string{o.Municipality}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	names := append([]string{o.HubName, "localhost", "127.0.0.1", "::1"}, o.Addresses...)
	if host, _, err := net.SplitHostPort(o.MQTTAddr); err == nil {
		names = append(names, host)
	}
	seen := map[string]bool{}
	for _, name := range names {
		ip := net.ParseIP(name)
		switch {
		case seen[name]:
		case ip != nil:
			t.IPAddresses = append(t.IPAddresses, ip)
		default:
			t.DNSNames = append(t.DNSNames, name)
		}
		seen[name] = true
	}
	return t
}

// clientTemplate is what the broker gives rights by: OU is the role, CN the name.
func clientTemplate(unit, name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name, OrganizationalUnit: []string{unit}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// device issues a device's certificate for the key of its request.
func (i *issuer) device(id record.DeviceID, key record.PublicKey, until time.Time) (pemOut []byte, serial string, notAfter time.Time, err error) {
	pub, err := key.Crypto()
	if err != nil {
		return nil, "", time.Time{}, err
	}
	template := clientTemplate("device", string(id))
	der, serial, err := i.issue(template, pub, until)
	if err != nil {
		return nil, "", time.Time{}, err
	}
	return certPEM(der), serial, template.NotAfter, nil
}

// requestKey reads a certificate request and returns its key; the request must
// be signed by that key. Its names are ignored: names are given, not asked for.
func requestKey(csr []byte) (record.PublicKey, error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return record.PublicKey{}, record.Fail(record.CodeMalformed, fmt.Errorf("certificate request: %w", err))
	}
	if err := req.CheckSignature(); err != nil {
		return record.PublicKey{}, record.Fail(record.CodeBadSignature, fmt.Errorf("certificate request: %w", err))
	}
	key, err := record.NewPublicKey(req.PublicKey)
	if err != nil {
		return record.PublicKey{}, record.Fail(record.CodeMalformed, fmt.Errorf("certificate request: %w", err))
	}
	return key, nil
}
