#pragma once
// What the tests of src/eval share.

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace thinkrec::testing {

/// Runs `call` and expects an Error with this code whose text holds `part`.
template <class Call>
void expect_error(ExitCode code, const std::string& part, const Call& call) {
  try {
    call();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace thinkrec::testing
