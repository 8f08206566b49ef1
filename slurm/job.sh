# What the jobs of this folder share; they source it from the repository. A job survives pre-emption and its time limit: Slurm sends USR2
# before the end (--signal), every rank finishes its step, writes a checkpoint and ends with code 75, and the job goes back into the queue,
# where the same command resumes, to the same weights. Two minutes must be enough for one step and one checkpoint.
# RECIPE and RUN_DIR: what to train, and where. THINKREC_PROGRAMS: folder of the programs, default build/release.
# shellcheck shell=bash
set -u
: "${RECIPE:?set RECIPE to a recipe}" "${RUN_DIR:?set RUN_DIR to the run directory}"

# train [ARGUMENT of thinkrec_train...]: on all tasks of the job; ends the script.
train() {
  local job code stop=''
  # To mpirun it is always USR2, which it passes on. To TERM it answers by killing the ranks within a second, too soon for a checkpoint.
  trap 'stop=requeue; kill -USR2 "$job" 2>/dev/null' USR2
  trap 'stop=end; kill -USR2 "$job" 2>/dev/null' TERM
  launch/run.sh "${THINKREC_PROGRAMS:-build/release}/thinkrec_train" --config "$RECIPE" --run-dir "$RUN_DIR" "$@" &
  job=$!
  # A trapped signal makes wait return early: wait until mpirun is really gone, then ask for its code.
  while kill -0 "$job" 2>/dev/null; do wait "$job"; done
  wait "$job"
  code=$?
  echo "thinkrec: thinkrec_train ended with $code"
  # 140: USR2 came before the ranks could take it. TERM is Slurm's own end of the job (scancel, the time limit): it stays ended.
  if [ "$stop" != end ] && { [ "$code" -eq 75 ] || { [ "$code" -eq 140 ] && [ "$stop" = requeue ]; }; }; then
    scontrol requeue "$SLURM_JOB_ID"
  fi
  exit "$code"
}
