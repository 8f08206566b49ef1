#pragma once
// From raw files to the data set: a format's reader, then a build step that all formats share.

#include <span>

#include "data/raw_data.h"

namespace thinkrec {

struct Format {
  const char* name;
  const char* files;  ///< what the folder holds, for --help
  RawData (*read)(const PrepareOptions&);
  bool ready_made;                                  ///< labels and splits are given: settings that make them do not apply
  bool named_columns;                               ///< PrepareOptions::columns applies
  bool generated = false;                           ///< from PrepareOptions::like, seed and scale; there is no input
  void (*set_defaults)(PrepareOptions&) = nullptr;  ///< the paper's settings for these data
};
std::span<const Format> formats();
/// kConfig naming the formats when there is no such one.
const Format& find_format(const std::string& name);
/// The settings of a format that is given none: the paper's where it has such data.
PrepareOptions default_options(const std::string& format);

/// Filters, labels, sorts and splits. Users are numbered in the order of their first interaction, items in that of the items
/// file. kBadData when nothing is left or a split is empty, kConfig for settings that make no sense.
Dataset build_dataset(const RawData& raw, const PrepareOptions& options);

/// Reads with the format's reader and builds; logs what was read and warns of what was mended.
Dataset prepare(const PrepareOptions& options);

}  // namespace thinkrec
