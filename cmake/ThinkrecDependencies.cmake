# Everything comes from Debian 12, except libtorch, which launch/setup.sh unpacks from its PyPI wheel into .deps/.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(Boost REQUIRED COMPONENTS program_options)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(CURL REQUIRED)
pkg_check_modules(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
if(THINKREC_TESTS)
  find_package(GTest REQUIRED)
endif()

if(THINKREC_TORCH)
  set(torch_dir "${THINKREC_DEPS}/python/torch")
  if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so")
    message(FATAL_ERROR "libtorch is missing from ${torch_dir}: run launch/setup.sh")
  endif()
  # TorchConfig.cmake insists on CUDA; libtorch_cpu and libc10 are all the programs link (a GPU's part is loaded when one is used).
  # By name and not by path: CMake would else warn that the wheel's own libgomp may hide the compiler's.
  add_library(thinkrec_torch INTERFACE IMPORTED)
  set_target_properties(thinkrec_torch PROPERTIES
    INTERFACE_LINK_LIBRARIES "-ltorch_cpu;-lc10"
    INTERFACE_COMPILE_DEFINITIONS NDEBUG  # as it was built itself: its headers' assertions read what it does not write then
    INTERFACE_INCLUDE_DIRECTORIES "${torch_dir}/include;${torch_dir}/include/torch/csrc/api/include"
    INTERFACE_LINK_OPTIONS "-L${torch_dir}/lib;-Wl,-rpath,${torch_dir}/lib;-Wl,-rpath-link,${THINKREC_DEPS}/python/nvidia/cu13/lib")
endif()
