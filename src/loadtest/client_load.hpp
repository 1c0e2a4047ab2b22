#pragma once

namespace sluice::bench {

/// Measures how long the calling thread ran, or waited for a processor. A measurement in that time
/// waited for this program and not for the relay. Uses the kernel's schedstat; without it, only the
/// processor time is known.
class client_load {
 public:
  struct usage {
    double cpu_s = 0;   ///< time in which it ran
    double busy_s = 0;  ///< time in which it ran or waited for a processor
  };

  client_load() : begin_(so_far()) {}
  /// The processor time since this object was made. Call it from the same thread.
  usage since() const;

  /// Above this share, the client itself is so slow that it changes what it measures.
  static constexpr double too_busy = 0.7;

 private:
  static usage so_far();
  usage begin_;
};

}  // namespace sluice::bench
