// The options of thinkrec_prepare.

#include "app/programs.h"
#include "data/formats/dates.h"
#include "data/prepare.h"

namespace thinkrec {
namespace {

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
      {"json", kPath, "", "", "", "write the row of Table 1 here as well, as JSON"},
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
      {"description-column", kText, "", "", "",
       "header of the item's description; thinkrec_synthesize keywords reads its first words"},
  };
}

}  // namespace

const Program& prepare_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
