#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// How important a notice is.
enum class severity : std::uint8_t { debug, info, warning };

/// One sentence about an event during a run: a relay slows down, a model has no upstream.
struct notice {
  severity level = severity::info;
  /// Name of the run; empty: it has no name, or the notice is about a relay.
  std::string_view run;
  std::string_view text;  ///< one line; never contains a key
};

/// Receives the notices of an engine and its runs; the library itself writes no log. Called on the
/// event loop's thread; must not throw.
class observer {
 public:
  virtual ~observer() = default;
  virtual void on_notice(const notice& event) = 0;
  /// Whether notices of this level are wanted; called before the text is built.
  virtual bool wants(severity level) const {
    (void)level;
    return true;
  }
};

}  // namespace sluice
