#include "encoders/fold_in.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace thinkrec {
namespace {

/// The regression of one user, grown one judged item at a time: Sherman-Morrison keeps the inverse, width^2 work an item.
class Regression {
 public:
  Regression(const float* prior, std::int64_t width, double ridge)
      : prior_(prior), width_(width), inverse_(width * width), gradient_(width), product_(width) {
    for (std::int64_t i = 0; i < width; ++i) inverse_[i * width + i] = 1 / ridge;
  }

  void add(const float* x, bool liked) {
    double logit = 0;
    for (std::int64_t i = 0; i < width_; ++i) logit += double{prior_[i]} * x[i];
    const double p = 1 / (1 + std::exp(-logit)), weight = p * (1 - p);
    multiply(x, product_.data());
    double spread = 0;  // x^T inverse x
    for (std::int64_t i = 0; i < width_; ++i) {
      gradient_[i] += ((liked ? 1.0 : 0.0) - p) * x[i];
      spread += product_[i] * x[i];
    }
    const double factor = weight / (1 + weight * spread);
    for (std::int64_t i = 0; i < width_; ++i) {
      const double scaled = factor * product_[i];
      double* const row = &inverse_[i * width_];
      for (std::int64_t j = 0; j < width_; ++j) row[j] -= scaled * product_[j];
    }
  }

  void solve(float* vector) {
    multiply(gradient_.data(), product_.data());
    for (std::int64_t i = 0; i < width_; ++i) vector[i] = static_cast<float>(prior_[i] + product_[i]);
  }

 private:
  /// y = inverse x; by rows of the symmetric inverse, which vectorises.
  template <class T>
  void multiply(const T* x, double* y) const {
    std::fill(y, y + width_, 0.0);
    for (std::int64_t i = 0; i < width_; ++i) {
      const double* const row = &inverse_[i * width_];
      for (std::int64_t j = 0; j < width_; ++j) y[j] += x[i] * row[j];
    }
  }

  const float* prior_;
  std::int64_t width_;
  std::vector<double> inverse_, gradient_, product_;
};

}  // namespace

FoldIn::FoldIn(at::Tensor items, at::Tensor prior, double ridge)
    : items_(items.detach().contiguous()), prior_(prior.detach().contiguous()), ridge_(ridge) {
  THINKREC_CHECK(ridge > 0 && items_.size(1) == prior_.numel(), "ridge {}, item width {}, prior width {}", ridge, items_.size(1),
                 prior_.numel());
}

at::Tensor FoldIn::vectors(const Dataset& dataset, std::span<const Moment> moments) const {
  const std::int64_t width = prior_.numel();
  const std::vector<std::int64_t> order = order_of_moments(moments);
  std::vector<std::size_t> user_begin;  // offsets into order
  for (std::size_t i = 0; i < order.size(); ++i)
    if (i == 0 || moments[order[i]].user != moments[order[i - 1]].user) user_begin.push_back(i);
  user_begin.push_back(order.size());
  const at::Tensor result = at::empty({static_cast<std::int64_t>(moments.size()), width}, at::kFloat);
  at::parallel_for(0, static_cast<std::int64_t>(user_begin.size()) - 1, 1, [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t user = from; user < to; ++user) {
      Regression regression(prior_.data_ptr<float>(), width, ridge_);
      const std::int64_t first_row = dataset.user_begin[moments[order[user_begin[user]]].user];
      std::int64_t known = 0;
      for (std::size_t i = user_begin[user]; i < user_begin[user + 1]; ++i) {
        for (; known < moments[order[i]].place; ++known) {
          const std::int64_t row = first_row + known;
          regression.add(items_.data_ptr<float>() + dataset.item[row] * width, dataset.label[row] != 0);
        }
        regression.solve(result.data_ptr<float>() + order[i] * width);
      }
    }
  });
  return result;
}

}  // namespace thinkrec
