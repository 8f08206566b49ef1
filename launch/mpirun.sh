#!/usr/bin/env bash
# launch/mpirun.sh RANKS PROGRAM [ARGUMENT...]: mpirun on this machine, with what a container or a small machine needs.
set -euo pipefail
ranks=$1
shift
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
cores=$(nproc)
threads=$((cores / ranks))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}  # spinning threads starve their neighbours on a busy machine
exec mpirun -np "$ranks" --oversubscribe --bind-to none --mca btl self,vader --mca btl_vader_single_copy_mechanism none "$@"
