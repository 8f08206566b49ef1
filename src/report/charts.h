#pragma once
// Charts as inline SVG. Each is drawn twice, wide and narrow; the style sheet shows the one that fits, so that text keeps its
// size.

#include <string>
#include <vector>

#include "report/run_data.h"

namespace thinkrec::html {

/// Ticks at 1, 2 or 5 times a power of ten, within [low, high], about `wanted` of them. Empty for a range that is none.
std::vector<double> nice_ticks(double low, double high, int wanted);

/// Labels of ticks: as many decimals as their distance asks for; thousands as k, millions as M.
std::string tick_label(double value, double distance);

/// An exponential mean over the points whose memory is `points`, without start-up bias.
Series smoothed(const Series& series, double points);

/// At most `limit` points, each the mean of its share of the points.
Series thinned(const Series& series, std::size_t limit);

struct Line {
  Series points;
  int color = 0;
  bool faint = false;  ///< raw values behind their smoothed line
  bool marks = false;  ///< a dot at each point
};

/// One coordinate system; several share the x axis, one below the other.
struct Panel {
  std::string title;  ///< what y is, with its unit
  std::vector<Line> lines;
  double share = 1;  ///< of the height
};

/// `description` is what a screen reader says of the picture.
std::string line_chart(const std::string& description, const std::string& x_title, const std::vector<Panel>& panels);

struct ScatterGroup {
  Series points;
  int color = 0;
};

/// Points without axes (the axes of a projection mean nothing); at most 3,000 are drawn.
std::string scatter(const std::string& description, const std::vector<ScatterGroup>& groups);

/// Bars over equal bins of [low, high].
std::string histogram(const std::string& description, const std::string& x_title, double low, double high,
                      const std::vector<double>& counts);

/// A small line without axes.
std::string sparkline(const std::string& description, const Series& series, int color);

}  // namespace thinkrec::html
