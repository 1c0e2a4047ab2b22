#pragma once

namespace sluice::bench {

/// How much of the calling thread's time it ran, or waited for a processor to run on: the share in
/// which this program, and not the relay, was what a measurement waited for. By the kernel's
/// schedstat; without it the time on a processor alone.
class client_load {
 public:
  struct usage {
    double cpu_s = 0;   ///< it ran
    double busy_s = 0;  ///< it ran or waited for a processor
  };

  client_load() : begin_(so_far()) {}
  /// Since the object was made, by the same thread.
  usage since() const;

  /// Past this share the client's own slowness shows in what it measures.
  static constexpr double too_busy = 0.7;

 private:
  static usage so_far();
  usage begin_;
};

}  // namespace sluice::bench
