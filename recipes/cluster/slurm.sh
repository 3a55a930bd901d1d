#!/usr/bin/env bash
# Four machines with 8 GPUs each under Slurm. Ten minutes before its time is up the job is asked to stop; it saves a
# checkpoint, queues itself again and goes on from there. The same after a node fails or the job is preempted.
#
#   sbatch recipes/cluster/slurm.sh recipes/dialogpt-medium.yaml --run /shared/runs/medium
#
# Everything after the script's name is for `personable train`. --run is needed, on a file system that all nodes share.
#SBATCH --job-name=personable
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@600
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -uo pipefail

run=
for ((place = 1; place < $#; place++)); do
    [[ ${!place} == --run ]] && next=$((place + 1)) && run=${!next}
done
if [[ -z $run ]]; then
    echo 'expected --run FOLDER among the arguments, found none. Next: name one that all nodes share.' >&2
    exit 2
fi
resume=()
[[ -e $run/unfinished.json ]] && resume=(--resume)

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300 # seconds for the last checkpoint; torchrun would give 30
srun --kill-on-bad-exit=1 torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" \
    --rdzv-backend c10d --rdzv-endpoint "$first:29400" --rdzv-id "$SLURM_JOB_ID" --no-python \
    personable train "$@" "${resume[@]}" &
training=$!

stopped=
stop() {
    stopped=yes
    scancel --signal=TERM "$SLURM_JOB_ID" # the steps, not this script
}
trap stop TERM
wait "$training"
status=$?
while kill -0 "$training" 2>/dev/null; do # a signal ends `wait` before the training has ended
    wait "$training"
    status=$?
done
if [[ -n $stopped && -e $run/unfinished.json ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
