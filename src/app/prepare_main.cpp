// thinkrec_prepare: raw interactions -> the data set, and Table 1's row on standard output.

#include <cstdio>

#include "app/programs.h"
#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "core/run_program.h"
#include "data/formats/dates.h"
#include "data/prepare.h"
#include "data/summary.h"
#include "io/file.h"

namespace {

using namespace thinkrec;

/// "a,b" as exactly `count` values; kUsage otherwise.
template <class Parse>
auto parse_values(const std::string& option, const std::string& text, std::size_t count, Parse parse) {
  const std::vector<std::string> parts = split_list(text);
  std::vector<typename decltype(parse(text))::value_type> values;
  for (const std::string& part : parts) {
    if (const auto value = parse(part)) values.push_back(*value);
  }
  if (parts.size() != count || values.size() != count) {
    fail(ExitCode::kUsage, "--{}: must be {} values separated by commas, got '{}' (see --help)", option, count, text);
  }
  return values;
}

std::optional<std::int64_t> parse_time(const std::string& text) {
  const auto date = parse_date(text);
  return date ? date : parse_integer(text);
}

/// Sets `value` where the option is given; "none" unsets it.
void read_time(const CommandLine& line, const std::string& option, std::optional<std::int64_t>& value) {
  if (!line.has(option)) return;
  value = parse_time(line.text(option));
  if (!value && line.text(option) != "none") {
    fail(ExitCode::kUsage, "--{}: must be a timestamp, a date YYYY-MM-DD or none, got '{}' (see --help)", option,
         line.text(option));
  }
}

template <class Value>
Value chosen(const std::string& text, std::initializer_list<std::pair<const char*, Value>> values) {
  for (const auto& [name, value] : values) {
    if (text == name) return value;
  }
  fail(ExitCode::kInternal, "no choice '{}'", text);
}

/// An option that this format would ignore is refused: its user expects something else to happen.
void check_applicable(const CommandLine& line, const Format& format) {
  const auto refuse = [&](std::initializer_list<const char*> names, const char* why) {
    for (const char* name : names) {
      if (line.has(name)) fail(ExitCode::kUsage, "--{} does not apply to --format {}: {}", name, format.name, why);
    }
  };
  if (format.ready_made) {
    refuse({"threshold", "split", "split-times", "train-until", "window-start", "window-end", "duplicates", "min-interactions",
            "k-core", "unknown-items"},
           "its labels and splits are ready-made");
  }
  if (format.generated) {
    refuse({"input"}, "it has none");
  } else {
    refuse({"like", "seed", "scale"}, "it reads what there is");
  }
  if (!format.named_columns) {
    refuse({"user-column", "item-column", "rating-column", "timestamp-column", "title-column", "keywords-column",
            "category-column", "description-column"},
           "its columns are fixed");
  }
  if (line.has("split") && line.has("split-times")) fail(ExitCode::kUsage, "give --split or --split-times, not both");
  for (const char* other : {"split", "split-times"}) {
    if (line.has("train-until") && line.text("train-until") != "none" && line.has(other))
      fail(ExitCode::kUsage, "give --train-until or --{}, not both", other);
  }
}

void read_split(const CommandLine& line, PrepareOptions& options) {
  read_time(line, "train-until", options.train_until);
  if (line.has("split")) {
    const auto shares = parse_values("split", line.text("split"), 3, parse_real);
    options.split = {shares[0], shares[1], shares[2]};
    options.train_until.reset();
  }
  if (line.has("split-times")) {
    const auto times = parse_values("split-times", line.text("split-times"), 2, parse_time);
    options.split_times = {times[0], times[1]};
    options.train_until.reset();
  }
}

void read_filter(const CommandLine& line, PrepareOptions& options) {
  read_time(line, "window-start", options.window_start);
  read_time(line, "window-end", options.window_end);
  if (line.has("min-interactions")) options.min_interactions = line.integer("min-interactions");
  options.k_core = line.integer("k-core");
  options.duplicates = chosen<Duplicates>(
      line.text("duplicates"), {{"keep", Duplicates::kKeep}, {"first", Duplicates::kFirst}, {"last", Duplicates::kLast}});
  if (line.has("unknown-items")) {
    options.unknown_items =
        chosen<UnknownItems>(line.text("unknown-items"),
                             {{"refuse", UnknownItems::kRefuse}, {"drop", UnknownItems::kDrop}, {"keep", UnknownItems::kKeep}});
  }
}

PrepareOptions read_options(const CommandLine& line) {
  const std::string format = line.required("format");
  check_applicable(line, find_format(format));
  PrepareOptions options = default_options(format);
  if (find_format(format).generated) {
    options.like = line.required("like");
    options.seed = static_cast<std::uint64_t>(line.integer("seed"));
    options.scale = line.real("scale");
  } else {
    options.input = line.required("input");
  }
  options.name = line.text("name");
  if (line.has("noun")) {
    const auto noun = parse_values("noun", line.text("noun"), 2, [](const std::string& part) {
      return part.empty() ? std::nullopt : std::optional<std::string>(part);
    });
    options.noun = Noun{noun[0], noun[1]};
  }
  if (line.has("threshold")) options.threshold = line.real("threshold");
  read_split(line, options);
  read_filter(line, options);
  options.keep_unrated_items = line.flag("keep-unrated-items");
  options.strip_year = line.flag("strip-year");
  options.columns = {line.text("user-column"),      line.text("item-column"),       line.text("rating-column"),
                     line.text("timestamp-column"), line.text("title-column"),      line.text("keywords-column"),
                     line.text("category-column"),  line.text("description-column")};
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("thinkrec_prepare", [&] {
    const CommandLine line = read_command_line(prepare_program(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_prepare", 0);
    const PrepareOptions settings = read_options(line);
    const std::string output = line.required("output");
    const Dataset dataset = prepare(settings);
    save_dataset(dataset, output);
    log_info("wrote {}, hash {}", output, dataset.hash());
    const DatasetSummary summary = summarize(dataset);
    std::fputs(summary_text(dataset, summary).c_str(), stdout);
    if (!line.text("json").empty()) write_file_atomic(line.text("json"), summary_json(dataset, summary));
    flush_output();
    return 0;
  });
}
