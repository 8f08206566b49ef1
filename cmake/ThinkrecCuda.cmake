# thinkrec_cuda_objects(OUT SOURCES a.cu ...): compiles with nvcc, where there is one, and puts the object files into OUT. A command of
# its own and not CMake's language CUDA, which in CMake 3.25 has no C++20 for nvcc 13 and wants a compiler at configure time.

set(THINKREC_CUDA "AUTO" CACHE STRING "Kernels for GPUs: ON, OFF, or AUTO (ON where there is an nvcc)")
set(THINKREC_CUDA_ARCHITECTURES "80;90;100;120" CACHE STRING "Compute capabilities to build for")

set(THINKREC_HAS_CUDA OFF)
if(THINKREC_CUDA AND NOT THINKREC_SANITIZE)
  find_program(THINKREC_NVCC nvcc HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(THINKREC_NVCC)
    execute_process(COMMAND ${THINKREC_NVCC} --version OUTPUT_VARIABLE nvcc_version)
    string(REGEX MATCH "release ([0-9]+)\\.([0-9]+)" ignored "${nvcc_version}")
    if(CMAKE_MATCH_1 EQUAL 13)
      set(THINKREC_HAS_CUDA ON)
      get_filename_component(THINKREC_CUDA_HOME "${THINKREC_NVCC}" REALPATH)
      get_filename_component(THINKREC_CUDA_HOME "${THINKREC_CUDA_HOME}/../.." ABSOLUTE)
    elseif(THINKREC_CUDA STREQUAL "ON")
      message(FATAL_ERROR "${THINKREC_NVCC} is CUDA ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}; libtorch 2.11 needs CUDA 13: set CUDA_HOME to it, or -DTHINKREC_CUDA=OFF")
    else()
      message(STATUS "${THINKREC_NVCC} is CUDA ${CMAKE_MATCH_1}.${CMAKE_MATCH_2} and not 13: building without GPU kernels")
    endif()
  elseif(THINKREC_CUDA STREQUAL "ON")
    message(FATAL_ERROR "THINKREC_CUDA is ON, but no nvcc was found: put CUDA 13's on the PATH, or set CUDA_HOME")
  endif()
endif()
message(STATUS "GPU kernels: ${THINKREC_HAS_CUDA}")

function(thinkrec_cuda_objects out)
  cmake_parse_arguments(arg "" "" "SOURCES" ${ARGN})
  foreach(architecture IN LISTS THINKREC_CUDA_ARCHITECTURES)
    list(APPEND codes -gencode arch=compute_${architecture},code=sm_${architecture})
  endforeach()
  if(CCACHE_PROGRAM)
    set(launcher ${CCACHE_PROGRAM})
  endif()
  foreach(source IN LISTS arg_SOURCES)
    get_filename_component(name ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.cu.o)
    add_custom_command(OUTPUT ${object}
      COMMAND ${launcher} ${THINKREC_NVCC} -c -std=c++20 -O3 -ccbin ${CMAKE_CXX_COMPILER} ${codes} -Werror all-warnings
        -Xcompiler -Wall,-Wextra,-Werror -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/src -MD -MF ${object}.d
        ${CMAKE_CURRENT_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${source}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${out} ${objects} PARENT_SCOPE)
endfunction()
