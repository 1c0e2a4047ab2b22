#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::server {

/// Builds a text in Prometheus' exposition format 0.0.4: families of samples, each with its help
/// and type. A family without samples is omitted. Pure; not thread safe.
class metrics_text {
 public:
  /// The Content-Type of the text.
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  enum class kind : std::uint8_t { counter, gauge, histogram };
  using label = std::pair<std::string_view, std::string_view>;
  using labels = std::initializer_list<label>;

  /// Begins a family. All samples up to the next family belong to it. `help` is escaped.
  void family(kind what, std::string_view name, std::string_view help);

  // The following functions add samples to the current family. The values of labels are escaped.

  void sample(labels of, std::uint64_t value);
  void sample(labels of, double value);
  /// Adds a number that is already formatted, such as an exact amount.
  void sample_text(labels of, std::string_view value);
  /// Adds the samples of one histogram. `counts` are cumulative: for each bound the number of
  /// values that are at most the bound, and at the end the number of all values.
  void histogram(labels of, std::span<const double> bounds, std::span<const std::uint64_t> counts,
                 double sum);

  const std::string& text() const noexcept { return text_; }

 private:
  void write(std::string_view suffix, labels of, std::string_view bound, std::string_view value);

  std::string text_;
  std::string head_;  // head of the current family, until its first sample
  std::string name_;
};

}  // namespace sluice::server
