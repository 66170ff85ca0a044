package register

import (
	"sekimori/hub/internal/ledger"
	"sekimori/internal/record"
)

// Words of screens and prints, exactly as domain.md §3.4 and §2 have them. An
// identifier without a word is shown as it is: never blank, never guessed.
var (
	reasonWords = map[record.Reason]string{
		record.ReasonUnknownCredential:   "未登録",
		record.ReasonNoPermit:            "許可なし",
		record.ReasonPermitExpired:       "期限切れ",
		record.ReasonOutsideSchedule:     "時間外",
		record.ReasonRoomClosed:          "閉室",
		record.ReasonCredentialLost:      "紛失届済",
		record.ReasonCredentialRevoked:   "失効",
		record.ReasonSecondFactorMissing: "第二要素なし",
		record.ReasonPINMismatch:         "暗証番号不一致",
		record.ReasonBiometricMismatch:   "照合不一致",
		record.ReasonUnproven:            "真正性未確認",
		record.ReasonAttemptsExceeded:    "試行超過",
		record.ReasonAntiPassback:        "再入室矛盾",
		record.ReasonClockAnomaly:        "時刻異常",
		record.ReasonPolicyStale:         "許可情報期限切れ",
		record.ReasonNoPolicy:            "許可情報なし",
		record.ReasonJournalFull:         "記録不能",
		record.ReasonStopped:             "停止指示",
		record.ReasonExitAfterExpiry:     "許可満了後退室",
		record.ReasonExitUnconfirmed:     "退室未確認",
		ReasonExitFree:                   "記録なし退室",
		ReasonFire:                       "火災解錠",
		ReasonLate:                       "遅延受信",
	}
	// findingWords are what securityFinding's rows are about: the broker's and
	// ingest's findings, which this package knows by name only.
	findingWords = map[record.Reason]string{
		"plain_tcp":           "暗号化なしの接続",
		"handshake_failed":    "暗号通信の開始に失敗",
		"no_certificate":      "証明書なし",
		"foreign_certificate": "この自治体のものでない証明書",
		"expired_certificate": "期限切れの証明書",
		"revoked_certificate": "失効した証明書",
		"unknown_device":      "登録されていない機器",
		"protocol_version":    "使わない版の通信",
		"client_id":           "別の機器の名乗り",
		"forbidden_feature":   "使わない機能の要求",
		"malformed_packet":    "壊れた通信",
		"oversized_packet":    "大きすぎる通信",
		"wrong_topic":         "別の機器の宛先の使用",
		"takeover":            "同じ機器の二重接続",
		"slow_consumer":       "受信しない機器",
		"slow_connect":        "接続手続の遅れ",
		"flood":               "多すぎる通信",
		"panic":               "通信部の内部異常",
		"bad_message":         "読めない、または署名の合わない内容",
		"replayed_batch":      "記録の再送（リプレイ）",
		"replayed_ask":        "状態の再送（リプレイ）",
		"unreadable_event":    "読取不能の記録",
		"event_changed":       "受信済みと異なる記録",
		"two_epochs":          "一つの機器に二つの記録",
		"witness_ahead":       "証人より短い台帳（巻戻し）",
		"witness_differs":     "証人と異なる台帳（改変）",
		"cosignature_differs": "証人の署名の不一致",
		"store_failed":        "記録の保存失敗",
	}
	kindWords = map[record.Kind]string{
		record.KindEntered:            "入室",
		record.KindExited:             "退室",
		record.KindGranted:            "許可",
		record.KindDenied:             "拒否",
		record.KindExitFree:           "記録なし退室",
		record.KindREX:                "退室釦",
		record.KindForcedOpen:         "強制開扉",
		record.KindHeldOpen:           "開放放置",
		record.KindDoorClosed:         "閉扉",
		record.KindKeyEntry:           "鍵による入室",
		record.KindFireRelease:        "火災解錠",
		record.KindFireEnded:          "火災信号終了",
		record.KindRearmed:            "再施錠",
		record.KindRoomClosed:         "閉室",
		record.KindRoomReopened:       "閉室解除",
		record.KindAttemptsSpent:      "試行超過",
		record.KindReaderOffline:      "機器不通",
		record.KindReaderOnline:       "機器復旧",
		record.KindTamper:             "改ざん検知",
		record.KindTamperEnded:        "改ざん検知終了",
		record.KindWiringFault:        "配線異常",
		record.KindReaderUntrusted:    "読取装置認証失敗",
		record.KindReaderTrusted:      "読取装置認証復旧",
		record.KindDoorEquipped:       "扉の装備",
		record.KindReaderCommissioned: "読取装置の鍵設定",
		record.KindTemplateEnrolled:   "照合情報登録",
		record.KindTemplateDeleted:    "照合情報削除",
		record.KindModuleWiped:        "照合情報全消去",
		record.KindInputActive:        "警報接点",
		record.KindInputCleared:       "警報接点復旧",
		record.KindInputFault:         "接点配線異常",
		record.KindClockAnomaly:       "時刻異常",
		record.KindClockSet:           "時刻合わせ",
		record.KindJournalFull:        "記録不能",
		record.KindLedgerDoubt:        "台帳不一致",
		record.KindPolicyActivated:    "許可情報適用",
		record.KindPolicyRejected:     "許可情報不採用",
		record.KindOrderExecuted:      "指示実行",
		record.KindOrderRejected:      "指示不実行",
		record.KindBooted:             "起動",
		record.KindEpochStarted:       "記録開始",
		ledger.KindEvidenceGap:        "証跡欠落",
		ledger.KindSecurityFinding:    "不正通信等",
		ledger.KindOpaqueEvent:        "読取不能の記録",
		ledger.KindEntryByHand:        "手入力",
		ledger.KindStayClosed:         "退室確認",
		ledger.KindSignInFailed:       "サインイン失敗",
		KindCatchUp:                   "遅延受信",
	}
	methodWords = map[record.Method]string{
		record.MethodCard:    "カード",
		record.MethodCardPIN: "カード+暗証番号",
		record.MethodFinger:  "照合情報",
		record.MethodCardBio: "カード+照合情報",
		record.MethodKey:     "鍵",
	}
	qualityWords = map[record.TimeQuality]string{
		record.TimeSynced:    "同期",
		record.TimeEstimated: "推定",
		record.TimeUnsynced:  "未同期",
	}
	resultWords = map[Result]string{
		ResultGranted:     "許可",
		ResultDenied:      "拒否",
		ResultUnconfirmed: "退室未確認",
	}
	inputWords = map[record.InputPurpose]string{
		record.InputMains:         "停電",
		record.InputUPSLow:        "UPS電池低下",
		record.InputTemperature:   "温度異常",
		record.InputWaterLeak:     "漏水",
		record.InputIntrusion:     "侵入",
		record.InputEmergencyCall: "非常呼出",
		record.InputEmergencyExit: "非常口開扉",
		record.InputCabinet:       "盤・ラックの開扉",
	}
	proofWords = map[record.Proof]string{
		record.ProofUIDOnly:       "番号のみ",
		record.ProofCryptographic: "暗号による証明",
		record.ProofBiometric:     "照合情報",
	}
	severityWords = map[string]string{SeverityAlarm: "警報", SeverityRecord: "記録"}
)

func word[K ~string](words map[K]string, k K) string {
	if w, ok := words[k]; ok {
		return w
	}
	return string(k)
}

// Label is the word of a 理由区分, of what was found, or of what a contact means.
func Label(r record.Reason) string {
	if w, ok := inputWords[record.InputPurpose(r)]; ok {
		return w
	}
	if w, ok := findingWords[r]; ok {
		return w
	}
	return word(reasonWords, r)
}

// KindLabel is the word of a kind of fact.
func KindLabel(k record.Kind) string { return word(kindWords, k) }

// MethodLabel is the word of a 認証手段.
func MethodLabel(m record.Method) string { return word(methodWords, m) }

// ProofLabel is the word of what a reader can show of a card [T-22].
func ProofLabel(p record.Proof) string { return word(proofWords, p) }

// QualityLabel is the word of a 時刻品質.
func QualityLabel(q record.TimeQuality) string { return word(qualityWords, q) }

// ResultLabel is the word of a 結果.
func ResultLabel(r Result) string { return word(resultWords, r) }

// SeverityLabel is the word of a severity.
func SeverityLabel(s string) string { return word(severityWords, s) }
