#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/body_need.hpp"
#include "openai/piece_count.hpp"
#include "openai/reply_head.hpp"
#include "sluice/error.hpp"
#include "sluice/job.hpp"
#include "sluice/result.hpp"

namespace sluice::openai {

using sluice::reply;

/// Turns the bytes of one HTTP response into a complete reply or a failure. The format of the body
/// is detected from its bytes: JSON instead of a requested stream is read as JSON, and an
/// unrequested stream as a stream.
///
/// Pure; not thread safe; one object for each attempt.
class reply_reader {
 public:
  struct expectation {
    endpoint target = endpoint::chat_completions;
    unsigned choices = 1;
    bool streamed = true;
    std::uint64_t max_body_bytes = std::uint64_t{64} << 20;
    /// The model of the request: a 404 that contains its name is about the model.
    std::string model = {};
  };
  /// `trailer`: every choice has ended, and only usage and [DONE] may follow. It changes back to
  /// `more` if content comes after a finish reason, since some relays send a finish reason with
  /// every chunk. The caller then ends its short wait for the trailer, and starts a new one at the
  /// next `trailer`.
  using need = body_need;
  /// How the body ended. If only the trailer of a reply was missing, a cut or a timeout loses
  /// nothing.
  enum class ending : std::uint8_t {
    complete,     ///< the end by HTTP framing was reached, or the reader needed nothing more
    cut,          ///< the connection broke before that
    timeout,      ///< a timeout came before that
    undecodable,  ///< the body is compressed in a way that cannot be decoded
  };

  explicit reply_reader(const expectation& expected);
  ~reply_reader();
  reply_reader(reply_reader&&) noexcept;
  reply_reader& operator=(reply_reader&&) noexcept;

  /// `now_unix`: seconds since the epoch, to read a Retry-After that is a date.
  void head(reply_head head, double now_unix);
  need body(std::string_view bytes);

  /// Memory in use for the reply, in bytes.
  std::size_t held() const noexcept;
  /// The pieces of a stream so far.
  piece_count pieces() const noexcept;
  /// The text of a streamed chat or completion so far; see stream_assembler::text(). Empty for
  /// responses.
  std::string_view text() const;
  bool content_began() const noexcept { return pieces().any > 0; }

  /// Returns the outcome. Call it once, as the last call. `transport`: the network's error message
  /// for a cut or a timeout; it becomes the failure's message if the relay sent none.
  boost::system::result<reply, failure> finish(ending how, std::string_view transport = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace sluice::openai
