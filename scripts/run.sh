#!/usr/bin/env bash
# make run: the fixture city on this machine. A hub, two door controllers and
# the simulator run in a scratch folder; a morning is played over and over.
# Everything in the scratch folder is for trying out: keys, people, cards.
#
#   SEKIMORI_SCRATCH   the folder (default: scratch)
#   SEKIMORI_HTTPS     the console's port (default: 8443)
#   SEKIMORI_MQTT      the devices' port (default: 8883)
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=${SEKIMORI_SCRATCH:-scratch}
https=${SEKIMORI_HTTPS:-8443}
mqtt=${SEKIMORI_MQTT:-8883}
bin=$PWD/bin
pids=()

say() { printf '%s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

stop() {
  trap - EXIT INT TERM
  say ''; say '止めています… (stopping)'
  # Last started, first stopped; the hub goes last, so that everything arrives.
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
}

# A busy port is one clear sentence, before anything is started.
for port in "$https" "$mqtt"; do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "ポート $port はほかのプログラムが使っています。それを止めるか、SEKIMORI_HTTPS=9443 SEKIMORI_MQTT=9883 make run のように別のポートを指定してください。
Port $port is in use. Stop that program, or choose others: SEKIMORI_HTTPS=9443 SEKIMORI_MQTT=9883 make run"
  fi
done

mkdir -p "$scratch"
scratch=$(cd "$scratch" && pwd)
if [ ${#scratch} -gt 70 ]; then
  die "フォルダの名前が長すぎます(ソケットの制限)。SEKIMORI_SCRATCH=/tmp/sekimori make run のように短い場所を指定してください。
The folder's path is too long for unix sockets. Choose a shorter one: SEKIMORI_SCRATCH=/tmp/sekimori make run"
fi
exec 9>"$scratch/lock"
flock -n 9 || die "このフォルダではもう動いています: $scratch (already running here)"
trap stop EXIT
trap 'exit 0' INT TERM

cat > "$scratch/hub.yaml" <<YAML
version: 1
municipality: 関森市
name: localhost
state: $scratch/hub
listen: {https: "127.0.0.1:$https", mqtt: "127.0.0.1:$mqtt"}
devices: localhost:$mqtt
addresses: [127.0.0.1]
YAML
hub() { "$bin/sekimori-hub" "$@" --settings "$scratch/hub.yaml"; }

# The fixture city's permits are of fiscal year 2026; the demo's are of today's.
year=$(TZ=Asia/Tokyo date +%Y); [ "$(TZ=Asia/Tokyo date +%-m)" -ge 4 ] || year=$((year - 1))
sed -e "s/2027-/@next@/g; s/2026-/$year-/g; s/@next@/$((year + 1))-/g" \
    -e "s/until: $year-06-30, schedule: maintenance_hours/until: $((year + 1))-03-31/" \
    configs/fixture/kanmori.yaml > "$scratch/city.yaml"

[ -d "$scratch/hub/keys" ] || hub init
hub import "$scratch/city.yaml" --as P01
password=$(od -An -N9 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$password" | hub user passwd yamada

"$bin/sekimori-sim" run --config configs/sim.yaml --dir "$scratch/sim" >"$scratch/sim.log" 2>&1 9>&- & pids+=($!)
hub run >"$scratch/hub.log" 2>&1 9>&- & hubpid=$!
pids=("$hubpid" "${pids[@]}")
wait_for() { # file pattern seconds
  for _ in $(seq $(( $3 * 10 ))); do
    grep -q "$2" "$1" 2>/dev/null && return 0
    sleep 0.1
  done
  tail -5 "$1" >&2
  die "起動しませんでした。$1 を見てください。(did not start; see $1)"
}
wait_for "$scratch/hub.log" '"hub is up"' 30

for id in DC-31 DC-21; do
  example=configs/agent-$(tr -d - <<<"${id,,}").yaml
  sed -e "s#scratch/sim#$scratch/sim#g; s#scratch/$id#$scratch/$id#; s#localhost:8883#localhost:$mqtt#; s#localhost:8443#localhost:$https#" \
    "$example" > "$scratch/$id.yaml"
  [ -e "$scratch/$id/identity/device.crt" ] ||
    hub enrol-code "$id" --as P01 | "$bin/sekimori-agent" enrol --settings "$scratch/$id.yaml"
done

# The readers of D31 get keys of their own, and two people lay a finger on its
# module until it has them: what an installer does once, before the service runs.
readers() { "$bin/sekimori-agent" readers "$@" --settings "$scratch/DC-31.yaml" >>"$scratch/readers.log" 2>&1; }
touch_until() { # pid finger
  while kill -0 "$1" 2>/dev/null; do
    sleep 1.2
    "$bin/sekimori-sim" finger D31-fp "$2" --for 600ms --dir "$scratch/sim" >/dev/null 2>&1 || true
  done
}
if [ ! -e "$scratch/commissioned" ]; then
  say '読取装置に鍵を渡し、指を登録しています… (giving the readers keys, enrolling two fingers)'
  for r in D31-in D31-out D31-fp; do readers commission "$r" || die "鍵を渡せませんでした。$scratch/readers.log を見てください。(see $scratch/readers.log)"; done
  for f in 1:P01 7:P07; do
    readers enrol D31-fp "${f%:*}" & enrol=$!
    touch_until "$enrol" "${f#*:}"
    wait "$enrol" || die "指を登録できませんでした。$scratch/readers.log を見てください。(see $scratch/readers.log)"
  done
  : > "$scratch/commissioned"
fi
for id in DC-31 DC-21; do
  "$bin/sekimori-agent" run --settings "$scratch/$id.yaml" >>"$scratch/$id.log" 2>&1 9>&- & pids+=($!)
done
"$bin/sekimori-sim" play --dir "$scratch/sim" firmware-sim/scenarios/morning.yaml >"$scratch/play.log" 2>&1 9>&- & pids+=($!)

cat <<TEXT

関守が動いています。 (sekimori is running)

  コンソール   https://localhost:$https/
  利用者       yamada  (山田 太郎・総務課長)
  パスワード   $password

  ブラウザーは、この試用の証明書を知らないので一度警告します。確かめるには:
    $scratch/hub/keys/ca.crt を信頼する認証局に加える
  人を動かす   bin/sekimori-sim --dir $scratch/sim --help
  記録         $scratch/*.log

止めるには Ctrl+C。 (Ctrl+C stops everything)
TEXT
wait -n "${pids[@]}" || true
die "プログラムの一つが終わりました。$scratch/*.log を見てください。(one of the programs ended)"
