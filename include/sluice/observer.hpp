#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

/// How much a sentence matters to a person.
enum class severity : std::uint8_t { debug, info, warning };

/// One sentence about what happens while requests are sent: a relay slows down, a model is out.
struct notice {
  severity level = severity::info;
  std::string_view
      run;  ///< name of the run that speaks; empty: it has none, or this is about a relay
  std::string_view text;  ///< one line; never holds a key
};

/// Hears what an engine and its runs have to say, and decides where it goes. The library itself
/// writes no log. Called on the event loop's thread; must not throw.
class observer {
 public:
  virtual ~observer() = default;
  virtual void on_notice(const notice& said) = 0;
  /// Whether sentences of that kind are of use; asked before one is put together.
  virtual bool wants(severity level) const {
    (void)level;
    return true;
  }
};

}  // namespace sluice
