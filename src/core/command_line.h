#pragma once
// The command line of every program, read against an OptionTable: no abbreviations, no silent surprises.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/options.h"

namespace thinkrec {

struct ProgramInfo {
  std::string name;          ///< "thinkrec_train"
  std::string purpose;       ///< one line, shown first by --help
  std::string usage;         ///< "mpirun -np 8 thinkrec_train --config R.yaml --run-dir D [options]"
  std::string positional{};  ///< what the positional arguments are ("FILE"); empty: none are allowed
};

/// Options are given as --name value, --name=value; a kFlag also as --name alone; a kTextList may be repeated and collects, every
/// occurrence one element (no splitting at commas); repeating any other option is an error. --help, --version and --help-format
/// print to standard output; the caller then returns 0 (see finished()). Error kUsage: unknown option (nearest name suggested), missing or
/// bad value, unexpected positional argument.
class CommandLine {
 public:
  CommandLine(const ProgramInfo& program, const OptionTable& table, int argc, const char* const* argv);

  /// True after --help or --version, which were answered: the program has nothing left to do.
  bool finished() const { return finished_; }

  /// Given explicitly. Like the getters, Error kInternal for a name that is not in the table.
  bool has(const std::string& name) const;

  // The value given, else the default of the table (for integer and real an empty default is Error kUsage "--x is needed").
  std::string text(const std::string& name) const;  ///< any type but lists
  std::int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;
  bool flag(const std::string& name) const;
  std::vector<std::string> list(const std::string& name) const;

  /// text(name), or Error kUsage "--name is needed: <help>" when it is empty.
  std::string required(const std::string& name) const;

  const std::vector<std::string>& positional() const { return positional_; }

 private:
  const Option& option(const std::string& name) const;
  void parse(const ProgramInfo& program, int argc, const char* const* argv);

  OptionTable table_;
  std::map<std::string, std::vector<std::string>> given_;
  std::vector<std::string> positional_;
  bool finished_ = false;
};

/// An option's help with its type, default, range and unit, in lines of the width of --help.
std::string option_help(const Option& option);

/// The text of --help: purpose, usage, then every option with its help, type, default, range and unit.
std::string help_text(const ProgramInfo& program, const OptionTable& table);

}  // namespace thinkrec
