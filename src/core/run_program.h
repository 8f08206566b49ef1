#pragma once
// What every main() does: its body's errors become one line each and an exit code.

#include <functional>
#include <string>

namespace thinkrec {

/// Runs the body of a program. Error -> one line "name: error: message" on standard error and its exit code (every line of a
/// multi-line message gets the prefix), bad_alloc -> a line saying that memory ran out, any other exception -> code 70. A
/// file-size limit is a failed write, not the process's death.
int run_program(const char* name, const std::function<int()>& body);

/// As above, with the command line as the body's argument; argc and argv are passed on unchanged.
int run_program(const char* name, int argc, char** argv, const std::function<int(int, char**)>& body);

/// Before success, where the result goes to standard output: kIo when some of it could not be written.
void flush_output();

/// Path of another of thinkrec's programs, which lies beside the one that runs. kNoInput, saying why it is needed, when it is not there or
/// may not be run.
std::string program_beside(const char* name, const std::string& why);

}  // namespace thinkrec
