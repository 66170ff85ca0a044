package pki

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"sekimori/internal/clock"
)

// ServerPEM is the server certificate with its key, and the CA that client
// certificates must come from, for the broker's child process. It holds a
// secret: it prints as nothing.
type ServerPEM struct {
	Cert, Key, ClientCA []byte
}

// Format keeps the key out of logs.
func (ServerPEM) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[server key]") }

// HTTPS is for the console and enrolment. Client certificates are not asked
// for: browsers have none, and a device without one comes here to get one.
func (a *Authority) HTTPS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       clock.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := a.current(serverName)
			return &c, nil
		},
	}
}

// Link is for the hub's own MQTT connection.
func (a *Authority) Link() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.ca.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       clock.Now,
		RootCAs:    pool,
		ServerName: a.opts.HubName,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := a.current(linkName)
			return &c, nil
		},
	}
}

// Broker is what the broker serves with.
func (a *Authority) Broker() (ServerPEM, error) {
	c := a.current(serverName)
	signer, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return ServerPEM{}, fmt.Errorf("a server key of type %T cannot sign", c.PrivateKey)
	}
	key, err := keyPEM(signer)
	if err != nil {
		return ServerPEM{}, err
	}
	return ServerPEM{Cert: certPEM(c.Certificate[0]), Key: key, ClientCA: append([]byte(nil), a.caPEM...)}, nil
}

func (a *Authority) current(name string) tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.own[name]
}
