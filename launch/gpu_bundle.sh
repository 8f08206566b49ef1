#!/usr/bin/env bash
# Packs the CUDA programs, the tests labelled gpu, and every library they need but libtorch and the GPU's driver into build/gpu_bundle/, to
# be carried to another x86-64 Linux machine: one with a GPU and libtorch 2.11 (cu130) in its Python, and nothing else installed.
#   launch/gpu_bundle.sh [--architectures 90] [--yardstick DIR] [--preset-dir build/bundle]
#     --architectures  compute capabilities of the GPUs there (default 90: H100, H200)
#     --yardstick      a folder to carry as yardstick/ (the scripts and models that thinkrec_bench is compared on)
# There:  build/gpu_bundle/run.sh PROGRAM [ARGUMENT...]     one program
#         build/gpu_bundle/check.sh [OUT]                   all tests labelled gpu, compute-sanitizer and bench_kernels; logs under OUT
set -euo pipefail
cd "$(dirname "$0")/.."
architectures=90 yardstick='' build=build/bundle
while [ $# -gt 0 ]; do
  case $1 in
    --architectures) architectures=$2; shift 2 ;;
    --yardstick) yardstick=$2; shift 2 ;;
    --preset-dir) build=$2; shift 2 ;;
    *) echo "gpu_bundle: unknown argument '$1'; see the head of launch/gpu_bundle.sh" >&2; exit 64 ;;
  esac
done
[ -z "$yardstick" ] || [ -d "$yardstick" ] || { echo "gpu_bundle: $yardstick is not a folder" >&2; exit 66; }
out=$PWD/build/gpu_bundle most_mib=60

programs=(thinkrec_prepare thinkrec_check thinkrec_train_stages thinkrec_bench)
tests=(kernels_lora_gpu_test kernels_ops_gpu_test gpu_step_test nccl_gpu_test bench_ops)
targets=()
for program in "${programs[@]}"; do targets+=("program_$program"); done
cmake --preset release -B "$build" -DTHINKREC_CUDA=ON -DTHINKREC_CUDA_ARCHITECTURES="$architectures" -DTHINKREC_ARCH=x86-64-v3 >/dev/null
cmake --build "$build" --target "${targets[@]}" "${tests[@]}" -- --quiet

rm -rf "$out"
mkdir -p "$out/bin" "$out/lib" "$out/openmpi/bin" "$out/openmpi/lib/openmpi3" "$out/openmpi/share"
for file in "${programs[@]}" "${tests[@]}"; do
  cp "$build/$file" "$out/bin/"
  strip "$out/bin/$file"
done
mv "$out/bin/thinkrec_train_stages" "$out/bin/thinkrec_train" # which cannot become another program under the bundle's own loader
# Open MPI finds its parts below OPAL_PREFIX.
plugins=$(dirname "$(find /usr/lib -name mca_pml_ob1.so -print -quit)")
cp "$(readlink -f "$(command -v mpirun)")" "$out/openmpi/bin/orterun"
for plugin in "$plugins"/mca_*.so; do
  case $(basename "$plugin") in # what one machine needs; the rest wants libraries of clusters
    *_psm*|*_ucx*|*_ofi*|*_usnic*|*_openib*|*_portals*|*_cuda*|*_libfabric*|*_slurm*|*_tm.so|*_gridengine*|*_lsf*|*_spml_*|*_scoll_*|*_memheap_*|*_sshmem_*|*_atomic_*) ;;
    *) cp "$plugin" "$out/openmpi/lib/openmpi3/" ;;
  esac
done
cp -rL /usr/share/openmpi "$out/openmpi/share/" 2>/dev/null || true

# The libraries, the loader among them: the machine there may have an older C library. libtorch and CUDA are that machine's own.
ldd "$out"/bin/* "$out"/openmpi/bin/* "$out"/openmpi/lib/openmpi3/* 2>/dev/null | awk '$3 ~ /^\// {print $3} $1 ~ /^\/lib64\/ld/ {print $1}' | sort -u |
  while read -r library; do
    case $library in *"/torch/lib/"* | */nvidia/* | */cuda*/*) ;; *) cp -L "$library" "$out/lib/" ;; esac
  done
[ -z "$yardstick" ] || cp -rL "$yardstick" "$out/yardstick"

cat >"$out/run.sh" <<'RUN'
#!/usr/bin/env bash
# run.sh PROGRAM [ARGUMENT...], or run.sh mpirun -np 2 /path/to/run.sh PROGRAM ...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
site=${THINKREC_SITE:-$(python3 -c 'import os, torch; print(os.path.dirname(os.path.dirname(torch.__file__)))')}
export THINKREC_SITE=$site OPAL_PREFIX=$here/openmpi OPAL_LIBDIR=$here/openmpi/lib OPAL_PKGLIBDIR=$here/openmpi/lib/openmpi3 OPAL_PKGDATADIR=$here/openmpi/share/openmpi
path=$here/lib:$site/torch/lib
for folder in "$site"/nvidia/*/lib "$site"/nvidia/*/*/lib; do [ -d "$folder" ] && path=$path:$folder; done
program=$here/bin/$1
[ "$1" = mpirun ] && program=$here/openmpi/bin/orterun
[ -x "$program" ] || { echo "run.sh: no program $1 in $here/bin" >&2; exit 64; }
shift
# What the program loads itself (libtorch's CUDA part, NCCL, the driver) is found by the loader's path, too.
exec "$here"/lib/ld-linux-x86-64.so.2 --library-path "$path:/usr/lib/x86_64-linux-gnu:/usr/lib64" "$program" "$@"
RUN

cat >"$out/check.sh" <<'CHECK'
#!/usr/bin/env bash
# check.sh [OUT]: the tests labelled gpu, then compute-sanitizer over the kernels, then bench_kernels. One line each; logs under OUT.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/logs}
mkdir -p "$out"
failed=0
check() { # NAME COMMAND...
  local name=$1 start=$SECONDS code=0
  shift
  "$@" >"$out/$name.log" 2>&1 || code=$?
  case $code in 0) word=passed ;; 77) word="skipped: $(tail -1 "$out/$name.log")" ;; *) word="FAILED ($code)"; failed=1 ;; esac
  echo "$name: $word, $((SECONDS - start)) s"
}
for test in kernels_lora_gpu_test kernels_ops_gpu_test gpu_step_test nccl_gpu_test; do check "$test" "$here/run.sh" "$test"; done
for tool in memcheck racecheck synccheck initcheck; do
  for test in kernels_lora_gpu_test kernels_ops_gpu_test; do check "$tool-$test" "$here/sanitize.sh" "$tool" "$here/run.sh" "$test"; done
done
check bench_kernels python3 "$here/bench_kernels.py" "$here/run.sh" bench_ops
cat "$out/bench_kernels.log"
exit "$failed"
CHECK
cp tests/kernels/cuda/sanitize.sh tests/bench/bench_kernels.py "$out/"
chmod +x "$out"/*.sh

size=$((($(du -sb "$out" | cut -f1) + (1 << 20) - 1) >> 20))  # of what is carried, whatever the blocks of this disk
echo "gpu_bundle: $size MiB in build/gpu_bundle"
[ "$size" -lt "$most_mib" ] || { echo "gpu_bundle: more than $most_mib MiB" >&2; exit 74; }
