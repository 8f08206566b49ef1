#include "report/charts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "core/error.h"
#include "report/markup.h"

namespace thinkrec::html {
namespace {

constexpr std::size_t kMaxPoints = 400;    // of a line
constexpr std::size_t kMaxScatter = 3000;  // of a map

struct Size {
  double width;
  double height;
  const char* css;
};

constexpr Size kSizes[] = {{560, 320, "wide"}, {340, 290, "narrow"}};

struct Span {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  void widen(double share) {
    const double size = high > low ? high - low : std::max(std::abs(high) * 0.1, 1e-3);
    low -= size * share;
    high += size * share;
  }
};

/// A linear scale from values to pixels.
struct Scale {
  double low, high, from, to;
  double operator()(double value) const {
    return high > low ? from + (value - low) / (high - low) * (to - from) : (from + to) / 2;
  }
};

std::string text(double x, double y, const char* anchor, const std::string& content, const char* css = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, css, escape(content));
}

std::string rule(double x1, double y1, double x2, double y2, const char* css) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css, x1, y1, x2, y2);
}

std::string both_sizes(const std::string& description, const std::function<std::string(const Size&)>& draw) {
  std::string result;
  for (const Size& size : kSizes) {
    result += fmt::format(
        "<svg class=\"{0}\" viewBox=\"0 0 {1:.0f} {2:.0f}\" role=\"img\" aria-label=\"{3}\"><title>{3}</title>\n{4}</svg>\n",
        size.css, size.width, size.height, escape(description), draw(size));
  }
  return result;
}

double quantile(std::vector<double> values, double share) {
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

/// The range of y: all of the clear lines; of faint raw ones only the bulk, so that one spike does not flatten the curve.
Span range_of(const Panel& panel) {
  Span span;
  for (const auto& line : panel.lines) {
    if (line.points.y.empty()) continue;
    if (!line.faint) {
      for (const double y : line.points.y) span.add(y);
    } else {
      span.add(quantile(line.points.y, 0.01));
      span.add(quantile(line.points.y, 0.98));
    }
  }
  if (!span.empty()) span.widen(0.06);
  return span;
}

std::string path(const Series& series, const Scale& x, const Scale& y) {
  std::string result;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    const double at = std::clamp(y(series.y[i]), std::min(y.from, y.to), std::max(y.from, y.to));
    result += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", x(series.x[i]), at);
  }
  return result;
}

std::string draw_line(const Line& line, const Scale& x, const Scale& y) {
  const auto series = thinned(line.points, kMaxPoints);
  const auto color = color_class(line.color);
  std::string result;
  if (series.x.size() > 1) {
    result += fmt::format("<path class=\"{}{}\" d=\"{}\"/>\n", color, line.faint ? " faint" : "", path(series, x, y));
  }
  if (line.marks || series.x.size() == 1) {
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      result +=
          fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>\n", color, x(series.x[i]), y(series.y[i]));
    }
  }
  return result;
}

struct Frame {
  double left, right, top, bottom;
};

/// At least two ticks, where there can be: one alone does not tell how exact its label must be.
std::vector<double> some_ticks(double low, double high, int wanted) {
  auto ticks = nice_ticks(low, high, wanted);
  for (int more = wanted + 1; ticks.size() == 1 && more <= wanted + 8; ++more) ticks = nice_ticks(low, high, more);
  return ticks;
}

std::string x_axis(const Scale& x, const Frame& frame, const std::string& title, int wanted) {
  std::string result = rule(frame.left, frame.bottom, frame.right, frame.bottom, "axis");
  const auto ticks = some_ticks(x.low, x.high, wanted);
  const double distance = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
  for (const double tick : ticks) {
    result += rule(x(tick), frame.bottom, x(tick), frame.bottom + 4, "axis");
    result += text(x(tick), frame.bottom + 17, "middle", tick_label(tick, distance));
  }
  return result + text(frame.right, frame.bottom + 32, "end", title, " class=\"what\"");
}

std::string y_axis(const Scale& y, const Frame& frame, const std::string& title, int wanted) {
  std::string result = text(0, frame.top - 13, "start", title, " class=\"what\"");
  const auto ticks = some_ticks(y.low, y.high, wanted);
  const double distance = ticks.size() > 1 ? ticks[1] - ticks[0] : 1;
  for (const double tick : ticks) {
    result += rule(frame.left, y(tick), frame.right, y(tick), "grid");
    result += text(frame.left - 7, y(tick) + 4, "end", tick_label(tick, distance));
  }
  return result;
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int wanted) {
  std::vector<double> result;
  if (!std::isfinite(low) || !std::isfinite(high) || !(low < high) || wanted < 1) return result;
  const double raw = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double factor = raw / power;  // 1 to 10, rounded to the nearest of 1, 2, 5, 10 on a scale of ratios
  const double step = (factor < 1.42 ? 1 : factor < 3.17 ? 2 : factor < 7.08 ? 5 : 10) * power;
  const double first = std::ceil(low / step - 1e-9);
  for (double i = first; i * step <= high + step * 1e-9 && result.size() < 50; ++i)
    result.push_back(i * step == 0 ? 0 : i * step);
  return result;
}

std::string tick_label(double value, double distance) {
  const double size = std::abs(distance);
  if (size >= 1e6) return fmt::format("{:g}M", value / 1e6);
  if (size >= 1e3 || (std::abs(value) >= 1e4 && size >= 100)) return value == 0 ? "0" : fmt::format("{:g}k", value / 1e3);
  const int decimals = size > 0 ? std::clamp(static_cast<int>(std::ceil(-std::log10(size) - 1e-9)), 0, 6) : 3;
  return fmt::format("{:.{}f}", value, decimals);
}

Series smoothed(const Series& series, double points) {
  Series result{series.x, {}};
  const double keep = std::exp(-1 / std::max(points, 1e-9));
  double sum = 0;
  double weight = 0;
  for (const double y : series.y) {
    sum = sum * keep + y;
    weight = weight * keep + 1;
    result.y.push_back(sum / weight);
  }
  return result;
}

Series thinned(const Series& series, std::size_t limit) {
  const std::size_t count = series.x.size();
  if (count <= limit || limit == 0) return series;
  Series result;
  for (std::size_t i = 0; i < limit; ++i) {
    const std::size_t from = i * count / limit;
    const std::size_t to = (i + 1) * count / limit;
    double x = 0;
    double y = 0;
    for (std::size_t j = from; j < to; ++j) {
      x += series.x[j];
      y += series.y[j];
    }
    result.x.push_back(x / static_cast<double>(to - from));
    result.y.push_back(y / static_cast<double>(to - from));
  }
  return result;
}

std::string line_chart(const std::string& description, const std::string& x_title, const std::vector<Panel>& panels) {
  Span steps;
  double shares = 0;
  for (const auto& panel : panels) {
    shares += panel.share;
    for (const auto& line : panel.lines) {
      for (const double x : line.points.x) steps.add(x);
    }
  }
  if (steps.empty()) return "";
  if (steps.low == steps.high) steps = {steps.low - 1, steps.high + 1};
  return both_sizes(description, [&](const Size& size) {
    constexpr double kHead = 30;  // above a panel, for its title
    constexpr double kFoot = 38;  // below the last one, for the x axis
    const double room = size.height - kFoot - kHead * static_cast<double>(panels.size());
    std::string result;
    double top = 0;
    Frame frame{};
    const bool wide = size.width > 400;
    for (const auto& panel : panels) {
      const double height = room * panel.share / shares;
      frame = {46, size.width - 10, top + kHead, top + kHead + height};
      const Scale x{steps.low, steps.high, frame.left, frame.right};
      const auto span = range_of(panel);
      if (!span.empty()) {
        const Scale y{span.low, span.high, frame.bottom, frame.top};
        result += y_axis(y, frame, panel.title, std::max(2, static_cast<int>(height / 27)));
        for (const auto& line : panel.lines) result += draw_line(line, x, y);
      }
      if (&panel != &panels.back()) result += rule(frame.left, frame.bottom, frame.right, frame.bottom, "axis");
      top = frame.bottom;
    }
    // Steps and ranks are whole numbers.
    const int most = static_cast<int>(std::clamp(steps.high - steps.low, 1.0, wide ? 6.0 : 4.0));
    return result + x_axis({steps.low, steps.high, frame.left, frame.right}, frame, x_title, most);
  });
}

std::string scatter(const std::string& description, const std::vector<ScatterGroup>& groups) {
  Span across;
  Span up;
  std::size_t total = 0;
  for (const auto& group : groups) {
    for (const double x : group.points.x) across.add(x);
    for (const double y : group.points.y) up.add(y);
    total += group.points.x.size();
  }
  if (across.empty() || up.empty()) return "";
  across.widen(0.03);
  up.widen(0.03);
  const std::size_t stride = std::max<std::size_t>(1, (total + kMaxScatter - 1) / kMaxScatter);
  return both_sizes(description, [&](const Size& size) {
    const Scale x{across.low, across.high, 6, size.width - 6};
    const Scale y{up.low, up.high, size.height - 6, 6};
    std::string result = fmt::format("<rect class=\"frame\" x=\"0.5\" y=\"0.5\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"6\"/>\n",
                                     size.width - 1, size.height - 1);
    // Group after group in turn, so that the last one does not hide the others.
    std::size_t longest = 0;
    for (const auto& group : groups) longest = std::max(longest, std::min(group.points.x.size(), group.points.y.size()));
    for (std::size_t i = 0; i < longest; i += stride) {
      for (const auto& group : groups) {
        if (i >= group.points.x.size() || i >= group.points.y.size()) continue;
        result += fmt::format("<circle class=\"spot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\"/>\n", color_class(group.color),
                              x(group.points.x[i]), y(group.points.y[i]));
      }
    }
    return result;
  });
}

std::string histogram(const std::string& description, const std::string& x_title, double low, double high,
                      const std::vector<double>& counts) {
  if (counts.empty() || !(low < high)) return "";
  const double most = std::max(1.0, *std::max_element(counts.begin(), counts.end()));
  return both_sizes(description, [&](const Size& size) {
    const Frame frame{46, size.width - 10, 30, size.height - 38};
    const Scale x{low, high, frame.left, frame.right};
    const Scale y{0, most * 1.05, frame.bottom, frame.top};
    std::string result = y_axis(y, frame, "users", 4);
    const double width = (high - low) / static_cast<double>(counts.size());
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const double from = x(low + width * static_cast<double>(i));
      const double to = x(low + width * static_cast<double>(i + 1));
      if (counts[i] <= 0) continue;
      result += fmt::format("<rect class=\"fill c0\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"1.5\"/>\n",
                            from + 0.75, y(counts[i]), std::max(1.0, to - from - 1.5), frame.bottom - y(counts[i]));
    }
    return result + x_axis(x, frame, x_title, size.width > 400 ? 6 : 4);
  });
}

std::string sparkline(const std::string& description, const Series& series, int color) {
  Span span;
  for (const double y : series.y) span.add(y);
  if (series.x.size() < 2 || span.empty()) return "";
  span.add(0);
  const Scale x{series.x.front(), series.x.back(), 2, 138};
  const Scale y{span.low, span.high * 1.05, 26, 3};
  return fmt::format(
      "<svg class=\"spark\" viewBox=\"0 0 140 28\" role=\"img\" aria-label=\"{0}\"><title>{0}</title>{1}<path class=\"{2}\" "
      "d=\"{3}\"/></svg>",
      escape(description), rule(2, 26, 138, 26, "grid"), color_class(color), path(thinned(series, 70), x, y));
}

}  // namespace thinkrec::html
