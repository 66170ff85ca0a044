package register_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/register"
	"sekimori/internal/record"
)

// [AS-02, 001-4.1(1)]: four refusals in time order with their reasons; the name
// is blank for the unknown card only, and only that one is an alarm.
func TestAS02Rows(t *testing.T) {
	w := newTown(t)
	deny := func(d record.DeviceID, p record.PersonID, room record.RoomCode, why record.Reason, when string) {
		q := in(p, room)
		q.Reason = why
		if why == record.ReasonUnknownCredential {
			q.Credential, q.Tag = "", "00ff"
		}
		w.device(d, record.KindDenied, q, at(when))
	}
	deny("DC-31", "", "R31", record.ReasonUnknownCredential, "10:00:00")
	deny("DC-21", "P05", "R21", record.ReasonNoPermit, "10:01:00")
	deny("DC-21", "P08", "R21", record.ReasonOutsideSchedule, "18:30:00")
	deny("DC-21", "P07", "R21", record.ReasonNoPermit, "18:31:00")
	w.commit()
	var reasons, names, severities []string
	for _, d := range w.denials() {
		reasons, names, severities = append(reasons, register.Label(d.Denial.Reason)), append(names, d.Denial.Name), append(severities, d.Severity)
		if len(d.Denial.Basis) == 0 || d.Series != d.Room {
			t.Errorf("row %+v", d)
		}
	}
	if want := []string{"未登録", "許可なし", "時間外", "許可なし"}; !slices.Equal(reasons, want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
	if want := []string{"", "﨑山 律子", "中村 保", "𠮷田 誠"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if want := []string{"alarm", "record", "record", "record"}; !slices.Equal(severities, want) {
		t.Errorf("severities %q, want %q", severities, want)
	}
	if n := len(w.stays()); n != 0 {
		t.Errorf("the normal register lists %d refusals", n)
	}
	today, err := w.Today(t.Context(), at("19:00:00"))
	if err != nil || today.Denied != 4 || today.Alarms != 1 || today.Inside != 0 {
		t.Errorf("today %+v, %v", today, err)
	}
}

func TestSeverities(t *testing.T) {
	unknown2 := in("", "R21")
	unknown2.Reason = record.ReasonUnknownCredential
	lost := in("P07", "R21")
	lost.Reason = record.ReasonCredentialLost
	expired := in("P07", "R31")
	expired.Reason = record.ReasonPermitExpired
	reader := record.ReaderState{Reader: "D31-in", Door: "D31", Room: "R31"}
	tamper := record.TamperState{Reader: "D31-in", Door: "D31", Room: "R31"}
	for _, c := range []struct {
		kind record.Kind
		body any
		want string
		open bool
	}{
		{record.KindDenied, unknown2, "record", false},
		{record.KindDenied, lost, "alarm", false}, // [AS-05]
		{record.KindDenied, expired, "record", false},
		{record.KindAttemptsSpent, expired, "alarm", false}, // [001-4.4(8)]
		{record.KindForcedOpen, door("R31"), "alarm", true}, // [001-3.1(1)イ]
		{record.KindHeldOpen, door("R31"), "record", true},
		{record.KindFireRelease, door("R31"), "alarm", true}, // [001-3.2]
		{record.KindRoomClosed, door("R31"), "record", true}, // [000-8.2]
		{record.KindTamper, tamper, "alarm", true},           // [001-3.1(1)ウエ]
		{record.KindWiringFault, tamper, "alarm", true},
		{record.KindReaderOffline, reader, "alarm", true},
		{record.KindReaderUntrusted, reader, "alarm", true},
		{record.KindInputActive, record.InputState{Input: "leak1", Purpose: record.InputWaterLeak, Room: "R31"}, "alarm", true},
		{record.KindInputFault, record.InputState{Input: "leak1", Purpose: record.InputWaterLeak, Room: "R31"}, "alarm", true},
		{record.KindClockAnomaly, record.ClockSet{Why: "backwards"}, "record", false}, // [T-39]
		{record.KindJournalFull, record.JournalFull{Lost: 4}, "alarm", false},
		{record.KindLedgerDoubt, record.LedgerDoubt{Code: record.CodeLogForked}, "alarm", false},
		{record.KindOrderRejected, record.Rejected{Code: record.CodeOrderOld}, "record", false},
		{record.KindPolicyRejected, record.Rejected{Code: record.CodePolicyOld}, "record", false},
		{ledger.KindOpaqueEvent, nil, "record", false},
		{ledger.KindEvidenceGap, ledger.EvidenceGap{Device: "DC-31", After: 3, Before: 9, Why: "x"}, "alarm", true},
		{ledger.KindSecurityFinding, ledger.SecurityFinding{Finding: "event_changed", Code: record.CodeEventChanged}, "alarm", false},
		{ledger.KindSecurityFinding, ledger.SecurityFinding{Finding: "plain_tcp", Remote: "192.0.2.1", Count: 9}, "record", false},
		{ledger.KindSignInFailed, ledger.SignedIn{User: "tanaka"}, "record", false},
	} {
		w := newTown(t)
		if c.kind[:3] == "hub" && c.kind != ledger.KindOpaqueEvent {
			w.human("", c.kind, c.body, at("10:00:00"))
		} else {
			w.device("DC-31", c.kind, c.body, at("10:00:00"))
		}
		w.commit()
		got := w.denials()
		if len(got) != 1 || got[0].Severity != c.want || got[0].Open != c.open || got[0].Denial.Severity != c.want {
			t.Errorf("%s: %+v, want %s open %v", c.kind, got, c.want, c.open)
		}
		if register.KindLabel(c.kind) == string(c.kind) {
			t.Errorf("%s has no word", c.kind)
		}
	}
}

// A state's row ends with the state.
func TestStatesEnd(t *testing.T) {
	reader := record.ReaderState{Reader: "D31-in", Door: "D31", Room: "R31"}
	other := record.ReaderState{Reader: "D31-out", Door: "D31", Room: "R31"}
	tamper := record.TamperState{Door: "D31", Room: "R31"}
	leak := record.InputState{Input: "leak1", Purpose: record.InputWaterLeak, Room: "R31"}
	for _, c := range []struct {
		begin, end record.Kind
		body       any
	}{
		{record.KindForcedOpen, record.KindDoorClosed, door("R31")},
		{record.KindHeldOpen, record.KindDoorClosed, door("R31")},
		{record.KindFireRelease, record.KindRearmed, door("R31")},
		{record.KindRoomClosed, record.KindRoomReopened, door("R31")},
		{record.KindReaderOffline, record.KindReaderOnline, reader},
		{record.KindReaderUntrusted, record.KindReaderTrusted, reader},
		{record.KindTamper, record.KindTamperEnded, tamper},
		{record.KindInputActive, record.KindInputCleared, leak},
		{record.KindInputFault, record.KindInputCleared, leak},
	} {
		w := newTown(t)
		w.device("DC-31", c.begin, c.body, at("10:00:00"))
		w.device("DC-31", record.KindReaderOffline, other, at("10:00:01")) // goes on
		w.device("DC-31", c.end, c.body, at("10:05:00"))
		w.commit()
		rows := w.denials()
		if len(rows) != 2 || rows[0].Open || rows[0].Until == nil || !rows[0].Until.Equal(at("10:05:00")) || !rows[1].Open {
			t.Errorf("%s then %s: %+v", c.begin, c.end, rows)
		}
		w = newTown(t)
		w.device("DC-31", c.end, c.body, at("10:05:00"))
		w.commit()
		if rows := w.denials(); len(rows) != 1 || rows[0].Open || rows[0].Severity != register.SeverityRecord {
			t.Errorf("%s alone: %+v", c.end, rows)
		}
	}
}

// [001-3.1(1)]: a contact is in one state at a time, and each contact is its own.
func TestContactsOneStateAtATime(t *testing.T) {
	w := newTown(t)
	leak := record.InputState{Input: "leak1", Purpose: record.InputWaterLeak, Room: "R31"}
	mains := record.InputState{Input: "mains", Purpose: record.InputMains}
	w.device("DC-31", record.KindInputActive, leak, at("10:00:00"))
	w.device("DC-31", record.KindInputActive, mains, at("10:00:10"))
	w.device("DC-21", record.KindInputActive, mains, at("10:00:20")) // the same name on another board
	w.device("DC-31", record.KindInputFault, leak, at("10:01:00"))   // and then the wire is cut
	w.device("DC-31", record.KindInputCleared, mains, at("10:02:00"))
	w.commit()
	got := map[string]bool{}
	for _, d := range w.denials() {
		got[string(d.Denial.Device)+" "+register.KindLabel(record.Kind(d.Kind))+" "+register.Label(d.Denial.Reason)] = d.Open
	}
	want := map[string]bool{"DC-31 警報接点 漏水": false, "DC-31 接点配線異常 漏水": true, "DC-31 警報接点 停電": false, "DC-21 警報接点 停電": true}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// [AS-06, T-41]: a day that arrives late raises one alarm per device, and every
// row keeps its own time and its own series.
func TestAS06Rows(t *testing.T) {
	w := newTown(t)
	for n := range 20 {
		when := at("08:00:00").Add(time.Duration(n) * 20 * time.Minute)
		received := at("07:00:00").AddDate(0, 0, 1).Add(time.Duration(n) * 30 * time.Second)
		w.late("DC-21", record.KindEntered, in("P07", "R21"), when, received)
		w.late("DC-21", record.KindExited, out("P07", "R21"), when.Add(time.Minute), received)
		w.late("DC-21", record.KindForcedOpen, door("R21"), when.Add(2*time.Minute), received)
		w.late("DC-21", record.KindDoorClosed, door("R21"), when.Add(3*time.Minute), received)
	}
	w.commit()
	alarms, late := 0, 0
	for _, d := range w.denials() {
		if d.Severity == register.SeverityAlarm {
			alarms++
			if d.Kind != string(register.KindCatchUp) || d.Denial.Count != 20 || d.Denial.Device != "DC-21" || d.Late {
				t.Errorf("summary %+v", d)
			}
		}
		if d.Kind == string(record.KindForcedOpen) && d.Late {
			late++
		}
	}
	if alarms != 1 || late != 20 {
		t.Errorf("%d alarms, %d late rows", alarms, late)
	}
	rows := w.stays()
	if len(rows) != 20 {
		t.Fatalf("%d stays", len(rows))
	}
	for n, s := range rows {
		if s.Number != int64(n+1) || !s.Late || s.Open || s.At.In(jst).Day() != 15 || s.Stay.Received.In(jst).Day() != 16 || s.Stay.Seq == 0 {
			t.Errorf("stay %+v", s.Stay)
		}
	}
	// Much later: another catch-up, another alarm.
	w.late("DC-21", record.KindForcedOpen, door("R21"), at("23:00:00"), at("09:00:00").AddDate(0, 0, 1))
	w.commit()
	again := 0
	for _, d := range w.denials() {
		if d.Severity == register.SeverityAlarm {
			again++
		}
	}
	if again != 2 {
		t.Errorf("%d alarms after the second catch-up", again)
	}
}

// A body nobody can read is kept in view and stops nothing.
func TestUnreadableBodies(t *testing.T) {
	w := newTown(t)
	for _, k := range []record.Kind{record.KindEntered, record.KindExited, record.KindDenied, record.KindFireRelease, record.KindTamper} {
		w.device("DC-31", k, []int{1, 2}, at("10:00:00"))
	}
	w.human("P01", ledger.KindEntryByHand, "text", at("10:00:00"))
	w.human("P01", ledger.KindStayClosed, 7, at("10:00:00"))
	w.device("DC-31", ledger.KindStayClosed, ledger.StayClosed{Room: "R31", Number: 1}, at("10:00:00")) // a device cannot say this
	w.device("DC-31", record.KindEntered, in("P07", "R31"), at("11:00:00"))
	w.commit()
	if d, s := len(w.denials()), len(w.stays()); d != 7 || s != 1 {
		t.Errorf("%d denials, %d stays", d, s)
	}
}

// Every word is the one of the vocabulary (domain.md §3.4).
func TestLabels(t *testing.T) {
	for r, want := range map[record.Reason]string{
		"unknown_credential": "未登録", "no_permit_for_room": "許可なし", "permit_expired": "期限切れ", "outside_schedule": "時間外",
		"room_closed": "閉室", "credential_lost": "紛失届済", "credential_revoked": "失効", "second_factor_missing": "第二要素なし",
		"attempts_exceeded": "試行超過", "antipassback": "再入室矛盾", "exit_unconfirmed": "退室未確認", "exit_after_expiry": "許可満了後退室",
		"exit_without_credential": "記録なし退室", "clock_anomaly": "時刻異常", "late_arrival": "遅延受信", "fire_release": "火災解錠",
		"stop_order": "停止指示", "biometric_mismatch": "照合不一致", "ups_low": "UPS電池低下", "of_tomorrow": "of_tomorrow",
	} {
		if got := register.Label(r); got != want {
			t.Errorf("Label(%s) = %s, want %s", r, got, want)
		}
	}
	for k, want := range map[record.Kind]string{
		"forced_open": "強制開扉", "held_open": "開放放置", "physical_key_entry": "鍵による入室", "tamper": "改ざん検知",
		"wiring_fault": "配線異常", "reader_offline": "機器不通", "fire_release": "火災解錠",
	} {
		if got := register.KindLabel(k); got != want {
			t.Errorf("KindLabel(%s) = %s, want %s", k, got, want)
		}
	}
}
