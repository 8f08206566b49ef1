// thinkrec_inspect: what is in a file, and how text becomes tokens.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/environment.h"
#include "app/programs.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/recipe_options.h"
#include "core/run_program.h"
#include "data/dataset.h"
#include "data/guard.h"
#include "data/prompt_listing.h"
#include "data/recipe_prompts.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/hdf5.h"
#include "io/random_access_file.h"
#include "io/safetensors.h"
#include "text/tokenizer.h"

namespace {

using namespace thinkrec;
using Json = nlohmann::json;

void encode_lines(const Tokenizer& tokenizer) {
  std::string line;
  for (std::int64_t number = 1; std::getline(std::cin, line); ++number) {
    const Json text = Json::parse(line, nullptr, false);
    if (!text.is_string()) fail(ExitCode::kBadData, "standard input:{}: not a JSON string", number);
    std::cout << Json(tokenizer.encode(text.get<std::string>())).dump() << '\n';
  }
}

void print_shape(const std::string& name, const std::string& type, const std::vector<std::int64_t>& shape) {
  std::printf("  %-48s %-6s [%s]\n", name.c_str(), type.c_str(), joined(shape, ", ").c_str());
}

void inspect_gguf(const std::string& path) {
  const GgufFile file(path);
  std::printf("%s: GGUF, %zu metadata keys, %zu tensors\n", path.c_str(), file.metadata().size(), file.tensors().size());
  for (const auto& [key, value] : file.metadata()) {
    const std::string text = std::visit(
        [](const auto& held) -> std::string {
          using T = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<T, std::string>)
            return held.size() > 60 ? held.substr(0, 57) + "..." : held;
          else if constexpr (std::is_arithmetic_v<T>)
            return fmt::format("{}", held);
          else
            return fmt::format("{} values", held.size());
        },
        value);
    std::printf("  %-48s %s\n", key.c_str(), text.c_str());
  }
  for (const GgufTensor& tensor : file.tensors()) print_shape(tensor.name, gguf_type_name(tensor.type), tensor.shape);
}

void inspect_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  std::printf("%s: safetensors, %zu tensors\n", path.c_str(), file.entries().size());
  for (const auto& entry : file.entries()) print_shape(entry.name, entry.dtype, entry.shape);
}

void inspect_dataset(const std::string& path) {
  const Dataset dataset = load_dataset(path);
  std::printf(
      "%s: data set '%s' of %s\n  users %zu, items %zu, interactions %ld, reasons %zu\n  train %zu, valid %zu, test %zu rows; label = rating >= %g\n  hash %s\n",
      path.c_str(), dataset.name.c_str(), dataset.noun.plural.c_str(), dataset.users.size(), dataset.items.size(),
      dataset.interactions(), dataset.reasons.size(), dataset.splits[0].size(), dataset.splits[1].size(),
      dataset.splits[2].size(), dataset.threshold, dataset.hash().c_str());
  for (std::size_t i = 0; i < std::min<std::size_t>(3, dataset.reasons.size()); ++i)
    std::printf("  reason for row %ld: %s\n", dataset.reasons[i].row, dataset.reasons[i].text.c_str());
}

void print_line(const OrderedJson& object) {
  std::printf("%s\n", object.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

/// Reasons or items, one a line, for other programs to read.
void list_dataset(const std::string& path, bool reasons) {
  check_in_guard(path);
  const Dataset dataset = load_dataset(path);
  if (!reasons) {
    for (const Item& item : dataset.items)
      print_line({{"item", item.id}, {"title", item.title}, {"keywords", item.keywords}, {"profile", item.profile}});
    return;
  }
  for (const Reason& reason : dataset.reasons) {
    const auto row = static_cast<std::size_t>(reason.row);
    const Item& item = dataset.items[static_cast<std::size_t>(dataset.item[row])];
    print_line({{"row", reason.row},
                {"user", dataset.users[static_cast<std::size_t>(dataset.user[row])]},
                {"item", item.id},
                {"title", item.title},
                {"label", dataset.label[row]},
                {"text", reason.text},
                {"provenance", reason.provenance}});
  }
}

void inspect_checkpoint(const std::string& path, const Hdf5Reader& reader) {
  const auto names = reader.strings("names");
  std::printf("%s: checkpoint at step %ld, %zu tensors\n  facts %s\n", path.c_str(), reader.int_attribute("step"), names.size(),
              reader.text_attribute("facts").c_str());
  std::string all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string place = fmt::format("tensors/{}", i);
    print_shape(names[i], "F32", reader.shape(place));
    const auto values = reader.floats(place);
    all += names[i];
    all.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  }
  std::printf("  values %s\n", sha256_hex(all).c_str());
}

/// One line a file; the exit code of the first that cannot be read.
int check(const std::vector<std::string>& paths) {
  ExitCode worst = ExitCode::kOk;
  for (const std::string& path : paths) {
    const GuardVerdict verdict = ask_guard(path);
    std::printf("%s\n", verdict.line.c_str());
    if (worst == ExitCode::kOk) worst = verdict.code;
  }
  flush_output();
  return static_cast<int>(worst);
}

void inspect(const std::string& path) {
  const RandomAccessFile file(path);
  std::string head(std::min<std::uint64_t>(file.size(), 8), '\0');
  file.read_at(0, head.data(), head.size());
  if (head.starts_with("GGUF")) return inspect_gguf(path);
  if (head.starts_with("\x89HDF")) {
    check_in_guard(path);
    const Hdf5Reader reader = Hdf5Reader::open(path);
    return reader.has("names") ? inspect_checkpoint(path, reader) : inspect_dataset(path);
  }
  if (path.ends_with(".safetensors")) return inspect_safetensors(path);
  fail(ExitCode::kBadData, "{}: not a file that thinkrec knows (data set, checkpoint, .gguf, .safetensors)", path);
}

/// The index of --phase, or the last.
std::int64_t phase_of(const CommandLine& line, const Recipe& recipe) {
  const std::string wanted = line.text("phase");
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < phase_count(recipe); ++i) {
    names.push_back(recipe.text(fmt::format("activate.phases.{}.name", i)));
    if (names.back() == wanted) return i;
  }
  if (!wanted.empty()) fail(ExitCode::kUsage, "--phase {}: the recipe's phases are {}", wanted, joined(names, ", "));
  return phase_count(recipe) - 1;
}

/// `count` train rows, spread over the split, then as many reasons.
void show_prompts(const CommandLine& line) {
  const Recipe recipe = Recipe::load(line.required("config"), line.list("set"), recipe_options());
  const auto path = [&](const char* name, const char* otherwise) {
    const std::string value = recipe.text(name).empty() ? recipe.text(otherwise) : recipe.text(name);
    if (value.empty()) fail(ExitCode::kConfig, "{} is not set: --set {}=...", name, name);
    return value;
  };
  const std::string data = path("data.path", "data.path");
  check_in_guard(data);
  const Dataset dataset = load_dataset(data);
  const auto tokenizer = load_tokenizer(path("model.tokenizer", "model.path"));
  const PromptBuilder prompts(dataset, *tokenizer, prompt_config(recipe, phase_template(recipe, phase_of(line, recipe))));
  const bool all = recipe.text("loss.span") == "all";
  const auto count = static_cast<std::size_t>(line.integer("prompts"));
  const auto print = [&](const EncodedRow& row) { std::fputs(list_prompt(dataset, *tokenizer, row, all).c_str(), stdout); };
  const auto& train = dataset.rows(Split::kTrain);
  for (std::size_t i = 0; i < std::min(count, train.size()); ++i)
    print(prompts.recommendation(train[i * train.size() / std::min(count, train.size())]));
  for (std::size_t i = 0; i < std::min(count, dataset.reasons.size()); ++i) print(prompts.reason(dataset.reasons[i]));
  flush_output();
}

void show_environment(bool json) {
  const OrderedJson environment = read_environment();
  const std::string text = json ? environment.dump(1) + "\n" : environment_text(environment);
  std::fputs(text.c_str(), stdout);
  flush_output();
  if (const auto failed = failed_parts(environment); !failed.empty())
    fail(ExitCode::kInternal, "the self-test failed in {}; the report above says why", joined(failed, ", "));
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_inspect", [&] {
    const CommandLine line = read_command_line(inspect_program(), argc, argv);
    if (line.finished()) return 0;
    if (line.flag("environment")) {
      if (line.flag("encode") || !line.positional().empty()) fail(ExitCode::kUsage, "--environment goes alone, or with --json");
      show_environment(line.flag("json"));
      return 0;
    }
    if (line.has("json")) fail(ExitCode::kUsage, "--json goes with --environment only");
    if (line.has("prompts")) {
      if (line.flag("encode") || line.flag("check") || line.has("tokenizer") || !line.positional().empty())
        fail(ExitCode::kUsage, "--prompts goes with --config, --set and --phase alone");
      show_prompts(line);
      return 0;
    }
    for (const char* name : {"config", "set", "phase"}) {
      if (line.has(name)) fail(ExitCode::kUsage, "--{} goes with --prompts only", name);
    }
    if (line.flag("encode")) {
      encode_lines(*load_tokenizer(line.required("tokenizer")));
    } else if (line.positional().empty()) {
      fail(ExitCode::kUsage, "give the files to look at, or --tokenizer PATH --encode");
    }
    if (line.flag("check")) return check(line.positional());
    if (line.flag("reasons") && line.flag("items")) fail(ExitCode::kUsage, "give --reasons or --items, not both");
    if (line.flag("reasons") || line.flag("items")) {
      for (const std::string& path : line.positional()) list_dataset(path, line.flag("reasons"));
    } else {
      for (const std::string& path : line.positional()) inspect(path);
    }
    flush_output();
    return 0;
  });
}
