#pragma once

#include <string>
#include <string_view>

#include "openai/text_decoder.hpp"
#include "sluice/result_sink.hpp"
#include "upstream/secrets.hpp"

namespace sluice {

/// Passes the text of a streamed attempt to a sink while it arrives. A secret consists of ASCII
/// characters and has no spaces. So the text after the last other character is held back until the
/// next such character arrives. In this way a secret that arrives in pieces is redacted as a whole.
/// Not thread safe.
class text_feed {
 public:
  /// Both must outlive the feed.
  text_feed(result_sink& sink, const secrets& hidden) : sink_(sink), hidden_(hidden) {}

  /// `so_far`: the whole text as JSON, without its quotes.
  void update(const attempt_record& attempt, std::string_view so_far);
  /// No more text will arrive.
  void finish(const attempt_record& attempt);

 private:
  void pass(const attempt_record& attempt, std::size_t size);

  result_sink& sink_;
  const secrets& hidden_;
  openai::text_decoder decoder_;
  std::string held_;    // text that was not passed yet
  std::string before_;  // end of the passed text, redacted; its last word may announce a key
};

}  // namespace sluice
