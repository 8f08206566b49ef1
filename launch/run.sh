#!/usr/bin/env bash
# Starts a program on the ranks of this machine or of a Slurm job: one a GPU, without GPUs one a NUMA domain.
#   launch/run.sh [--ranks N] [--bind auto|cores|none] [--print] PROGRAM [ARGUMENT...]
#     --ranks N   so many in all; in a job they spread evenly over its nodes. Default: the job's tasks, else one a GPU or NUMA domain
#     --bind      cores: a rank stays on its share of the cores, those near its GPU; none: it runs where there is room. auto: cores where
#                 they are this job's own (Slurm gave it all it sees, or there are GPUs), else none
#     --print     only prints what it would do
# From GPUs, cores and networks it sets the threads of a rank and what Open MPI and NCCL should use; a variable that is set already stays as it
# is. What it chose goes to standard error, in lines that begin with "run:". docs/cluster.md says why.
set -euo pipefail
root=${THINKREC_TOPOLOGY_ROOT:-} # before /sys and /proc; another place in tests

usage() { echo "run: $*; see the head of launch/run.sh" >&2; exit 64; }

# "0-2,8" -> 0 1 2 8
expand() {
  local part parts
  IFS=, read -ra parts <<<"$1"
  for part in "${parts[@]}"; do seq "${part%-*}" "${part#*-}"; done
}

# What of it is there: domain_of[cpu], cores (first thread of each core that we may use, by NUMA domain), threads_of[core], gpu_domains.
declare -A domain_of threads_of
cores=() gpu_domains=() domains=0 gpu_note='no GPU'
find_cores() {
  local allowed online there=' ' cpu list node sibling first seen=' '
  allowed=" $(expand "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' "$root/proc/self/status")" | tr '\n' ' ')"
  # What we may use need not be there, and taskset fails on it.
  if read -r list 2>/dev/null <"$root/sys/devices/system/cpu/online"; then
    online=" $(expand "$list" | tr '\n' ' ')"
    for cpu in $allowed; do [[ $online != *" $cpu "* ]] || there+="$cpu "; done
    allowed=$there
  fi
  for node in "$root"/sys/devices/system/node/node[0-9]*; do
    list=$(cat "$node/cpulist" 2>/dev/null) || continue
    [ -n "$list" ] || continue # memory alone
    for cpu in $(expand "$list"); do domain_of[$cpu]=${node##*/node}; done
  done
  for cpu in $allowed; do
    first=$cpu
    if read -r list 2>/dev/null <"$root/sys/devices/system/cpu/cpu$cpu/topology/thread_siblings_list"; then
      for sibling in $(expand "$list"); do
        if [[ $allowed == *" $sibling "* ]]; then first=$sibling; break; fi
      done
    fi
    threads_of[$first]=${threads_of[$first]:+${threads_of[$first]},}$cpu
  done
  mapfile -t cores < <(for cpu in "${!threads_of[@]}"; do echo "${domain_of[$cpu]:-0} $cpu"; done | sort -n -k1,1 -k2,2 | cut -d' ' -f2)
  for cpu in "${cores[@]}"; do
    node=${domain_of[$cpu]:-0}
    [[ $seen == *" $node "* ]] || seen+="$node " domains=$((domains + 1))
  done
}

# GPUs that CUDA will see, in the order of the bus, as nvidia-smi has them.
find_gpus() {
  command -v nvidia-smi >/dev/null || return 0
  local rows row index uuid bus wanted domain
  rows=$(timeout 20 nvidia-smi --query-gpu=index,uuid,pci.bus_id --format=csv,noheader 2>&1) || { gpu_note="no GPU (nvidia-smi: ${rows%%$'\n'*})"; return 0; }
  while IFS=', ' read -r index uuid bus; do
    if [ -n "${CUDA_VISIBLE_DEVICES+x}" ]; then
      wanted=0
      for row in ${CUDA_VISIBLE_DEVICES//,/ }; do
        if [ "$row" = "$index" ] || [[ $row == GPU-* && $uuid == "$row"* ]]; then wanted=1; fi
      done
      [ "$wanted" -eq 1 ] || continue
    fi
    bus=${bus,,}
    domain=$(cat "$root/sys/bus/pci/devices/${bus: -12}/numa_node" 2>/dev/null || echo -1)
    gpu_domains+=("$domain")
  done <<<"$rows"
  [ ${#gpu_domains[@]} -eq 0 ] || gpu_note="${#gpu_domains[@]} GPUs"
}

# The NUMA domain whose cores a rank shares with its neighbours; "all": every core. thinkrec gives rank r of a node GPU r modulo their number.
place_of() { # LOCAL_RANK
  local gpu core
  if [ ${#gpu_domains[@]} -gt 0 ]; then
    gpu=${gpu_domains[$(($1 % ${#gpu_domains[@]}))]}
    for core in "${cores[@]}"; do
      if [ "${domain_of[$core]:-0}" = "$gpu" ]; then echo "$gpu"; return; fi
    done
  fi
  echo all
}

# cores_of LOCAL_RANK LOCAL_SIZE -> own: its cores; empty when there are more ranks than cores.
cores_of() {
  local place other core near=() ranks=0 before=0
  place=$(place_of "$1")
  for core in "${cores[@]}"; do
    if [ "$place" = all ] || [ "${domain_of[$core]:-0}" = "$place" ]; then near+=("$core"); fi
  done
  for ((other = 0; other < $2; ++other)); do
    [ "$(place_of "$other")" = "$place" ] || continue
    [ "$other" -ge "$1" ] || before=$((before + 1))
    ranks=$((ranks + 1))
  done
  local from=$((before * ${#near[@]} / ranks)) to=$(((before + 1) * ${#near[@]} / ranks))
  own=("${near[@]:from:to-from}")
}
cpus_of() { # hardware threads of `own`, as taskset takes them
  local core list=''
  for core in "${own[@]}"; do list+=,${threads_of[$core]}; done
  echo "${list#,}"
}

# On each rank, by the launcher below: binds itself, then is the program.
if [ "${1:-}" = --this-rank ]; then
  shift
  find_cores
  find_gpus
  cores_of "$OMPI_COMM_WORLD_LOCAL_RANK" "$OMPI_COMM_WORLD_LOCAL_SIZE"
  [ ${#own[@]} -gt 0 ] || exec "$@"
  exec taskset -c "$(cpus_of)" "$@"
fi

ranks='' bind=auto print=0
while [ $# -gt 0 ]; do
  case $1 in
    --ranks | --bind)
      [ $# -ge 2 ] || usage "$1 needs a value"
      if [ "$1" = --ranks ]; then ranks=$2; else bind=$2; fi
      shift 2 ;;
    --print) print=1; shift ;;
    -*) usage "unknown option '$1'" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || usage "no program was named"
[ -z "$ranks" ] || [[ $ranks =~ ^[1-9][0-9]{0,5}$ ]] || usage "--ranks $ranks: it is a number from 1"
[[ $bind =~ ^(auto|cores|none)$ ]] || usage "--bind $bind: there are auto, cores and none"
command -v "$1" >/dev/null || { echo "run: there is no program $1: build it (launch/quickstart.sh) or name its path" >&2; exit 66; }
command -v mpirun >/dev/null || { echo "run: mpirun is not here: launch/setup.sh installs it, on a cluster load the module of Open MPI" >&2; exit 66; }

find_cores
find_gpus
nodes=1 where='this machine, with'
if [ -n "${SLURM_JOB_ID:-}" ]; then
  nodes=${SLURM_JOB_NUM_NODES:-${SLURM_NNODES:-1}}
  where="$nodes nodes of job $SLURM_JOB_ID, each with"
  ranks=${ranks:-${SLURM_NTASKS:-}}
fi
here=$((${#gpu_domains[@]} > 0 ? ${#gpu_domains[@]} : domains > 0 ? domains : 1))
ranks=${ranks:-$((here * nodes))}
[ $((ranks % nodes)) -eq 0 ] || usage "$ranks ranks do not spread evenly over $nodes nodes; ask for a multiple (--ranks, --ntasks-per-node)"
per_node=$((ranks / nodes))

# Cores of this node that the job may keep busy: in a container the scheduler may give less than it shows.
usable=${#cores[@]}
if read -r quota period 2>/dev/null <"$root/sys/fs/cgroup/cpu.max" && [[ $quota =~ ^[0-9]+$ ]]; then
  limit=$(((quota + period - 1) / period))
  [ "$limit" -ge "$usable" ] || usable=$limit
fi
if [ "$bind" = auto ]; then
  bind=none
  seen=0
  for core in "${cores[@]}"; do IFS=, read -ra list <<<"${threads_of[$core]}"; seen=$((seen + ${#list[@]})); done
  if [ -n "${SLURM_JOB_ID:-}" ]; then
    [ "${SLURM_CPUS_ON_NODE:-0}" -lt "$seen" ] || bind=cores
  elif [ ${#gpu_domains[@]} -gt 0 ]; then
    bind=cores
  fi
  [ "$usable" -eq "${#cores[@]}" ] || bind=none
fi
threads=${#cores[@]} bound=()
for ((rank = 0; rank < per_node; ++rank)); do
  [ "$bind" = cores ] || break
  cores_of "$rank" "$per_node"
  if [ ${#own[@]} -eq 0 ]; then bind=none bound=(); break; fi # more ranks than cores: the kernel shares them out better
  [ ${#own[@]} -ge "$threads" ] || threads=${#own[@]}
  bound+=("$rank: $(cpus_of)")
done
if [ "$bind" = none ]; then
  [ -z "${SLURM_CPUS_PER_TASK:-}" ] || [ $((SLURM_CPUS_PER_TASK * per_node)) -ge "$usable" ] || usable=$((SLURM_CPUS_PER_TASK * per_node))
  threads=$((usable / per_node > 0 ? usable / per_node : 1))
fi

chosen=()
setting() { # NAME VALUE: unless it is set
  if [ -z "${!1+x}" ]; then export "$1=$2"; fi
  chosen+=("$1")
}
setting OMP_NUM_THREADS "$threads"
setting OMP_WAIT_POLICY passive # spinning threads starve their neighbours on a busy machine
setting OMPI_MCA_btl_vader_single_copy_mechanism none # containers forbid it, and messages are small
if [ "$(id -u)" -eq 0 ]; then
  setting OMPI_ALLOW_RUN_AS_ROOT 1
  setting OMPI_ALLOW_RUN_AS_ROOT_CONFIRM 1
fi
# Ranks write to mpirun's pipes: they are told of the terminal at its end, for the live line.
unset THINKREC_TERMINAL
columns=$(stty size <&2 2>/dev/null | cut -d' ' -f2) || true
[ -z "$columns" ] || export THINKREC_TERMINAL=$columns
if [ ${#gpu_domains[@]} -gt 0 ]; then
  setting CUDA_DEVICE_ORDER PCI_BUS_ID # as nvidia-smi counts them, by whose numbers ranks were bound
  setting NCCL_DEBUG WARN
fi
if [ "$nodes" -eq 1 ]; then
  setting OMPI_MCA_btl self,vader
else
  # Control messages, and NCCL's first contact, over the network of the default route; without InfiniBand all else too.
  network=$(awk 'NR > 1 && $2 == "00000000" {print $1; exit}' "$root/proc/net/route" 2>/dev/null || true)
  fastest=0 ports=()
  for port in "$root"/sys/class/infiniband/*/ports/*; do
    grep -q ACTIVE "$port/state" 2>/dev/null || continue
    rate=$(cut -d' ' -f1 "$port/rate")
    rate=${rate%%.*}
    device=${port%/ports/*}
    if [ "$rate" -gt "$fastest" ]; then fastest=$rate ports=(); fi
    if [ "$rate" -eq "$fastest" ]; then ports+=("${device##*/}:${port##*/}"); fi
  done
  if [ -n "$network" ]; then
    setting OMPI_MCA_oob_tcp_if_include "$network"
    setting NCCL_SOCKET_IFNAME "=$network"
  fi
  if [ ${#ports[@]} -gt 0 ]; then # the fastest ports; slower ones are there for storage. Open MPI finds them through UCX
    setting NCCL_IB_HCA "=$(IFS=,; echo "${ports[*]}")"
  else
    setting OMPI_MCA_pml ob1
    setting OMPI_MCA_btl self,vader,tcp
    [ -z "$network" ] || setting OMPI_MCA_btl_tcp_if_include "$network"
  fi
fi

command=(mpirun -np "$ranks" --oversubscribe --bind-to none)
if [ "$nodes" -gt 1 ]; then
  command+=(--map-by "ppr:$per_node:node")
  [ -z "$columns" ] || command+=(-x THINKREC_TERMINAL)
  for name in "${chosen[@]}"; do case $name in OMPI_*) ;; *) command+=(-x "$name") ;; esac; done # Open MPI passes its own on
fi
if [ "$bind" = cores ]; then
  command+=("$(cd "$(dirname "$0")" && pwd)/run.sh" --this-rank)
fi

{
  echo "run: $ranks ranks on $where ${#cores[@]} cores in $domains NUMA domains, $gpu_note; $OMP_NUM_THREADS threads each"
  if [ "$bind" = cores ]; then
    bounds=$(printf '; %s' "${bound[@]}")
    echo "run: ranks of a node stay on hardware threads ${bounds#; }"
  else
    echo "run: ranks are not bound to cores"
  fi
  settings=''
  for name in "${chosen[@]}"; do settings+=" $name=${!name}"; done
  echo "run:$settings"
} >&2
if [ "$print" -eq 1 ]; then
  printf '%q ' "${command[@]}" "$@"
  echo
  exit 0
fi
exec "${command[@]}" "$@"
