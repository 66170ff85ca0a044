package settings_test

import (
	"errors"
	"os"
	"time"

	"sekimori/internal/settings"
)

type counter struct {
	Hub      string            `yaml:"hub" settings:"required"`
	Kind     string            `yaml:"kind" settings:"required,enum=door|terminal"`
	Interval settings.Duration `yaml:"interval" settings:"min=1s,max=1h"`
}

func (c *counter) SetDefaults() { c.Interval = settings.Every(30 * time.Second) }

func ExampleParse() {
	text := "version: 1\nhub: seki.example.lg.jp\nkind: doors\ninterval: 30\n"
	var c counter
	err := settings.Parse("agent.yaml", []byte(text), &c)
	var faults *settings.Faults
	if errors.As(err, &faults) {
		_ = faults.Print(os.Stdout, settings.JA)
	}
	// Output:
	// agent.yaml:3:7: kind: "doors" は選べません。 [not-a-choice]
	//     直し方: "door" の誤りではありませんか。選べる値: door、terminal
	// agent.yaml:4:11: interval: "30" は時間の長さとして読めません。 [want-duration]
	//     直し方: 数と単位を半角で続けて書いてください。例: 500ms、5s(5秒)、30m(30分)、24h(24時間)、1h30m、30d(30日)
	// 直すところ: 2 か所。この設定は使われていません。
}
