#!/usr/bin/env bash
# A real Slurm on this machine, for tests, of one node or of two that share its cores: its own munge key, configuration and logs, all under
# FOLDER. As root. A job of the partition `urgent` pre-empts those of `test`, which get the signal that they asked for (sbatch --signal) and
# a minute.
#   tests/slurm/cluster.sh install          slurm-wlm and munge from Debian, unless they are there
#   tests/slurm/cluster.sh start FOLDER [2] prints the SLURM_CONF that sbatch and scontrol need
#   tests/slurm/cluster.sh stop FOLDER
set -euo pipefail
[ "$(id -u)" -eq 0 ] || { echo "cluster: run me as root: slurmd starts jobs as their users" >&2; exit 77; }

install() {
  if command -v slurmctld slurmd munged >/dev/null; then return; fi
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends slurm-wlm munge >/dev/null
}

stop() { # FOLDER
  local file
  for file in "$1"/slurmd-*.pid "$1"/slurmctld.pid "$1"/munged.pid; do
    [ -s "$file" ] || continue
    kill "$(cat "$file")" 2>/dev/null || true
    for _ in $(seq 100); do
      kill -0 "$(cat "$file" 2>/dev/null)" 2>/dev/null || break
      sleep 0.1
    done
    rm -f "$file"
  done
}

start() { # FOLDER NODES
  local folder host nodes number=0 node
  mkdir -p "$1/state"
  folder=$(cd "$1" && pwd) host=$(hostname -s)
  if [ "$2" -eq 1 ]; then nodes=("$host"); else mapfile -t nodes < <(seq -f n%g "$2"); fi
  chmod 755 "$folder"
  stop "$folder"
  (umask 077 && dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none)
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munge.seed" 2>>"$folder/munged.log"
  cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=30
SchedulerParameters=sched_interval=2,batch_sched_delay=1
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
SlurmdParameters=config_overrides
$(for node in "${nodes[@]}"; do
    number=$((number + 1))
    echo "NodeName=$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((16818 + number)) CPUs=$(($(nproc) > $2 ? $(nproc) / $2 : 1)) State=UNKNOWN"
  done)
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
CONF
  export SLURM_CONF=$folder/slurm.conf
  slurmctld -c
  for node in "${nodes[@]}"; do slurmd -N "$node"; done
  for _ in $(seq 300); do
    if [ "$(sinfo -h -p test -o %T 2>/dev/null)" = idle ]; then
      echo "$SLURM_CONF"
      return
    fi
    sleep 0.1
  done
  echo "cluster: Slurm did not come up within 30 s: $(sinfo -h 2>&1 | head -1); logs are in $folder" >&2
  tail -n 3 "$folder"/*.log >&2
  stop "$folder"
  exit 70
}

case "${1:-} $#" in
  'install 1') install ;;
  'start 2') start "$2" 1 ;;
  'start 3') start "$2" "$3" ;;
  'stop 2') stop "$2" ;;
  *) echo "cluster: usage: tests/slurm/cluster.sh install|start FOLDER [2]|stop FOLDER" >&2; exit 64 ;;
esac
