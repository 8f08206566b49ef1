# thinkrec_library(NAME SOURCES a.cpp ... [LIBS lib ...] [TORCH] [HOT]) -> static library thinkrec_NAME; HOT: optimised where most is not (below)
# thinkrec_program(NAME SOURCES main.cpp [LIBS lib ...])               -> build/<preset>/NAME
# thinkrec_test(NAME SOURCES a_test.cpp ... [LIBS lib ...] [LABELS fast] [RANKS n ...] [TIMEOUT s] [TORCH])
#     -> ctest NAME; with RANKS, one ctest NAME_npK per number of ranks, run under mpirun, labelled mpi as well.

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # The sloppiness is what ccache's manual asks for with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()

add_library(thinkrec_flags INTERFACE)
# The five exceptions are false alarms of g++ 12 at -O2 and -O3 on std::string ("literal" + text; GCC bug 105651 and kin);
# clang takes offence at GCC 12's own stable_sort, and at loops marked simd that it leaves as they are at -O1.
target_compile_options(thinkrec_flags INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
  $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess;-Wno-stringop-overflow;-Wno-stringop-overread;-Wno-restrict;-Wno-array-bounds;-Wno-free-nonheap-object>
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations;-Wno-pass-failed>
  # For AMD's Zen g++ fuses a multiplication with an addition in some loops and not in others: a row packed with three others would round
  # differently from the same row alone.
  $<$<CXX_COMPILER_ID:GNU>:--param=avoid-fma-max-bits=0>
  $<$<CONFIG:Release>:-march=${THINKREC_ARCH}> $<$<CONFIG:RelWithDebInfo>:-march=${THINKREC_ARCH}>)
target_include_directories(thinkrec_flags INTERFACE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
target_link_libraries(thinkrec_flags INTERFACE fmt::fmt)
if(THINKREC_SANITIZE)
  target_compile_options(thinkrec_flags INTERFACE -fsanitize=${THINKREC_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)  # which its sanitizers set off in libtorch's headers
  target_link_options(thinkrec_flags INTERFACE -fsanitize=${THINKREC_SANITIZE})
  target_compile_definitions(thinkrec_flags INTERFACE THINKREC_SANITIZED)  # for bounds of memory and time
endif()

# gold links a program in a quarter of the time that GNU ld takes, and there are 200 of them; to clang's sanitizers it objects, lld does not.
include(CheckLinkerFlag)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(linker gold)
else()
  set(linker lld)
endif()
check_linker_flag(CXX -fuse-ld=${linker} THINKREC_HAS_${linker})
if(THINKREC_HAS_${linker})
  add_link_options(-fuse-ld=${linker})
endif()

add_library(thinkrec_common_templates STATIC ${CMAKE_SOURCE_DIR}/cmake/common_templates.cpp)
target_link_libraries(thinkrec_common_templates PUBLIC thinkrec_flags nlohmann_json::nlohmann_json)

# How tests are optimised: they run once. Not -O0 in a release: a test brings its own copies of templates, which the linker may give to a
# library, and its numbers would differ.
if(NOT THINKREC_SANITIZE)
  set(test_optimisation -O1)  # three quarters of the compiler's time
endif()

# Where nothing is optimised (the presets `asan` and `tsan`, for half the compiler's time), what would take tests minutes is all the same;
# ThreadSanitizer's few tests would not.
set(hot_optimisation)
if(CMAKE_BUILD_TYPE STREQUAL RelWithDebInfo AND CMAKE_CXX_FLAGS_RELWITHDEBINFO MATCHES -O0 AND NOT THINKREC_SANITIZE STREQUAL thread)
  set(hot_optimisation -O1)
endif()

# Four precompiled headers: with libtorch (its headers cost 20-30 s a file) or without, with gtest for tests or without; and
# that of base once more under hot_optimisation. kind: base, hot, torch, test or test_torch; with libtorch as well where a third argument is true.
function(thinkrec_pch target kind)
  if(kind STREQUAL hot AND NOT hot_optimisation)
    set(kind base)
  endif()
  if("${ARGN}" AND kind STREQUAL base)
    set(kind torch)
  elseif("${ARGN}")
    set(kind test_torch)
  endif()
  target_link_libraries(${target} PUBLIC thinkrec_flags thinkrec_common_templates spdlog::spdlog OpenMP::OpenMP_CXX)
  if(kind MATCHES torch)
    target_link_libraries(${target} PUBLIC thinkrec_torch)
  endif()
  if(kind MATCHES test)
    target_link_libraries(${target} PUBLIC GTest::gtest)
    target_compile_options(${target} PRIVATE ${test_optimisation})
  endif()
  if(kind STREQUAL hot)
    target_compile_options(${target} PRIVATE ${hot_optimisation})
  endif()
  set(owner thinkrec_pch_${kind})
  if(target STREQUAL owner)
    string(REPLACE hot base header ${kind})
    target_precompile_headers(${owner} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch_${header}.h)
    return()
  endif()
  if(NOT TARGET ${owner})
    file(WRITE ${CMAKE_BINARY_DIR}/${owner}.cpp "// Compiled only to own the precompiled header.\n")
    add_library(${owner} STATIC ${CMAKE_BINARY_DIR}/${owner}.cpp)
    thinkrec_pch(${owner} ${kind})
  endif()
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()

function(thinkrec_library name)
  cmake_parse_arguments(arg "TORCH;HOT" "" "SOURCES;LIBS" ${ARGN})
  add_library(thinkrec_${name} STATIC ${arg_SOURCES})
  target_link_libraries(thinkrec_${name} PUBLIC ${arg_LIBS})
  if(arg_HOT)
    thinkrec_pch(thinkrec_${name} hot)
  else()
    thinkrec_pch(thinkrec_${name} base "${arg_TORCH}")
  endif()
endfunction()

function(thinkrec_program name)
  cmake_parse_arguments(arg "TORCH" "" "SOURCES;LIBS" ${ARGN})
  set(target program_${name})  # thinkrec_train and thinkrec_eval are libraries as well
  add_executable(${target} ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name})
  if(arg_TORCH)  # installed, it finds libtorch and what that brings where the build found them
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "${THINKREC_DEPS}/python/torch/lib;${THINKREC_DEPS}/python/nvidia/cu13/lib")
  endif()
  target_link_libraries(${target} PRIVATE ${arg_LIBS})
  thinkrec_pch(${target} base "${arg_TORCH}")
endfunction()

# What the label `threads` holds, for ThreadSanitizer: tests/sanitize.sh tsan builds nothing else.
add_custom_target(tests_of_threads)

function(thinkrec_test name)
  cmake_parse_arguments(arg "TORCH" "TIMEOUT" "SOURCES;LIBS;LABELS;RANKS" ${ARGN})
  if(NOT arg_LABELS)
    set(arg_LABELS fast)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(THINKREC_SANITIZE)
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
  endif()
  add_executable(${name} ${arg_SOURCES})
  if("threads" IN_LIST arg_LABELS)
    add_dependencies(tests_of_threads ${name})
  endif()
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  if(arg_RANKS)
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support/mpi_main.cpp)
    target_link_libraries(${name} PRIVATE GTest::gtest thinkrec_comm)
  else()
    target_link_libraries(${name} PRIVATE GTest::gtest GTest::gtest_main)
  endif()
  target_compile_definitions(${name} PRIVATE THINKREC_SOURCE_DIR="${CMAKE_SOURCE_DIR}" THINKREC_BINARY_DIR="${CMAKE_BINARY_DIR}" THINKREC_DEPS_DIR="${THINKREC_DEPS}")
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  thinkrec_pch(${name} test "${arg_TORCH}")
  if(arg_RANKS)
    foreach(ranks IN LISTS arg_RANKS)
      add_test(NAME ${name}_np${ranks} COMMAND ${CMAKE_SOURCE_DIR}/launch/run.sh --ranks ${ranks} $<TARGET_FILE:${name}>)
      set_tests_properties(${name}_np${ranks} PROPERTIES LABELS "mpi;${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} PROCESSORS ${ranks} SKIP_RETURN_CODE 77)
    endforeach()
  else()
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77
      ENVIRONMENT OMP_WAIT_POLICY=passive)  # tests share the cores
  endif()
endfunction()
