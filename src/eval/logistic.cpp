#include "eval/logistic.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace thinkrec {
namespace {

using Vector = std::vector<double>;

/// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

/// Solves matrix * x = right for a symmetric positive definite matrix [size, size] by Cholesky; both are overwritten.
Vector solve(Vector matrix, Vector right) {
  const std::size_t size = right.size();
  for (std::size_t j = 0; j < size; ++j) {
    for (std::size_t i = j; i < size; ++i) {
      double sum = matrix[i * size + j];
      for (std::size_t p = 0; p < j; ++p) sum -= matrix[i * size + p] * matrix[j * size + p];
      if (i == j && !(sum > 0))
        fail(ExitCode::kDiverged, "logistic regression: its features are not finite or too far apart in scale");
      matrix[i * size + j] = i == j ? std::sqrt(sum) : sum / matrix[j * size + j];
    }
  }
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t p = 0; p < i; ++p) right[i] -= matrix[i * size + p] * right[p];
    right[i] /= matrix[i * size + i];
  }
  for (std::size_t i = size; i-- > 0;) {
    for (std::size_t p = i + 1; p < size; ++p) right[i] -= matrix[p * size + i] * right[p];
    right[i] /= matrix[i * size + i];
  }
  return right;
}

/// Loss, gradient and Hessian at `theta` (intercept first).
struct Problem {
  std::span<const double> features;
  std::span<const std::uint8_t> labels;
  std::size_t width;
  double ridge;

  double logit(const Vector& theta, std::size_t row) const {
    double sum = theta[0];
    for (std::size_t j = 0; j < width; ++j) sum += theta[1 + j] * features[row * width + j];
    return sum;
  }

  double loss(const Vector& theta) const {
    double sum = 0;
    for (std::size_t row = 0; row < labels.size(); ++row) {
      const double z = logit(theta, row);
      sum += softplus(labels[row] != 0 ? -z : z);
    }
    double norm = 0;
    for (const double value : theta) norm += value * value;
    return sum / static_cast<double>(labels.size()) + ridge / 2 * norm;
  }

  void derivatives(const Vector& theta, Vector& gradient, Vector& hessian) const {
    const std::size_t size = width + 1;
    gradient.assign(size, 0);
    hessian.assign(size * size, 0);
    Vector x(size, 1);
    for (std::size_t row = 0; row < labels.size(); ++row) {
      std::copy_n(features.begin() + static_cast<std::ptrdiff_t>(row * width), width, x.begin() + 1);
      const double p = 1 / (1 + std::exp(-logit(theta, row)));
      const double residual = p - labels[row], curvature = p * (1 - p);
      for (std::size_t i = 0; i < size; ++i) {
        gradient[i] += residual * x[i];
        for (std::size_t j = 0; j <= i; ++j) hessian[i * size + j] += curvature * x[i] * x[j];
      }
    }
    const auto rows = static_cast<double>(labels.size());
    for (std::size_t i = 0; i < size; ++i) {
      gradient[i] = gradient[i] / rows + ridge * theta[i];
      for (std::size_t j = 0; j <= i; ++j) hessian[i * size + j] = hessian[i * size + j] / rows + (i == j ? ridge : 0);
    }
  }
};

}  // namespace

double LogisticModel::logit(std::span<const double> features) const {
  THINKREC_CHECK(features.size() == weight.size(), "{} features, {} weights", features.size(), weight.size());
  double sum = intercept;
  for (std::size_t j = 0; j < weight.size(); ++j) sum += weight[j] * features[j];
  return sum;
}

LogisticModel fit_logistic(std::span<const double> features, std::span<const std::uint8_t> labels, std::int64_t width,
                           double ridge) {
  THINKREC_CHECK(width >= 0 && !labels.empty() && features.size() == labels.size() * static_cast<std::size_t>(width),
                 "{} features, {} labels, width {}", features.size(), labels.size(), width);
  THINKREC_CHECK(ridge > 0, "ridge {}", ridge);
  constexpr int kSteps = 100;
  constexpr double kGradient = 1e-10;
  const Problem problem{features, labels, static_cast<std::size_t>(width), ridge};
  Vector theta(static_cast<std::size_t>(width) + 1, 0), gradient, hessian;
  for (int step = 0; step < kSteps; ++step) {
    problem.derivatives(theta, gradient, hessian);
    const double largest = std::abs(
        *std::max_element(gradient.begin(), gradient.end(), [](double a, double b) { return std::abs(a) < std::abs(b); }));
    if (largest < kGradient) return {theta[0], Vector(theta.begin() + 1, theta.end())};
    const Vector direction = solve(hessian, gradient);
    // A full Newton step may overshoot where the loss is nearly flat: halve it until the loss no longer rises. Rounding decides
    // below 1e-14, and the gradient says whether that is the end.
    const double before = problem.loss(theta);
    Vector trial(theta.size());
    double length = 1;
    do {
      for (std::size_t i = 0; i < theta.size(); ++i) trial[i] = theta[i] - length * direction[i];
      length /= 2;
    } while (problem.loss(trial) > before + 1e-14 && length > 1e-9);
    theta = trial;
  }
  fail(ExitCode::kDiverged, "logistic regression: no minimum after {} Newton steps over {} rows", kSteps, labels.size());
}

}  // namespace thinkrec
