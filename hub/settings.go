package hub

import (
	"net"
	"path/filepath"
	"time"

	"sekimori/internal/settings"
)

// Settings is hub.yaml. configs/hub.yaml is an example.
type Settings struct {
	Municipality string         `yaml:"municipality" settings:"required"`
	Name         string         `yaml:"name" settings:"required"` // TLS server name
	State        string         `yaml:"state" settings:"required"`
	Listen       ListenSettings `yaml:"listen" settings:"required"`
	Devices      string         `yaml:"devices" settings:"required"` // host:port that devices dial for MQTT
	Addresses    []string       `yaml:"addresses"`                   // further names and IP addresses in the hub's certificate
	Thresholds   Thresholds     `yaml:"thresholds"`
}

// ListenSettings is the hub's two ports and nothing else [001-4.3(2)].
type ListenSettings struct {
	HTTPS string `yaml:"https" settings:"required"`
	MQTT  string `yaml:"mqtt" settings:"required"`
}

// Thresholds are derived values, so they are settings and never constants.
type Thresholds struct {
	Late  settings.Duration `yaml:"late" settings:"min=1s,max=1h"`   // received this long after it happened is 遅延受信
	Fresh settings.Duration `yaml:"fresh" settings:"min=1s,max=10m"` // a device silent for longer is 不明
}

// SetDefaults are those of the fixture city.
func (t *Thresholds) SetDefaults() {
	t.Late, t.Fresh = settings.Every(time.Minute), settings.Every(90*time.Second)
}

// Validate checks that addresses are addresses.
func (s *Settings) Validate(v *settings.Validator) {
	for _, a := range []struct{ path, value string }{
		{"listen.https", s.Listen.HTTPS}, {"listen.mqtt", s.Listen.MQTT}, {"devices", s.Devices},
	} {
		if _, port, err := net.SplitHostPort(a.value); a.value != "" && (err != nil || port == "") {
			v.Fault(a.path, settings.Message{Code: "address",
				JA: "「ホスト:ポート」の形ではありません", EN: "not of the form host:port",
				FixJA: "例: 0.0.0.0:8443", FixEN: "For example 0.0.0.0:8443."})
		}
	}
}

// LoadSettings reads hub.yaml; the error tells every fault with its place.
func LoadSettings(path string) (Settings, error) { return settings.Load[Settings](path) }

func (s Settings) keys() string  { return filepath.Join(s.State, "keys") }
func (s Settings) store() string { return filepath.Join(s.State, "hub.db") }
func (s Settings) admin() string { return filepath.Join(s.State, "admin.sock") }
