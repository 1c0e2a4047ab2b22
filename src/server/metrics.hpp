#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::server {

/// A text in Prometheus' exposition format 0.0.4: families of samples, each with its help and type.
/// A family without samples is left out. Pure; not thread safe.
class metrics_text {
 public:
  /// What the Content-Type of the text is.
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  enum class kind : std::uint8_t { counter, gauge, histogram };
  using label = std::pair<std::string_view, std::string_view>;
  using labels = std::initializer_list<label>;

  /// All samples up to the next family belong to this one. The text is escaped.
  void family(kind what, std::string_view name, std::string_view help);

  // Samples of the family. Values of labels are escaped.

  void sample(labels of, std::uint64_t value);
  void sample(labels of, double value);
  /// A number that is written as it is: an exact amount.
  void sample_text(labels of, std::string_view value);
  /// The samples of one histogram. `counts`: how many values are at most the bound, one for each
  /// bound and one more for all, cumulated.
  void histogram(labels of, std::span<const double> bounds, std::span<const std::uint64_t> counts,
                 double sum);

  const std::string& text() const noexcept { return text_; }

 private:
  void write(std::string_view suffix, labels of, std::string_view bound, std::string_view value);

  std::string text_;
  std::string head_;  // of the family, until its first sample
  std::string name_;
};

}  // namespace sluice::server
