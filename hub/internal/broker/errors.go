package broker

import (
	"errors"
	"fmt"
	"syscall"
)

// Codes of the errors an administrator can meet when the broker starts.
const (
	CodePortBusy  = "broker.port_busy"
	CodeListen    = "broker.listen"
	CodeServerKey = "broker.server_key"
	CodeClientCA  = "broker.client_ca"
	CodeConfig    = "broker.config"
	CodeChild     = "broker.child"
)

var sentences = map[string]string{
	CodePortBusy:  "MQTT（TLS）のポートが他のプログラムに使われています。そのプログラムを止めるか、設定の listen.mqtt を別のポートに変えてから起動し直してください。",
	CodeListen:    "MQTT（TLS）の待受けを開けません。設定の listen.mqtt のアドレスとポートを確かめてください。",
	CodeServerKey: "ブローカーのサーバー証明書と秘密鍵を読めません。証明書を発行し直してください。",
	CodeClientCA:  "端末を確かめる認証局の証明書を読めません。証明書を発行し直してください。",
	CodeConfig:    "ブローカーの設定が正しくありません。check-config で誤りの場所を確かめてください。",
	CodeChild:     "ブローカーの子プロセスを起動できません。導入し直すか、保守担当に連絡してください。",
}

// Error is a failure that a person has to act on: a code, a Japanese sentence
// with a way out, and the cause for the operator's log.
type Error struct {
	Code  string
	Cause error
}

// Sentence is what the administrator reads.
func (e *Error) Sentence() string { return sentences[e.Code] }

// Error is the operator's form: code and cause in English.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Cause) }

func (e *Error) Unwrap() error { return e.Cause }

func fail(code string, format string, args ...any) error {
	return &Error{Code: code, Cause: fmt.Errorf(format, args...)}
}

// listenError tells a port that is taken from every other reason.
func listenError(addr string, err error) error {
	// 10048 is WSAEADDRINUSE, which Windows reports instead of EADDRINUSE.
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.Errno(10048)) {
		return fail(CodePortBusy, "listen on %s: %w", addr, err)
	}
	return fail(CodeListen, "listen on %s: %w", addr, err)
}
