package fingerprint_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log"

	"sekimori/drivers/fingerprint"
	"sekimori/drivers/line"
)

// What an installer's program does with a new module: find it, bind it to this
// host, and enrol the first finger. reader.Run runs all the while.
func ExampleReader_Commission() {
	commission := func(ctx context.Context, reader *fingerprint.Reader, keep func(uint32) error) error {
		var random [4]byte
		if _, err := rand.Read(random[:]); err != nil {
			return err
		}
		value := binary.BigEndian.Uint32(random[:])
		password, err := fingerprint.NewPassword(value)
		if err != nil {
			return err
		}
		// Kept before the module has it: a password nobody knows cannot be taken
		// off a module again.
		if err := keep(value); err != nil {
			return err
		}
		wiped, err := reader.Commission(ctx, password)
		if err != nil {
			return fmt.Errorf("%s: %w", fingerprint.Advice(err), err)
		}
		fmt.Printf("%d 件の登録を消して結び付けました\n", wiped)
		return reader.Enrol(ctx, 1, func(s fingerprint.Step) { fmt.Println(s) })
	}
	reader, err := fingerprint.New(fingerprint.Config{Reader: "D31-finger"}, line.Serial("/dev/ttyUSB0", fingerprint.DefaultBaud))
	if err != nil {
		log.Fatal(err)
	}
	keepNothing := func(uint32) error { return nil }
	err = commission(context.Background(), reader, keepNothing)
	fmt.Println(err)
	// Output: リーダーが動いていません。エージェントの起動と設定を確かめてください。: the reader is not running
}
