// thinkrec_prepare: raw interactions -> the data set, and Table 1's row on standard output.

#include <cstdio>

#include "core/command_line.h"
#include "core/error.h"
#include "core/log.h"
#include "data/formats/dates.h"
#include "data/prepare.h"
#include "data/summary.h"

namespace {

using namespace thinkrec;

const ProgramInfo kProgram = {"thinkrec_prepare",
                              "Makes a data set of raw interactions: binary labels, splits by time, titles and keywords.",
                              "thinkrec_prepare --format ratings --input DIR --output data.h5 [options]"};

/// "yelp: --threshold 4 ...", for the formats whose settings are not those of the table below.
std::string defaults_help() {
  std::string help;
  for (const Format& format : formats()) {
    if (format.set_defaults == nullptr) continue;
    const PrepareOptions options = default_options(format.name);
    help += fmt::format(
        " Defaults of {}: --threshold {} --window-start {} --window-end {} --train-until {} --min-interactions {} "
        "--unknown-items keep.",
        format.name, options.threshold, format_date(options.window_start.value()), format_date(options.window_end.value()),
        format_date(options.train_until.value()), options.min_interactions);
  }
  return help;
}

std::string format_help() {
  std::string help = "what the input folder holds; .csv and .json files may be .gz.";
  for (const Format& format : formats()) help += fmt::format(" {}: {}.", format.name, format.files);
  return help + defaults_help();
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
      {"like", kChoice, "", "choices yelp|book", "", "synthetic: the data set of the paper whose size and shape it has"},
      {"seed", kInteger, "1", "[0, inf)", "", "synthetic: same seed, same data"},
      {"scale", kReal, "1", "(0, 100]", "", "synthetic: factor on the numbers of users, items and rows"},
      {"output", kPath, "", "", "", "data set to write"},
      {"name", kText, "", "", "", "name of the data set; the input folder's when left out"},
      {"noun", kText, "", "", "",
       "what prompts call an item, singular,plural; for MovieLens data movie,movies, for Amazon's books book,books, for Yelp "
       "business,businesses, else item,items"},
      {"threshold", kReal, "4", "", "", "the label is 1 for ratings of at least this"},
      {"split", kText, "0.8,0.1,0.1", "", "", "shares of train, valid and test among all interactions in order of time"},
      {"split-times", kText, "", "", "",
       "T1,T2 instead: train before T1, valid before T2, test from T2 on; a time is a timestamp of the data, or YYYY-MM-DD where "
       "those are seconds since 1970"},
      {"train-until", kText, "", "", "",
       "T instead: train before T; what follows is halved, in order of time, into valid and test"},
      {"window-start", kText, "", "", "", "leave out interactions before this time; none: from the beginning"},
      {"window-end", kText, "", "", "", "leave out interactions from this time on; none: to the end"},
      {"duplicates", kChoice, "keep", "choices keep|first|last", "",
       "of a user's interactions with one item inside the window: all, or the first or last alone"},
      {"min-interactions", kInteger, "0", ">= 0", "",
       "keep users and items with strictly more interactions, counted once, inside the window"},
      {"k-core", kInteger, "0", ">= 0", "",
       "then leave out users and items with fewer interactions than this, until all that are left have so many"},
      {"unknown-items", kChoice, "refuse", "choices refuse|drop|keep", "",
       "interactions with an item that the items file lacks; keep: the id is its title"},
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
