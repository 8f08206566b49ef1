// write_yelp_json DATA.h5 DIR REVIEWS: a data set as Yelp's open data set would hold it, for timing thinkrec_prepare --format yelp.
// The interactions become reviews with texts of the real ones' mean length; REVIEWS - interactions further ones, of users and businesses
// of their own and before 2010, stand between them, so that the default window leaves the data set's.

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "data/dataset.h"

namespace {

using namespace thinkrec;

std::string date(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                     parts.tm_min, parts.tm_sec);
}

/// Yelp's ids have 22 characters.
std::string id(char kind, std::int64_t number) { return fmt::format("{}{:021}", kind, number); }

void write_businesses(const Dataset& data, const std::string& path, std::int64_t others) {
  std::ofstream out(path);
  const auto line = [&](const std::string& key, const std::string& name, const std::string& categories) {
    out << nlohmann::json{{"business_id", key},
                          {"name", name},
                          {"address", "1 Main St"},
                          {"city", "Springfield"},
                          {"stars", 3.5},
                          {"review_count", 32},
                          {"attributes", {{"WiFi", "free"}}},
                          {"categories", categories}}
               .dump()
        << '\n';
  };
  for (std::size_t i = 0; i < data.items.size(); ++i)
    line(id('b', static_cast<std::int64_t>(i)), data.items[i].title, data.items[i].keywords);
  for (std::int64_t i = 0; i < others; ++i) line(id('x', i), fmt::format("Other {}", i), "Other");
}

void write_reviews(const Dataset& data, const std::string& path, std::int64_t reviews, std::int64_t others) {
  constexpr std::int64_t kUsers = 1'900'000, kBefore2010 = 1'199'145'600, kYear = 31'536'000;
  std::mt19937_64 random(9);
  std::string words;
  while (words.size() < 4000) words += fmt::format("word{} ", random() % 5000);
  std::ofstream out(path);
  std::string lines;
  const auto line = [&](const std::string& user, const std::string& business, int stars, std::int64_t time) {
    const std::size_t from = random() % 2000, length = 100 + random() % 950;
    lines += fmt::format(
        "{{\"review_id\":\"{}\",\"user_id\":\"{}\",\"business_id\":\"{}\",\"stars\":{}.0,\"useful\":0,\"funny\":0,\"cool\":0,"
        "\"text\":\"{}\\n\",\"date\":\"{}\"}}\n",
        user, user, business, stars, std::string_view(words).substr(from, length), date(time));
    if (lines.size() < (std::size_t{1} << 22)) return;
    out << lines;
    lines.clear();
  };
  std::int64_t extra = reviews - data.interactions(), written = 0;
  for (std::int64_t i = 0; i < data.interactions(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    for (; written * data.interactions() < extra * i; ++written) {
      line(id('y', static_cast<std::int64_t>(random() % kUsers)),
           id('x', static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(others))), 4,
           kBefore2010 + static_cast<std::int64_t>(random() % kYear));
    }
    line(id('u', data.user[at]), id('b', data.item[at]), data.label[at] != 0 ? 5 : 2, data.timestamp[at]);
  }
  out << lines;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s DATA.h5 DIR REVIEWS\n", argv[0]);
    return 2;
  }
  try {
    constexpr std::int64_t kOthers = 90'000;
    const Dataset data = load_dataset(argv[1]);
    const std::string folder = argv[2];
    write_businesses(data, folder + "/yelp_academic_dataset_business.json", kOthers);
    write_reviews(data, folder + "/yelp_academic_dataset_review.json", std::stoll(argv[3]), kOthers);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "write_yelp_json: %s\n", error.what());
    return 1;
  }
}
