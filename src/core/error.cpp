#include "core/error.h"

namespace thinkrec {

void fail_check(const char* expression, const char* file, int line, const std::string& detail) {
  std::string path = file;
  const auto slash = path.find_last_of('/');
  fail(ExitCode::kInternal, "broken invariant at {}:{}: {}{}{} (a defect of thinkrec; please report it)",
       slash == std::string::npos ? path : path.substr(slash + 1), line, expression, detail.empty() ? "" : ": ", detail);
}

}  // namespace thinkrec
