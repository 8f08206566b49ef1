# cmake -DSOURCE=. -DOUTPUT=x.cpp -P BuildCommit.cmake, at each build.
# Writes program_commit() of core/build_info.h; the file stays untouched where it says so already, so that nothing is built anew.
set(commit "")
if(EXISTS ${SOURCE}/.git)  # and not a repository around an unpacked archive
  execute_process(COMMAND git -c safe.directory=* -C ${SOURCE} describe --always --dirty=+changes --abbrev=12 --exclude=*
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(text "// Written by cmake/BuildCommit.cmake.
#include \"core/build_info.h\"

const char* thinkrec::program_commit() { return \"${commit}\"; }
")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
