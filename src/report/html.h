#pragma once
// report.html: what a run was, how well it did and how it went, in one file that needs nothing from elsewhere.

#include <string>

namespace thinkrec {

/// Reads metrics.jsonl, recipe.yaml, evaluation.json, teams.json and scaling.json of the run folder (each may be missing or hold only a
/// part: its section is then one sentence) and writes report.html there. Errors: kBadData for a JSON file that is none or over 256 MiB, kIo.
void write_report(const std::string& run_dir);

}  // namespace thinkrec
