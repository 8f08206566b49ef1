// thinkrec_prepare: raw interactions -> the data set, and Table 1's row on standard output.

#include <cstdio>

#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "data/prepare.h"
#include "data/summary.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {"thinkrec_prepare",
                              "Makes a data set of raw interactions: binary labels, splits by time, titles and keywords.",
                              "thinkrec_prepare --format ratings --input DIR --output data.h5 [options]"};

std::string format_help() {
  std::string help = "what the input folder holds; .csv files may be .csv.gz.";
  for (const Format& format : formats()) help += fmt::format(" {}: {}.", format.name, format.files);
  return help;
}

std::string format_range() {
  std::string range = "choices ";
  for (const Format& format : formats()) range += (range.ends_with(' ') ? "" : "|") + std::string(format.name);
  return range;
}

OptionTable options() {
  using enum OptionType;
  return {
      {"format", kChoice, "", format_range(), "", format_help()},
      {"input", kPath, "", "", "", "folder of the raw files"},
      {"output", kPath, "", "", "", "data set to write"},
      {"name", kText, "", "", "", "name of the data set; the input folder's when left out"},
      {"noun", kText, "", "", "", "what prompts call an item, singular,plural; movie,movies for MovieLens data, else item,items"},
      {"threshold", kReal, "4", "", "", "the label is 1 for ratings of at least this"},
      {"split", kText, "0.8,0.1,0.1", "", "", "shares of train, valid and test among all interactions in order of time"},
      {"split-times", kText, "", "", "",
       "T1,T2 instead: train before T1, valid before T2, test from T2 on, as timestamps of the data"},
      {"window-start", kInteger, "", "", "", "leave out interactions before this timestamp"},
      {"window-end", kInteger, "", "", "", "leave out interactions from this timestamp on"},
      {"min-interactions", kInteger, "0", ">= 0", "",
       "keep users and items with strictly more interactions, counted once, inside the window"},
      {"unknown-items", kChoice, "refuse", "choices refuse|drop", "", "interactions with an item that the items file lacks"},
      {"keep-unrated-items", kFlag, "false", "", "", "keep items without interactions"},
      {"strip-year", kFlag, "false", "", "", "take \" (1995)\" from the end of titles"},
      {"user-column", kText, "", "", "", "header of the user id, where it is not the format's own name"},
      {"item-column", kText, "", "", "", "header of the item id, in the interactions and in the items"},
      {"rating-column", kText, "", "", "", "header of the rating; in ready-made splits of the label"},
      {"timestamp-column", kText, "", "", "", "header of the timestamp"},
      {"title-column", kText, "", "", "", "header of the item's title"},
      {"keywords-column", kText, "", "", "", "header of the item's keywords, separated by commas or |"},
      {"category-column", kText, "", "", "", "header of the item's category, used where there are no keywords"},
      {"description-column", kText, "", "", "", "header of the item's description"},
  };
}

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

/// An option that this format would ignore is refused: its user expects something else to happen.
void check_applicable(const CommandLine& line, const Format& format) {
  const auto refuse = [&](std::initializer_list<const char*> names, const char* why) {
    for (const char* name : names) {
      if (line.has(name)) fail(ExitCode::kUsage, "--{} does not apply to --format {}: {}", name, format.name, why);
    }
  };
  if (format.ready_made) {
    refuse({"threshold", "split", "split-times", "window-start", "window-end", "min-interactions", "unknown-items"},
           "its labels and splits are ready-made");
  }
  if (!format.named_columns) {
    refuse({"user-column", "item-column", "rating-column", "timestamp-column", "title-column", "keywords-column",
            "category-column", "description-column"},
           "its columns are fixed");
  }
  if (line.has("split") && line.has("split-times")) fail(ExitCode::kUsage, "give --split or --split-times, not both");
}

PrepareOptions read_options(const CommandLine& line) {
  PrepareOptions options;
  options.format = line.required("format");
  check_applicable(line, find_format(options.format));
  options.input = line.required("input");
  options.name = line.text("name");
  if (line.has("noun")) {
    const auto noun = parse_values("noun", line.text("noun"), 2, [](const std::string& part) {
      return part.empty() ? std::nullopt : std::optional<std::string>(part);
    });
    options.noun = Noun{noun[0], noun[1]};
  }
  options.threshold = line.real("threshold");
  const auto shares = parse_values("split", line.text("split"), 3, parse_real);
  options.split = {shares[0], shares[1], shares[2]};
  if (line.has("split-times")) {
    const auto times = parse_values("split-times", line.text("split-times"), 2, parse_integer);
    options.split_times = {times[0], times[1]};
  }
  if (line.has("window-start")) options.window_start = line.integer("window-start");
  if (line.has("window-end")) options.window_end = line.integer("window-end");
  options.min_interactions = line.integer("min-interactions");
  options.drop_unknown_items = line.text("unknown-items") == "drop";
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
    const CommandLine line(kProgram, options(), argc, argv);
    if (line.finished()) return 0;
    init_log("thinkrec_prepare", 0);
    const PrepareOptions settings = read_options(line);
    const std::string output = line.required("output");
    const Dataset dataset = prepare(settings);
    save_dataset(dataset, output);
    log_info("wrote {}, hash {}", output, dataset.hash());
    std::fputs(summary_text(dataset, summarize(dataset)).c_str(), stdout);
    if (std::fflush(stdout) != 0) fail(ExitCode::kIo, "standard output cannot be written");
    return 0;
  });
}
