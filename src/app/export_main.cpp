// thinkrec_export: an adapter of a finished run as a PEFT folder.

#include "app/programs.h"
#include "adapters/peft_folder.h"
#include "comm/world.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "train/run.h"

namespace {

using namespace thinkrec;

/// The number in "expert:K".
std::size_t expert_number(const std::string& text, std::size_t experts) {
  const bool digits = !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoul(text) >= experts)
    fail(ExitCode::kUsage, "--adapter expert:{}: this run has experts 0 to {}", text, static_cast<std::int64_t>(experts) - 1);
  return std::stoul(text);
}

std::int32_t user_number(const Dataset& dataset, const std::string& id) {
  const auto found = std::find(dataset.users.begin(), dataset.users.end(), id);
  if (found == dataset.users.end()) fail(ExitCode::kBadData, "the data set has no user '{}'", id);
  return static_cast<std::int32_t>(found - dataset.users.begin());
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_export", [&] {
    const CommandLine line = read_command_line(export_program(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_export", 0);
    const std::string wanted = line.text("adapter"), output = line.required("output");
    const auto world = make_solo_collectives();
    const Session session = open_run(line.required("run-dir"), line.list("set"), *world);
    const RunState state = load_run(session);
    FusedAdapters fused(session, state);
    const LoraAdapter* adapter = nullptr;
    if (wanted == "global") {
      adapter = &state.global;
    } else if (wanted.starts_with("expert:")) {
      adapter = &state.experts[expert_number(wanted.substr(7), state.experts.size())];
    } else if (wanted.starts_with("user:")) {
      adapter = &fused.of(user_number(session.dataset(), wanted.substr(5)));
    } else {
      fail(ExitCode::kUsage, "--adapter {}: give global, expert:K or user:U", wanted);
    }
    save_peft_adapter(output, *adapter, session.recipe().text("model.path"));
    std::printf("%s: adapter %s of %s\n", output.c_str(), wanted.c_str(), session.run_dir().c_str());
    return 0;
  });
}
